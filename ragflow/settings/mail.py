"""Outgoing mail: invitations and codes for forgotten passwords. Without a server, features that need mail say so."""

from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from ragflow.settings.env import Section

_mail = Section("Mail")

_url = urlsplit(
    _mail.text(
        "RAGFLOW_MAIL_URL",
        secret=True,
        help="smtp://user:password@host:587 (STARTTLS), smtps://...:465 (TLS) or smtp+plain://host:25. Empty: no mail.",
    )
)
if _url.scheme not in {"", "smtp", "smtps", "smtp+plain"}:
    raise ImproperlyConfigured("RAGFLOW_MAIL_URL must start with smtp://, smtps:// or smtp+plain://.")
try:
    EMAIL_PORT = _url.port or {"smtps": 465, "smtp+plain": 25}.get(_url.scheme, 587)
except ValueError:
    raise ImproperlyConfigured("The port in RAGFLOW_MAIL_URL is not a number.") from None

EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _url.hostname else 'dummy'}.EmailBackend"
EMAIL_HOST = _url.hostname or ""
EMAIL_HOST_USER = unquote(_url.username or "")
EMAIL_HOST_PASSWORD = unquote(_url.password or "")
EMAIL_USE_SSL = _url.scheme == "smtps"
EMAIL_USE_TLS = _url.scheme == "smtp"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = _mail.text("RAGFLOW_MAIL_FROM", "ragflow@localhost", help="Sender address of mail.")
