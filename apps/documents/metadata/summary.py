"""Which metadata the documents of a dataset have: keys, their kind, and how often each value occurs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Min, QuerySet

from apps.core.many import among
from apps.documents.metadata.index import STRING, UNCOUNTED, hash_of
from apps.documents.models import MetadataValue


@dataclass(slots=True)
class KeySummary:
    """Of one key. Counters keep the order of first appearance, so the most common come first, then the earliest."""

    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)  # occurrences by text

    @property
    def kind(self) -> str:
        return self.kinds.most_common(1)[0][0] if self.kinds else STRING


MOST_KEYS, MOST_VALUES = 30, 20
"""Of metadata that a model is told about."""


def common_values(dataset_ids: Sequence[str], keys: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Return fields of these datasets' documents, or those of them that are named, with their most common values."""
    rows = MetadataValue.objects.filter(dataset_id__in=dataset_ids)
    if keys is not None:
        rows = rows.filter(key_hash__in=[hash_of(key) for key in keys])
    counts = _counts(rows.exclude(value__in=["null", '""']))
    firsts = sorted(counts, key=lambda pk: -counts[pk])[: MOST_KEYS * MOST_VALUES]
    values: dict[str, list[Any]] = {}
    for key, text in _samples(firsts).values_list("key", "value"):
        known = values.setdefault(key, [])
        if len(known) < MOST_VALUES:
            known.append(json.loads(text))
    return dict(list(values.items())[:MOST_KEYS])


def summary_of(dataset_id: str, document_ids: Sequence[str] | None = None) -> dict[str, KeySummary]:
    """Return the keys of a dataset, or of these documents of it, in order of first appearance.

    The database counts; what is read is one row per different value. Empty values (null, "", 0, false) count for the
    kind of a key only, and a key without any other value is left out.
    """
    rows = MetadataValue.objects.filter(dataset_id=dataset_id)
    if document_ids is not None:
        rows = rows.filter(among("document_id", document_ids))
    counts = _counts(rows)
    summary: dict[str, KeySummary] = {}
    for pk, key, kind, text in _samples(counts).values_list("pk", "key", "kind", "value"):
        entry = summary.setdefault(key, KeySummary())
        if kind != UNCOUNTED:
            entry.kinds[kind] += counts[pk]
        if value := json.loads(text):
            entry.values[str(value)] += counts[pk]
    return {key: entry for key, entry in summary.items() if entry.values}


def _counts(rows: QuerySet[MetadataValue]) -> dict[int, int]:
    """Return how often each different value of each key occurs, by the id of its first row."""
    groups = rows.order_by().values(*MetadataValue.SAME).annotate(first=Min("pk"), count=Count("pk"))
    return dict(groups.values_list("first", "count"))


def _samples(firsts: Iterable[int]) -> QuerySet[MetadataValue]:
    return MetadataValue.objects.filter(among("pk", list(firsts))).order_by("pk")
