"""Reading accounts, teams and tokens."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.accounts.langfuse import Langfuse
from apps.accounts.models import APIToken, LangfuseKeys, Membership, ShareToken, Tenant, TenantModel, User
from apps.core.crypto import decrypt, digest
from apps.core.ids import is_id
from apps.core.principal import Principal

Role = Membership.Role

_EDITING = (Role.OWNER, Role.ADMIN, Role.EDITOR)


def token_by_secret(secret: str) -> APIToken | None:
    """Return the usable token with this secret (or, for a while, this previous secret), whose owner is active."""
    hashed = digest(secret)
    token = next(iter(APIToken.objects.raw(_TOKEN_BY_DIGEST, [hashed])), None) or _token_being_replaced(hashed)
    return token if token is not None and token.is_usable else None


# Every request makes this look-up. Written out it costs a tenth of what building it anew each time does.
_TOKEN_BY_DIGEST = (
    f"SELECT token.* FROM {APIToken._meta.db_table} token"  # noqa: S608, SLF001
    f" JOIN {User._meta.db_table} owner ON owner.id = token.tenant_id AND owner.is_active"  # noqa: SLF001
    " WHERE token.digest = %s"
)


def _token_being_replaced(hashed: str) -> APIToken | None:
    """Return the token with this previous secret. For whoever shows it, the token ends when the secret does."""
    rotated = models.Q(previous_digest=hashed, previous_valid_until__gt=timezone.now())
    token = APIToken.objects.filter(rotated).filter(_owner_is_active()).first()
    if token is not None:
        token.expires_at = min(filter(None, (token.expires_at, token.previous_valid_until)))
    return token


def share_token_by_secret(secret: str) -> ShareToken | None:
    """Return the usable share token with this secret, whose owner is active and whose API token is usable, too."""
    tokens = ShareToken.objects.select_related("api_token").filter(digest=digest(secret))
    token = tokens.filter(_owner_is_active()).first()
    if token is None or not token.is_usable:
        return None
    return token if token.api_token is None or token.api_token.is_usable else None


def _owner_is_active() -> models.Exists:
    return models.Exists(User.objects.filter(pk=models.OuterRef("tenant_id"), is_active=True))


def tokens_of(tenant: Tenant) -> models.QuerySet[APIToken]:
    """Return the tokens that have not been revoked, newest first."""
    return APIToken.objects.filter(tenant=tenant, revoked_at=None).select_related("share_token")


def tokens_bound_to(tenant: Tenant, target: str) -> models.QuerySet[APIToken]:
    """Return the tokens for one chat or agent."""
    return tokens_of(tenant).filter(bound_to=target) if target and "\0" not in target else APIToken.objects.none()


def tokens_named(tenant: Tenant, text: str) -> models.QuerySet[APIToken]:
    """Return the tenant's tokens that a text names: one by its secret or its id, or those with this prefix."""
    if "\0" in text:
        return APIToken.objects.none()
    by_secret = models.Q(digest=digest(text)) | models.Q(previous_digest=digest(text))
    return tokens_of(tenant).filter(by_secret | models.Q(pk=text) | models.Q(prefix=text))


def user_by_email(email: str) -> User | None:
    """Return the user with this address, in any letter case."""
    if "\0" in email:
        return None
    return User.objects.alias(lowered=Lower("email")).filter(lowered=email.strip().lower()).first()


def user_by_session(key: str) -> User | None:
    """Return the active user whose live login has this key."""
    user = user_with_login(key)
    return user if user is not None and user.is_active else None


def user_with_login(key: str) -> User | None:
    """Return the user whose live login has this key, also one who has been disabled since."""
    return User.objects.filter(session_digest=digest(key)).first()


def user_of(principal: Principal) -> User:
    """Return the user that a principal stands for: a token acts as the owner of its tenant, whoever issued it."""
    return User.objects.get(pk=principal.tenant_id)


def tenant_of(principal: Principal) -> Tenant:
    return Tenant.objects.select_related("langfuse_keys").get(pk=principal.tenant_id)


