"""Sending mail, where a mail server is configured."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

log = logging.getLogger(__name__)


class MailNotSent(Exception):
    """The mail server refused or did not answer; the log has its reason."""


def can_send() -> bool:
    return not settings.EMAIL_BACKEND.endswith("dummy.EmailBackend")


def send(*, subject: str, text: str, to: str) -> None:
    """Send a plain text. Raises MailNotSent."""
    try:
        EmailMessage(subject, text, to=[to]).send()
    except (SMTPException, OSError) as error:
        log.warning("A mail could not be sent: %s", type(error).__name__)
        raise MailNotSent from None
