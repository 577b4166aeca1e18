"""Login and logout."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from apps.accounts import passwords, selectors, session_tokens, throttles
from apps.accounts.errors import AccountDisabled, UnreadablePassword, WrongCredentials
from apps.accounts.models import User
from apps.accounts.services.accounts import RESERVED_ADDRESS
from apps.core.crypto import digest


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A login and its token, which is nowhere else."""

    user: User
    token: str


def log_in(*, email: str, password: object, address: str) -> StartedSession:
    """Start the session of whoever knows a password; it ends the user's earlier one.

    `password` is as clients send it, `address` the network address they call from. Raises WrongCredentials,
    UnreadablePassword, AccountDisabled and TooManyRequests.
    """
    email = email.strip()
    if email.lower() == RESERVED_ADDRESS:
        raise WrongCredentials("Default admin account cannot be used to login normal services!")
    with throttles.failures_count((throttles.LOGIN_FROM_ADDRESS, address), (throttles.LOGIN_OF_ACCOUNT, email.lower())):
        user = _user_with_password(email, password)
    if not user.is_active:
        raise AccountDisabled
    return start_session(user=user)


def start_session(*, user: User) -> StartedSession:
    """Give a user a fresh session token."""
    key = session_tokens.new_key()
    user.session_digest = digest(key)
    user.last_login = timezone.now()
    user.save(update_fields=["session_digest", "last_login", "updated_at"])
    return StartedSession(user, session_tokens.token_of(key))


def end_session(*, user: User) -> None:
    """Make the user's session token useless."""
    user.session_digest = None
    user.save(update_fields=["session_digest", "updated_at"])


def _user_with_password(email: str, password: object) -> User:
    """Return the user. Whatever is wrong, exactly one password is hashed, so the time taken does not tell."""
    user = selectors.user_by_email(email)
    text = passwords.opened(password)
    if user is None or text is None:
        User().set_encoded_password("")
    if user is None:
        raise WrongCredentials(reference=f"Email: {email} is not registered!")
    if text is None:
        raise UnreadablePassword
    if not user.check_encoded_password(text):
        raise WrongCredentials
    return user