def langfuse_keys_of(tenant: Tenant) -> LangfuseKeys | None:
    """Return where the tenant's answers are reported to. It costs no query if the tenant was read along with it."""
    return getattr(tenant, "langfuse_keys", None)


def langfuse_of(tenant: Tenant) -> Langfuse | None:
    """The same, ready to be spoken to; None also when the secret key cannot be read any more."""
    keys = langfuse_keys_of(tenant)
    secret_key = decrypt(keys.encrypted_secret_key) if keys else None
    return Langfuse(keys.host, keys.public_key, secret_key) if keys and secret_key else None


def tenant_or_none(principal: Principal) -> Tenant | None:
    return Tenant.objects.filter(pk=principal.tenant_id).first()


def tenant_by_id(tenant_id: str) -> Tenant | None:
    return Tenant.objects.filter(pk=tenant_id).first() if is_id(tenant_id) else None


def joined_tenant_ids(principal: Principal) -> models.QuerySet[Membership, str]:
    """Return the tenants whose members include the caller, as a sub-query of ids. Invitations do not count."""
    return Membership.objects.filter(user_id=principal.tenant_id, is_pending=False).values_list("tenant_id", flat=True)


def edited_tenant_ids(principal: Principal) -> models.QuerySet[Membership, str]:
    """Return those of the joined tenants where the caller may change what is shared, as a sub-query of ids."""
    return joined_tenant_ids(principal).filter(role__in=_EDITING)


def memberships_of(principal: Principal) -> models.QuerySet[Membership]:
    """Return what the caller belongs or is invited to, the oldest first."""
    return Membership.objects.filter(user_id=principal.tenant_id).order_by("created_at", "pk")


def owners_of(tenant_ids: list[str]) -> dict[str, User]:
    """Return the owners by tenant; a tenant has the id of its owner."""
    return User.objects.in_bulk(tenant_ids)


def team_of(tenant_id: str) -> models.QuerySet[Membership]:
    """Return everybody but the owner, invited people included."""
    return Membership.objects.filter(tenant_id=tenant_id).exclude(role=Role.OWNER).select_related("user")


def membership_of(tenant_id: str, user_id: str) -> Membership | None:
    if not is_id(tenant_id) or not is_id(user_id):
        return None
    return Membership.objects.filter(tenant_id=tenant_id, user_id=user_id).first()


def can_edit(principal: Principal, tenant_id: str) -> bool:
    """Tell whether the caller may change what the tenant shares: its owner, administrators and editors may."""
    return _has_role(principal, tenant_id, *_EDITING)


def can_administer(principal: Principal, tenant_id: str) -> bool:
    """Tell whether the caller may change who belongs to the tenant and its models: owner and administrators may."""
    return _has_role(principal, tenant_id, Role.OWNER, Role.ADMIN)


def belongs_to(principal: Principal, tenant_id: str) -> bool:
    """Tell whether the caller is in the tenant, in whatever role."""
    return _has_role(principal, tenant_id, *Role)


def _has_role(principal: Principal, tenant_id: str, *roles: Membership.Role) -> bool:
    if principal.tenant_id == tenant_id:
        return True
    held = membership_of(tenant_id, principal.tenant_id)
    return held is not None and not held.is_pending and held.role in roles


def models_of(tenant_id: str) -> models.QuerySet[TenantModel]:
    """Return the models that a tenant has configured, by provider and name."""
    return TenantModel.objects.filter(tenant_id=tenant_id).order_by("provider", "name")


def models_named(tenant_id: str, provider: str, names: set[str], *, types: tuple[str, ...]) -> list[TenantModel]:
    """Return a tenant's models of any of these names and types; of one provider, unless that is empty."""
    if any("\0" in name for name in (provider, *names)):
        return []
    named = TenantModel.objects.filter(tenant_id=tenant_id, name__in=names, type__in=types).order_by("created_at", "pk")
    return list(named.filter(provider=provider) if provider else named)
