"""Users and the tenants that they own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from apps.accounts import audit, passwords, selectors, system_settings, throttles
from apps.accounts.errors import AddressTaken, InvalidAddress, RegistrationClosed, WrongCredentials
from apps.accounts.models import Membership, Tenant, User
from apps.accounts.schemas import Registration
from apps.core.errors import BadValue, Conflict

RESERVED_ADDRESS = "admin@ragflow.io"
"""The administrator's address on servers of the contract. Nobody may take it, or log in with it here."""

_ADDRESS = re.compile(r"[\w.-]+@(?:[\w-]+\.)+[\w-]{2,}", re.ASCII)  # what strangers may register with
_NICKNAME_LIMIT = 100


def create_account(
    *,
    email: str,
    password: str | None = None,
    nickname: str = "",
    avatar: str | None = None,
    login_channel: str = "password",
    is_operator: bool = False,
) -> User:
    """Create a user together with the tenant that the user owns; both get the same id.

    Whoever calls knows whose address it is. Without a password the account can only be used by tokens, or through the
    identity provider that `login_channel` names, until one is set. `is_operator` opens the admin pages.
    Raises InvalidAddress, and AddressTaken for one that has an account.
    """
    email = email.strip()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidAddress(email) from None
    user = User(
        email=email,
        nickname=(nickname or email.partition("@")[0])[:_NICKNAME_LIMIT],
        avatar=avatar,
        login_channel=login_channel,
        is_email_proven=True,
        is_staff=is_operator,
        is_superuser=is_operator,
    )
    user.set_password(password)
    return _insert(user)


@dataclass(frozen=True, slots=True)
class NewAdministrator:
    user: User
    password: str  # made up, or the one in the environment


def ensure_administrator() -> NewAdministrator | None:
    """Create the administrator that the environment describes; nothing happens if there is an active one already.

    Raises InvalidAddress, and Conflict when the address is somebody's or all administrators are deactivated.
    """
    administrators = User.objects.filter(is_superuser=True)
    if administrators.filter(is_active=True).exists():
        return None
    if administrators.exists():
        raise Conflict("No administrator is active. Activate one with `manage.py shell`, or make another.")
    password = settings.DEFAULT_SUPERUSER_PASSWORD or secrets.token_urlsafe(12)
    user = create_account(
        email=settings.DEFAULT_SUPERUSER_EMAIL,
        password=password,
        nickname=settings.DEFAULT_SUPERUSER_NICKNAME,
        is_operator=True,
    )
    return NewAdministrator(user, password)


def register(*, data: Registration, address: str) -> User:
    """Create the account of a stranger who calls from a network address. That the e-mail address is his is not proven.

    Raises RegistrationClosed, InvalidAddress, AddressTaken, BadValue for a password that cannot be read, and
    TooManyRequests.
    """
    if not system_settings.is_registration_open():
        raise RegistrationClosed
    throttles.hit(throttles.REGISTRATION_FROM_ADDRESS, address)
    if not _ADDRESS.fullmatch(data.email):
        raise InvalidAddress(data.email)
    if not system_settings.may_register(data.email):
        raise RegistrationClosed
    if data.email.lower() == RESERVED_ADDRESS or _is_taken(data.email):
        raise AddressTaken(data.email)
    user = User(email=data.email, nickname=data.nickname)
    user.set_encoded_password(readable_password("password", data.password))
    return _insert(user)


def create_person(*, email: str, password: object, is_operator: bool) -> User:
    """Create the account that an administrator asks for, with a password as clients send it.

    Raises InvalidAddress, AddressTaken, and BadValue for a password that cannot be read.
    """
    if not _ADDRESS.fullmatch(email):
        raise InvalidAddress(email)
    if _is_taken(email):
        raise AddressTaken(email)
    user = User(email=email, is_email_proven=True, is_staff=is_operator, is_superuser=is_operator)
    user.set_encoded_password(readable_password("password", password))
    return _insert(user)


@transaction.atomic
def create_tenant_for(*, user: User) -> Tenant:
    """Create the tenant that a new user owns."""
    tenant = Tenant.objects.create(id=user.pk, name=f"{user.nickname or user.email}‘s Kingdom"[:128])
    Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.OWNER, invited_by=user)
    return tenant


@transaction.atomic
def update_profile(*, user: User, changes: Mapping[str, str | None]) -> None:
    """Write the given fields of a person's profile."""
    for name, value in changes.items():
        setattr(user, name, value)
    if changes:
        user.save(update_fields=[*changes, "updated_at"])
        audit.record("update", "user", id=user.pk, name=user.email, tenant_id=user.pk, detail={"fields": [*changes]})


def require_password(*, user: User, current: object) -> None:
    """Check a person's current password, as clients send it.

    Raises WrongCredentials, TooManyRequests, and BadValue for what cannot be read.
    """
    text = readable_password("password", current)
    with throttles.failures_count((throttles.PASSWORD_OF_LOGIN, user.pk)):
        if not user.check_encoded_password(text):
            raise WrongCredentials("Password error!")


def set_password(*, user: User, new: object, keep_login: bool) -> None:
    """Give a person who has shown the current password a new one, as clients send it.

    Raises BadValue for what cannot be read, WrongCredentials if the password has changed since the user was read.
    """
    shown = user.password
    user.set_encoded_password(readable_password("new_password", new))
    with transaction.atomic():
        if not User.objects.select_for_update().filter(pk=user.pk, password=shown).exists():
            raise WrongCredentials("Password error!")
        store_password(user=user, keep_login=keep_login)


@transaction.atomic
def store_password(*, user: User, keep_login: bool = False) -> None:
    """Write the password that a user was given, and nothing else of the row.

    The login under the old password ends, unless it is kept: whoever makes the change uses it. Django ends those of
    browsers; API tokens go on.
    """
    written = ["password", "updated_at"]
    if not keep_login:
        user.session_digest = None
        written.append("session_digest")
    user.save(update_fields=written)
    audit.record("set password", "user", id=user.pk, name=user.email, tenant_id=user.pk)


@transaction.atomic
def update_tenant(*, tenant: Tenant, changes: Mapping[str, str | None]) -> None:
    """Write the given fields of a tenant. Whether its models can be used shows when they are."""
    for name, value in changes.items():
        setattr(tenant, name, value)
    tenant.save(update_fields=[*changes, "updated_at"])
    audit.record("update", "tenant", id=tenant.pk, name=tenant.name, tenant_id=tenant.pk, detail={"fields": [*changes]})


def readable_password(name: str, field: object) -> str:
    """Return the text to hash from a field of this name. Raises BadValue."""
    text = passwords.opened(field)
    if text is None:
        raise BadValue(
            f"`{name}` cannot be read: encrypt it under this server's public key.",
            reference="ValueError('Ciphertext with incorrect length (not 256 bytes)')",
        )
    return text


def _insert(user: User) -> User:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            create_tenant_for(user=user)
            audit.record("create", "user", id=user.pk, name=user.email, tenant_id=user.pk)
    except IntegrityError:
        if not _is_taken(user.email):
            raise
        raise AddressTaken(user.email) from None
    return user


def _is_taken(email: str) -> bool:
    return selectors.user_by_email(email) is not None
