"""The keys of the Langfuse project to which a tenant's answers are reported."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.db import transaction

from apps.accounts import audit, throttles
from apps.accounts.langfuse import SECONDS, KeysRefused, Langfuse, LangfuseFailed, Project
from apps.accounts.models import LangfuseKeys, Tenant
from apps.accounts.schemas import LangfuseData
from apps.core.crypto import encrypt
from apps.core.errors import DataError, Unavailable


def set_langfuse_keys(*, tenant: Tenant, data: LangfuseData) -> LangfuseKeys:
    """Store keys once the host has taken them. Raises DataError, Unavailable and TooManyRequests."""
    if not (data.host and data.public_key and data.secret_key):
        raise DataError("Missing required fields")
    try:
        project_of(tenant=tenant, langfuse=Langfuse(data.host, data.public_key, data.secret_key))
    except KeysRefused:
        raise DataError("Invalid Langfuse keys") from None
    except LangfuseFailed as error:
        raise Unavailable(f"Error from Langfuse: {error}") from None
    return _store(tenant, data)


def project_of(*, tenant: Tenant, langfuse: Langfuse) -> Project:
    """Ask which project keys belong to. Raises KeysRefused, LangfuseFailed and TooManyRequests."""
    throttles.hit(throttles.MODEL_CHECKS_OF_TENANT, tenant.pk)
    with throttles.place_to_wait(SECONDS):
        return async_to_sync(langfuse.project)()


@transaction.atomic
def remove_langfuse_keys(*, tenant: Tenant) -> bool:
    """Tell whether there were any."""
    removed, _ = LangfuseKeys.objects.filter(tenant=tenant).delete()
    if removed:
        audit.record("delete", "Langfuse keys", tenant_id=tenant.pk)
    return bool(removed)


@transaction.atomic
def _store(tenant: Tenant, data: LangfuseData) -> LangfuseKeys:
    stored = {"host": data.host, "public_key": data.public_key, "encrypted_secret_key": encrypt(data.secret_key)}
    keys, _ = LangfuseKeys.objects.update_or_create(tenant=tenant, defaults=stored)
    audit.record("set", "Langfuse keys", id=keys.pk, name=data.host, tenant_id=tenant.pk)
    return keys
