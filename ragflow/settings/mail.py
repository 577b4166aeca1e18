"""Outgoing mail: invitations and codes for forgotten passwords. Without a server, features that need mail say so."""

from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from ragflow.settings.env import ESCAPED, Section

_mail = Section("Mail")


def _server(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        is_good = url.scheme in {"smtp", "smtps", "smtp+plain"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if text and not is_good:  # never the URL or a part of it: it may hold a password
        raise ImproperlyConfigured(
            f"RAGFLOW_MAIL_URL must be like smtp://user:password@mail.example.org:587. {ESCAPED}"
        )
    return url


_url = _server(
    _mail.text(
        "RAGFLOW_MAIL_URL",
        secret=True,
        help="smtp://user:password@host:587 (STARTTLS), smtps://...:465 (TLS) or smtp+plain://host:25. Empty: no mail.",
    )
)

EMAIL_PORT = _url.port or {"smtps": 465, "smtp+plain": 25}.get(_url.scheme, 587)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _url.hostname else 'dummy'}.EmailBackend"
EMAIL_HOST = _url.hostname or ""
EMAIL_HOST_USER = unquote(_url.username or "")
EMAIL_HOST_PASSWORD = unquote(_url.password or "")
EMAIL_USE_SSL = _url.scheme == "smtps"
EMAIL_USE_TLS = _url.scheme == "smtp"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = _mail.text("RAGFLOW_MAIL_FROM", "ragflow@localhost", help="Sender address of mail.")
