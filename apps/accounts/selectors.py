"""Reading accounts and tokens."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import APIToken, Membership, Tenant, User
from apps.core.crypto import digest
from apps.core.principal import Principal


def token_by_secret(secret: str) -> APIToken | None:
    """Return the usable token with this secret, whose owner is active."""
    token = (
        APIToken.objects.filter(digest=digest(secret))
        .annotate(_owner_active=models.Exists(User.objects.filter(pk=models.OuterRef("tenant_id"), is_active=True)))
        .filter(_owner_active=True)
        .first()
    )
    return token if token is not None and token.is_usable else None


def user_by_email(email: str) -> User | None:
    return User.objects.filter(email__iexact=email.strip()).first()


def tenant_of(principal: Principal) -> Tenant:
    return Tenant.objects.get(pk=principal.tenant_id)


def joined_tenant_ids(principal: Principal) -> models.QuerySet[Membership, str]:
    """Return the tenants whose members include the caller, as a sub-query of ids. Invitations do not count."""
    return (
        Membership.objects.filter(user_id=principal.tenant_id)
        .exclude(role=Membership.Role.INVITED)
        .values_list("tenant_id", flat=True)
    )
