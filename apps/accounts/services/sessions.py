"""Login and logout."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit, passwords, selectors, session_tokens, throttles
from apps.accounts.errors import AccountDisabled, UnknownAddress, UnreadablePassword, WrongCredentials
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
    user = authenticate(email=email, text=passwords.opened(password), address=address)
    if not user.is_active:
        note_refused_login(email, "the account is disabled")
        raise AccountDisabled
    return start_session(user=user)


def authenticate(*, email: str, text: str | None, address: str) -> User:
    """Return the user whose password has this base64 text (None: it could not be read), disabled or not.

    Raises WrongCredentials, its kinds UnknownAddress and UnreadablePassword, and TooManyRequests.
    """
    email = email.strip()
    with throttles.login_attempt(email, address):
        try:
            return _user_with_password(email, text)
        except WrongCredentials:
            note_refused_login(email, "wrong credentials")
            raise


def note_refused_login(email: str, reason: str) -> None:
    """Record it. What is not like an address may be a password in the wrong field, so it is left out."""
    audit.record("refuse login", "user", name=email if "@" in email else "", detail={"reason": reason})


@transaction.atomic
def start_session(*, user: User) -> StartedSession:
    """Give a user a fresh session token.

    Raises WrongCredentials if the password has changed since the user was read: it may be the old one that was shown.
    """
    key = session_tokens.new_key()
    user.session_digest = digest(key)
    user.last_login = user.updated_at = timezone.now()
    fresh = {name: getattr(user, name) for name in ("session_digest", "last_login", "updated_at")}
    if not User.objects.filter(pk=user.pk, password=user.password).update(**fresh):
        raise WrongCredentials
    audit.acts_as_user(user)
    audit.record("login", "user", id=user.pk, name=user.email, tenant_id=user.pk)
    return StartedSession(user, session_tokens.token_of(key))


@transaction.atomic
def end_session(*, user: User) -> None:
    """Make the user's session token useless."""
    user.session_digest = None
    user.save(update_fields=["session_digest", "updated_at"])
    audit.record("logout", "user", id=user.pk, name=user.email, tenant_id=user.pk)


def _user_with_password(email: str, text: str | None) -> User:
    """Return the user. Whatever is wrong, exactly one password is hashed, so the time taken does not tell."""
    user = selectors.user_by_email(email)
    if user is None or text is None:
        User().set_encoded_password("")
    if user is None:
        raise UnknownAddress(email)
    if text is None:
        raise UnreadablePassword
    if not user.check_encoded_password(text):
        raise WrongCredentials
    return user
