"""Secrets, hosts, cookies."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from apps.core.kept import kept
from ragflow.settings.env import Section
from ragflow.settings.paths import DATA_DIR, HOST

_security = Section("Security")


_given_key = _security.text(
    "RAGFLOW_SECRET_KEY",
    secret=True,
    help="Signs sessions and encrypts stored secrets; at least 32 characters. "
    "Empty: a key is generated into the data folder.",
)
KEY_FILE = None if _given_key else DATA_DIR / "secret.key"


def _kept_key(file: Path) -> str:
    try:
        key = kept(file, lambda: secrets.token_urlsafe(48))
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret key {file} cannot be read or made: {error.strerror}. This runs as user {os.geteuid()}, who "
            "has to be allowed to write that folder."
        ) from None
    if not key:
        raise ImproperlyConfigured(
            f"The secret key {file} is empty. Restore it from a backup, or delete it to get a new one: then everybody "
            "has to log in again, and the keys of model providers have to be entered again."
        )
    return key


SECRET_KEY = _kept_key(KEY_FILE) if KEY_FILE else _given_key
SECRET_KEY_FALLBACKS = _security.text(
    "RAGFLOW_OLD_SECRET_KEYS",
    secret=True,
    help="Earlier values of RAGFLOW_SECRET_KEY, separated by white space. What they signed or encrypted is still read; "
    "`manage.py rotate_keys` encrypts stored secrets anew.",
).split()

DEBUG = False

ALLOWED_HOSTS = _security.listed(
    "RAGFLOW_ALLOWED_HOSTS",
    "127.0.0.1,localhost,[::1]" if HOST in {"127.0.0.1", "localhost", "::1"} else "*",
    shown_default="127.0.0.1,localhost,[::1]",
    help="Host names that requests may name, separated by commas. Default of a server that listens publicly: all (*).",
)

DEFAULT_SUPERUSER_EMAIL = _security.text(
    "DEFAULT_SUPERUSER_EMAIL", "admin@ragflow.localhost", help="Address of the administrator that `up` makes."
)
DEFAULT_SUPERUSER_PASSWORD = _security.text(
    "DEFAULT_SUPERUSER_PASSWORD",
    secret=True,
    help="Password of that administrator, who is made at the first start then. Empty: one is made up and shown, and "
    "only with `up --init-superuser` or `up --demo`.",
)
DEFAULT_SUPERUSER_NICKNAME = _security.text(
    "DEFAULT_SUPERUSER_NICKNAME", "Administrator", help="Nickname of that administrator."
)
REGISTRATION_OPEN = _security.flag(
    "RAGFLOW_REGISTRATION", False, help="Whether strangers may create accounts.", also="REGISTER_ENABLED"
)

SESSION_SECONDS = 3600 * _security.integer(
    "RAGFLOW_SESSION_HOURS", 336, minimum=24, help="Hours after which a login has to be repeated."
)
API_TOKENS_CLOSED = bool(
    _security.text("DISABLE_SDK", help="Any value: the public API (/api/v1/...) takes no API tokens.")
)
RSA_PRIVATE_KEY = _security.text(
    "RAGFLOW_RSA_PRIVATE_KEY",
    secret=True,
    help="Private key (PEM, RSA) under whose public half clients encrypt passwords. Empty: a key is generated into the "
    "data folder.",
)
RSA_PASSPHRASE = _security.text("RAGFLOW_RSA_PASSPHRASE", secret=True, help="Pass phrase of RAGFLOW_RSA_PRIVATE_KEY.")
RSA_KEY_FILE = DATA_DIR / "passwords.key"
PLAIN_PASSWORDS = _security.flag(
    "RAGFLOW_PLAIN_PASSWORDS",
    True,
    help="Whether clients of the standard wire profile may send passwords unencrypted (use HTTPS then).",
)
PROXIES = _security.integer(
    "RAGFLOW_PROXIES",
    0,
    help="Number of proxies in front that append to X-Forwarded-For. Login attempts are counted by client address.",
)

IS_PERSONAL = HOST in {"127.0.0.1", "localhost", "::1"} and not REGISTRATION_OPEN and not PROXIES
"""Whether only the people of this machine can reach the server."""

_https = _security.flag(
    "RAGFLOW_HTTPS", False, help="Set when a proxy in front speaks HTTPS: secure cookies, redirect to HTTPS, HSTS."
)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
CSRF_TRUSTED_ORIGINS = _security.listed(
    "RAGFLOW_TRUSTED_ORIGINS", help="Origins (https://name) whose browser forms are trusted, separated by commas."
)
CORS_ORIGINS = frozenset(
    _security.listed(
        "RAGFLOW_CORS_ORIGINS",
        "*",
        help="Origins (https://name) whose pages may call the API from a browser, as embedded chats do, separated by "
        "commas. All: *.",
    )
)
X_FRAME_OPTIONS = "DENY"

# Pages that show a new token once say so in a message: the default would send it along in a cookie.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

AUTHENTICATION_BACKENDS = ["apps.accounts.backends.PasswordBackend"]
PASSWORD_HASHERS = [
    "apps.accounts.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

METRICS_TOKEN = _security.text(
    "RAGFLOW_METRICS_TOKEN",
    secret=True,
    help="Bearer token that reads /metrics. Empty: only programs of this machine read them, and not through a proxy.",
)

# Uploads are streamed to disk and limited by size; how many parts a form may have is in apps.core.uploads.
MAX_UPLOAD_BYTES = _security.integer(
    "RAGFLOW_MAX_UPLOAD_BYTES",
    1024**3,
    minimum=1,
    help="Largest request body in bytes; more is refused as it arrives.",
    also="MAX_CONTENT_LENGTH",
)
MAX_DOCUMENTS_OF_TENANT = _security.integer(
    "MAX_FILE_NUM_PER_USER", 0, help="How many documents the datasets of one tenant may hold. 0: any number."
)
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024**2
DATA_UPLOAD_MAX_NUMBER_FILES = None
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024**2
