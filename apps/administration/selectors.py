"""Reading for administrators, who see every user."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import APIToken, Tenant, User
from apps.accounts.selectors import tenant_by_id, tokens_of, user_by_email
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import listed_datasets


def users() -> models.QuerySet[User]:
    return User.objects.order_by("email")


def user_named(email: str) -> User | None:
    return user_by_email(email)


def principal_of(user: User) -> Principal:
    """Return the principal as which the user himself sees and makes things."""
    return Principal(user.pk, user.pk)


def tenant_of(user: User) -> Tenant | None:
    return tenant_by_id(user.pk)


def keys_of(user: User) -> models.QuerySet[APIToken]:
    """Return the live API tokens of the user's tenant, newest first."""
    return tokens_of(Tenant(pk=user.pk))


def datasets_of(user: User) -> models.QuerySet[KnowledgeBase]:
    """Return what the user's own list shows."""
    return listed_datasets(principal_of(user))
