"""Writing accounts and tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import APIToken, Membership, Tenant, User
from apps.core.crypto import digest, encrypt
from apps.core.errors import Conflict, InvalidArgument
from apps.core.wire_profile import profile

TOKEN_PREFIX = "ragflow-"  # noqa: S105
_SHOWN_CHARACTERS = len(TOKEN_PREFIX) + 5
_LAST_USED_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token and its secret, which is nowhere else."""

    token: APIToken
    secret: str


@transaction.atomic
def create_account(*, email: str, password: str | None = None, nickname: str = "", is_operator: bool = False) -> User:
    """Create a user together with the tenant that the user owns; both get the same id.

    Without a password the account can only be used by tokens until one is set. `is_operator` opens the admin pages.
    Raises InvalidArgument for a malformed address, Conflict for one that is taken.
    """
    email = email.strip()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidArgument(f"Invalid email address: {email}!") from None
    user = User(
        email=email, nickname=nickname or email.partition("@")[0], is_staff=is_operator, is_superuser=is_operator
    )
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"Email: {email} has already registered!") from None
    create_tenant_for(user=user)
    return user


@transaction.atomic
def create_tenant_for(*, user: User) -> Tenant:
    """Create the tenant that a new user owns."""
    tenant = Tenant.objects.create(id=user.pk, name=user.nickname or user.email)
    Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.OWNER)
    return tenant


def create_token(
    *, tenant: Tenant, name: str = "", created_by: User | None = None, expires_at: datetime | None = None
) -> IssuedToken:
    """Issue an API token of 256 random bits."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = APIToken.objects.create(
        tenant=tenant,
        created_by=created_by,
        name=name,
        prefix=secret[:_SHOWN_CHARACTERS],
        digest=digest(secret),
        encrypted_secret=encrypt(secret) if profile().keeps_token_copy else "",
        expires_at=expires_at,
    )
    return IssuedToken(token, secret)


def revoke_token(*, token: APIToken) -> None:
    """Make a token useless from the next request on. The row stays, as a record."""
    APIToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now(), encrypted_secret="")


def note_use(*, token: APIToken) -> None:
    """Remember when a token was used, to the minute: not every request has to write."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _LAST_USED_PRECISION:
        APIToken.objects.filter(pk=token.pk).update(last_used_at=now)
