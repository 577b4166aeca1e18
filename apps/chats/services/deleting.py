"""Deleting many rows at once, as the bodies of the contract name them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction

from apps.accounts import audit
from apps.core.many import among


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of a request to delete: how many rows went, and a sentence for each id that could not."""

    deleted: int
    errors: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


@transaction.atomic
def delete_named(
    rows: models.QuerySet[Any],
    ids: Sequence[str],
    *,
    delete: Callable[[Any], int],
    missing: str,
    duplicate: str,
    kind: str,
    tenant_id: str,
) -> Deletion:
    """Delete the named rows, or all of them, in one statement, and record that rows of this kind went."""
    if not ids:
        deleted = delete(rows)
        if deleted:
            audit.record("delete", kind, tenant_id=tenant_id, detail={"count": deleted, "all": True})
        return Deletion(deleted)
    counts = Counter(ids)
    found = set(rows.filter(among("pk", list(counts))).values_list("pk", flat=True))
    deleted = delete(rows.filter(among("pk", list(found))))
    audit.record("delete", kind, ids=sorted(found), tenant_id=tenant_id)
    return Deletion(
        deleted,
        errors=[missing.format(row_id) for row_id in counts if row_id not in found],
        duplicates=[duplicate.format(row_id) for row_id, count in counts.items() if count > 1],
    )
