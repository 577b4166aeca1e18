"""Models that read text from pictures, which the environment configures for everybody.

Clients offer them by name as the layout recogniser of a dataset. Each tenant has rows of its own for them, so that it
can disable them; the values of the variables are in the place of a key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count

from django.conf import settings
from django.db import transaction
from django.utils.crypto import constant_time_compare

from apps.accounts import audit
from apps.accounts.catalogue import OCR
from apps.accounts.models import Tenant, TenantModel
from apps.core.crypto import decrypt, encrypt


def add_models_of_environment(*, tenant: Tenant) -> None:
    """Make sure that the tenant has a model with the present values of each service that the environment names."""
    for provider, values in settings.OCR_SERVICES.items():
        rows = list(TenantModel.objects.filter(tenant=tenant, provider=provider))
        if not any(_has(row, values) for row in rows):
            _add(tenant, provider, values, taken={row.name for row in rows})


@transaction.atomic
def _add(tenant: Tenant, provider: str, values: Mapping[str, str], *, taken: set[str]) -> None:
    names = (f"{provider.lower()}-from-env-{number}" for number in count(1))
    row, is_new = TenantModel.objects.get_or_create(  # another request may add it at this moment
        tenant=tenant,
        provider=provider,
        name=next(name for name in names if name not in taken),
        defaults={"type": OCR, "encrypted_key": encrypt(_as_key(values))},
    )
    if is_new:
        audit.record("set", "model", name=str(row), tenant_id=tenant.pk, detail={"by": "environment"})


def _has(row: TenantModel, values: Mapping[str, str]) -> bool:
    return row.type == OCR and constant_time_compare(decrypt(row.encrypted_key) or "", _as_key(values))


def _as_key(values: Mapping[str, str]) -> str:
    return json.dumps(values, sort_keys=True)
