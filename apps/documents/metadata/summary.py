"""Which metadata the documents of a dataset have: keys, their kind, and how often each value occurs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Min

from apps.core.among import among
from apps.documents.metadata.index import STRING, UNCOUNTED
from apps.documents.models import MetadataValue


@dataclass(slots=True)
class KeySummary:
    """Of one key. Counters keep the order of first appearance, so the most common come first, then the earliest."""

    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)  # occurrences by text

    @property
    def kind(self) -> str:
        return self.kinds.most_common(1)[0][0] if self.kinds else STRING


def summary_of(dataset_id: str, document_ids: Sequence[str] | None = None) -> dict[str, KeySummary]:
    """Return the keys of a dataset, or of these documents of it, in order of first appearance.

    The database counts; what is read is one row per different value. Empty values (null, "", 0, false) count for the
    kind of a key only, and a key without any other value is left out.
    """
    rows = MetadataValue.objects.filter(dataset_id=dataset_id)
    if document_ids is not None:
        rows = rows.filter(among("document_id", document_ids))
    groups = rows.order_by().values("key_hash", "equal_hash", "value_hash").annotate(first=Min("pk"), count=Count("pk"))
    counts = {group["first"]: group["count"] for group in groups}
    summary: dict[str, KeySummary] = {}
    samples = MetadataValue.objects.filter(among("pk", list(counts))).order_by("pk")
    for pk, key, kind, text in samples.values_list("pk", "key", "kind", "value"):
        entry = summary.setdefault(key, KeySummary())
        if kind != UNCOUNTED:
            entry.kinds[kind] += counts[pk]
        if value := json.loads(text):
            entry.values[str(value)] += counts[pk]
    return {key: entry for key, entry in summary.items() if entry.values}
