"""Sending mail, where a mail server is configured: by RAGFLOW_MAIL_URL, or by the settings `mail....`."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from apps.accounts import system_settings

log = logging.getLogger(__name__)


class MailNotSent(Exception):
    """The mail server refused or did not answer; the log has its reason."""


def can_send() -> bool:
    return _is_configured() or bool(system_settings.value("mail.server"))


def send(*, subject: str, text: str, to: str) -> None:
    """Send a plain text. Raises MailNotSent."""
    try:
        sender, connection = (None, None) if _is_configured() else _connection()
        EmailMessage(subject, text, from_email=sender, to=[to], connection=connection).send()
    except (SMTPException, OSError, UnicodeError) as error:  # UnicodeError: of a host name or a password
        log.warning("A mail could not be sent: %s", type(error).__name__)
        raise MailNotSent from None


def _is_configured() -> bool:
    return not settings.EMAIL_BACKEND.endswith("dummy.EmailBackend")


def _connection() -> tuple[str, BaseEmailBackend]:
    """Return the sender and the server that an administrator has set."""
    known = system_settings.values("mail.")
    use_ssl, use_tls = known["mail.use_ssl"] == "true", known["mail.use_tls"] == "true"
    connection = get_connection(
        "django.core.mail.backends.smtp.EmailBackend",
        host=known["mail.server"],
        port=int(known["mail.port"] or (465 if use_ssl else 587 if use_tls else 25)),
        username=known["mail.username"],
        password=known["mail.password"],
        use_ssl=use_ssl,
        use_tls=use_tls and not use_ssl,
        timeout=int(known["mail.timeout"]),
    )
    return known["mail.default_sender"] or settings.DEFAULT_FROM_EMAIL, connection
