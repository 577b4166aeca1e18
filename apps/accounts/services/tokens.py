"""API tokens and share tokens."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit, selectors
from apps.accounts.models import APIToken, ShareToken, Tenant, User
from apps.accounts.schemas import BoundToken, NewToken
from apps.core.crypto import digest, encrypt
from apps.core.errors import AccessDenied, Conflict, InvalidArgument, LacksScope, NotFound
from apps.core.principal import ALL_SCOPES, Principal, Scope
from apps.core.wire_profile import profile

TOKEN_PREFIX = "ragflow-"  # noqa: S105
_SHOWN_CHARACTERS = 5
_LAST_USED_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token and its secret, which is nowhere else."""

    token: APIToken
    secret: str


@dataclass(frozen=True, slots=True)
class IssuedShareToken:
    token: ShareToken
    secret: str


@dataclass(frozen=True, slots=True)
class IssuedPair:
    """A new API token with the share token that goes with it."""

    token: APIToken
    secret: str
    share_secret: str


@transaction.atomic
def create_token(
    *,
    tenant: Tenant,
    name: str = "",
    created_by: User | None = None,
    expires_at: datetime | None = None,
    scopes: Collection[Scope] = ALL_SCOPES,
    dataset_ids: Collection[str] | None = None,
    assistant_ids: Collection[str] | None = None,
    requests_per_minute: int | None = None,
    bound_to: str = "",
    is_bound_to_agent: bool = False,
) -> IssuedToken:
    """Issue an API token of 256 random bits."""
    secret = _new_secret()
    token = APIToken.objects.create(
        tenant=tenant,
        created_by=created_by,
        name=name,
        expires_at=expires_at,
        scopes=sorted(scopes),
        dataset_ids=None if dataset_ids is None else sorted(dataset_ids),
        assistant_ids=None if assistant_ids is None else sorted(assistant_ids),
        requests_per_minute=requests_per_minute,
        bound_to=bound_to,
        is_bound_to_agent=is_bound_to_agent,
        **_kept(secret, visible=TOKEN_PREFIX),
    )
    _record("create", token, scopes=token.scopes)
    return IssuedToken(token, secret)


@transaction.atomic
def create_pair(*, principal: Principal, tenant: Tenant, data: NewToken) -> IssuedPair:
    """Issue an API token and its share token on behalf of a caller, who cannot give more than it has itself.

    Without an end of its own the new token ends with the caller's, and without a rate it has the caller's. Raises
    LacksScope for a scope that the caller's own token lacks, InvalidArgument for an end that has passed or that the
    caller's does not reach, and for a higher rate.
    """
    scopes = principal.scopes if data.scopes is None else frozenset(data.scopes)
    for scope in sorted(scopes - principal.scopes):
        raise LacksScope(scope)
    expires_at = data.expires_at or principal.expires_at
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidArgument("`expires_at` must lie in the future.")
    if principal.ends_before(expires_at):
        raise InvalidArgument("`expires_at` must not be later than the end of the token that asks.")
    own_rate = principal.requests_per_minute
    rate = data.requests_per_minute or own_rate
    if rate and own_rate and rate > own_rate:
        raise InvalidArgument("`requests_per_minute` must not be more than that of the token that asks.")
    narrowed = data.dataset_ids is not None or data.assistant_ids is not None
    if narrowed and data.scopes is None:
        scopes -= {Scope.ADMIN}
    if narrowed and Scope.ADMIN in scopes:
        raise InvalidArgument("A token that is limited to datasets or assistants cannot have the scope `admin`.")
    issued = create_token(
        tenant=tenant,
        name=data.name or "",
        created_by=selectors.user_of(principal),
        expires_at=expires_at,
        scopes=scopes,
        dataset_ids=data.dataset_ids,
        assistant_ids=data.assistant_ids,
        requests_per_minute=rate,
    )
    shared = create_share_token(tenant=tenant, api_token=issued.token, expires_at=issued.token.expires_at)
    return IssuedPair(issued.token, issued.secret, shared.secret)


def create_bound_token(*, principal: Principal, tenant: Tenant, data: BoundToken) -> IssuedToken:
    """Issue a token that can do one thing: chat with one assistant or agent. Raises LacksScope for who may not."""
    if Scope.CHAT not in principal.scopes:
        raise LacksScope(Scope.CHAT)
    return create_token(
        tenant=tenant,
        created_by=selectors.user_of(principal),
        expires_at=principal.expires_at,
        scopes={Scope.CHAT},
        requests_per_minute=principal.requests_per_minute,
        assistant_ids={data.bound_to},
        bound_to=data.bound_to,
        is_bound_to_agent=data.is_agent,
    )


