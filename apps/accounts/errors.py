"""What can go wrong with accounts, where the contract has a text or a code of its own for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from apps.core import errors


class InvalidAddress(errors.InvalidArgument):
    code = 103
    data = False

    def __init__(self, email: str) -> None:
        super().__init__(f"Invalid email address: {email}!")


class AddressTaken(errors.Conflict):
    code = 103
    data = False

    def __init__(self, email: str) -> None:
        super().__init__(f"Email: {email} has already registered!")


class RegistrationClosed(errors.OperationRefused):
    data = False

    def __init__(self) -> None:
        super().__init__("User registration is disabled!")


class WrongCredentials(errors.RagflowError):
    """The same answer for an unknown address and a wrong password, except where the reference says which it was."""

    key, code, status = "wrong_credentials", 109, 401
    data = False

    def __init__(self, message: str = "Email and password do not match!", *, reference: str | None = None) -> None:
        super().__init__(message, reference=reference)


class UnknownAddress(WrongCredentials):
    def __init__(self, email: str) -> None:
        super().__init__(reference=f"Email: {email} is not registered!")


class UnreadablePassword(WrongCredentials):
    key = "password_unreadable"

    def __init__(self) -> None:
        super().__init__(reference="Fail to crypt password")


class AccountDisabled(errors.RagflowError):
    key, code, status = "account_disabled", 403, 403
    data = False

    def __init__(self) -> None:
        super().__init__("This account has been disabled, please contact the administrator!")


class NotYours(errors.AccessDenied):
    data = False

    def __init__(self) -> None:
        super().__init__("No authorization.")


class TooEarly(errors.RagflowError):
    """A captcha or code has run out, or the next one cannot be had yet."""

    key, code, status = "not_effective", 10, 400
    data = False


class MailFailed(errors.RagflowError):
    key, code, status = "mail_failed", 500, 502
    data = False

    def __init__(self) -> None:
        super().__init__("failed to send email")


class ShareTokenInvalid(errors.RagflowError):
    """No share token on an endpoint that takes nothing else. The stray quotation mark is part of the contract."""

    key, code, status = "share_token_invalid", 102, 401

    def __init__(self, message: str = "Authentication error: API key is invalid!") -> None:
        super().__init__(message, reference=f'{message}"')


class ShareTokenMissing(errors.RagflowError):
    key, code, status = "share_token_missing", 102, 401
    data = None

    def __init__(self) -> None:
        reference = """AttributeError("'NoneType' object has no attribute 'split'")"""
        super().__init__("`Authorization` can't be empty: name a share token.", reference=reference)


class UnknownChannel(errors.BadValue):
    def __init__(self, name: str) -> None:
        sentence = f"Invalid channel name: {name}"
        super().__init__(sentence, reference=repr(ValueError(sentence)))


class LoginRefused(errors.RagflowError):
    """A login through an identity provider came to nothing; the message is what the web page is told."""

    key, code, status = "login_refused", 109, 401
    data = False


LOGIN_FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "invalid_state": "It took too long, was ended before, or began in another browser. Please try again.",
        "missing_code": "The provider did not let you in, or you declined.",
        "token_failed": "The provider's answer was not good. The administrator finds the reason in the log.",
        "user:email not in scope": "GitHub was not allowed to tell your e-mail address.",
        "contact:user.email:readonly not in scope": "Feishu was not allowed to tell your e-mail address.",
        "email_missing": "The provider did not tell an e-mail address.",
        "email_not_verified": "The provider does not say that the e-mail address is verified.",
        "email_not_supported": "The e-mail address has letters that are not supported here.",
        "user_inactive": "This account is disabled. Please contact the administrator.",
        RegistrationClosed().message: "There is no account with your e-mail address, and new ones are not open to all.",
    }
)
"""What the start page says for the reasons that it is told."""


def login_failure(reason: str) -> str:
    """Return what to tell somebody whose login failed. The reason is part of an address, which anybody can make up."""
    return LOGIN_FAILURES.get(reason, "Please try again later.")