@transaction.atomic
def create_share_token(
    *, tenant: Tenant, api_token: APIToken | None = None, expires_at: datetime | None = None
) -> IssuedShareToken:
    """Issue a share token of 192 random bits. With an API token, it goes when that does."""
    secret = secrets.token_urlsafe(24)
    token = ShareToken.objects.create(
        tenant=tenant, api_token=api_token, expires_at=expires_at, **_kept(secret, visible="")
    )
    if api_token is None:
        _record("create", token)
    return IssuedShareToken(token, secret)


def add_share_tokens(*, tokens: Collection[APIToken]) -> None:
    """Give each of these tokens that has no share token one."""
    for token in tokens:
        if not hasattr(token, "share_token"):
            with suppress(IntegrityError):  # another request gives it one at this moment
                create_share_token(tenant=token.tenant, api_token=token, expires_at=token.expires_at)


def rotate_token(*, principal: Principal, tenant: Tenant, name: str, overlap: timedelta) -> IssuedToken:
    """Give a token a new secret. The old one works until the overlap has passed.

    Raises NotFound; Conflict when that has happened already to the secret that names it, or happens at this moment;
    LacksScope and AccessDenied when the token may do what the caller may not, or for longer.
    """
    token = _only_token(tenant, name)
    if token is None:
        raise NotFound("There is no such token.")
    for scope in token.scopes:
        if scope not in principal.scopes:
            raise LacksScope(scope)
    if principal.ends_before(token.expires_at):
        raise AccessDenied("The token that asks ends before the one that is to be rotated.")
    secret = _new_secret()
    with transaction.atomic():
        unchanged = APIToken.objects.filter(pk=token.pk, digest=token.digest, revoked_at=None)
        token = unchanged.exclude(previous_digest=digest(name)).select_for_update().first()
        if token is None:
            raise Conflict("This token has just been rotated or revoked. Name it by its id to rotate it again.")
        token.previous_digest = token.digest if overlap else None
        token.previous_valid_until = timezone.now() + overlap if overlap else None
        for field, value in _kept(secret, visible=TOKEN_PREFIX).items():
            setattr(token, field, value)
        token.save()
        _record("rotate", token)
    return IssuedToken(token, secret)


def revoke_named(*, tenant: Tenant, name: str) -> bool:
    """Revoke the token that a text names by secret, prefix or id. Return whether there is one. Raises Conflict."""
    token = _only_token(tenant, name)
    if token is not None:
        revoke_token(token=token)
    return token is not None


@transaction.atomic
def revoke_token(*, token: APIToken) -> None:
    """Make a token and its share token useless from the next request on. The rows stay, as a record."""
    gone = {"revoked_at": timezone.now(), "encrypted_secret": ""}
    if APIToken.objects.filter(pk=token.pk, revoked_at=None).update(**gone, previous_digest=None):
        _record("revoke", token)
    ShareToken.objects.filter(api_token=token, revoked_at=None).update(**gone)


@transaction.atomic
def revoke_share_token(*, token: ShareToken) -> None:
    live = ShareToken.objects.filter(pk=token.pk, revoked_at=None)
    if live.update(revoked_at=timezone.now(), encrypted_secret=""):
        _record("revoke", token)


def note_use(*, token: APIToken | ShareToken) -> None:
    """Remember when a token was used, to the minute: not every request has to write."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _LAST_USED_PRECISION:
        type(token).objects.filter(pk=token.pk).update(last_used_at=now)


def _record(action: str, token: APIToken | ShareToken, **detail: object) -> None:
    kind = "token" if isinstance(token, APIToken) else "share token"
    audit.record(action, kind, id=token.pk, name=str(token), tenant_id=token.tenant_id, detail=detail)


def _only_token(tenant: Tenant, name: str) -> APIToken | None:
    found = list(selectors.tokens_named(tenant, name)[:2])
    if len(found) > 1:
        raise Conflict(f"More than one token begins with {name}. Use the id.")
    return found[0] if found else None


def _new_secret() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def _kept(secret: str, *, visible: str) -> dict[str, str]:
    """Return what is stored of a secret, whose first characters are the same for all of its kind."""
    return {
        "prefix": secret[: len(visible) + _SHOWN_CHARACTERS],
        "digest": digest(secret),
        "encrypted_secret": encrypt(secret) if profile().keeps_token_copy else "",
    }
