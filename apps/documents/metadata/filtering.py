"""Which documents satisfy a metadata condition.

The database finds the different values of a key, which are few; Python compares those, so every operator means the same
on every database; the values that satisfy go back to the database as a restriction. Equality looks only at values that
can be equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Min, Q, QuerySet

from apps.core.many import among, distinct_ids
from apps.core.wire_profile import profile
from apps.datasets.engine import doc_store
from apps.documents.metadata.comparison import Comparer, read_literal
from apps.documents.metadata.condition import Comparison, Condition
from apps.documents.metadata.index import equal_hash, hash_of, is_simple
from apps.documents.models import Document, MetadataValue


class Values(Enum):
    """What a condition sees of a value."""

    TYPED = "typed"  # searches: JSON types
    FLAT = "flat"  # lists of documents: Python's text of the value; null is no value


@dataclass(frozen=True, slots=True)
class Restriction:
    """Which documents a search may answer from: those named, or all but those named."""

    matched: int  # documents that may be found
    document_ids: tuple[str, ...] | None = None  # None: all but `excluded_ids`
    excluded_ids: tuple[str, ...] = ()


def matching_documents(
    dataset_ids: Sequence[str], *conditions: Condition, among_ids: Iterable[str] | None = None
) -> Restriction:
    """Find the documents of these datasets that satisfy all conditions and, if ids are given, are among them.

    At least one condition or the ids must be given. The datasets must be ones that the caller may read.
    """
    found = [_ids(dataset_ids, condition) for condition in conditions]
    if among_ids is not None:
        found.append(set(among_ids))
    matched = set.intersection(*found)
    most = doc_store().most_named_documents
    if most is None or len(matched) <= most:
        return Restriction(len(matched), tuple(matched))
    # Those being deleted may still have chunks: they do not match, so they are among those left out.
    rest = distinct_ids(Document.objects.filter(dataset_id__in=dataset_ids), "pk") - matched
    if len(rest) < len(matched):
        return Restriction(len(matched), None, tuple(rest))
    return Restriction(len(matched), tuple(matched))


def restricted(
    documents: QuerySet[Document], dataset_ids: Sequence[str], condition: Condition, *, values: Values = Values.FLAT
) -> QuerySet[Document]:
    """Return those of the documents, all of these datasets, that satisfy a condition."""
    parts = [Q(pk__in=rows.values("document_id")) for rows in _satisfying(dataset_ids, condition, values)]
    if not parts:
        return documents.none()
    if condition.needs_all:
        return documents.filter(*parts)
    return documents.filter(reduce(or_, parts))


def _ids(dataset_ids: Sequence[str], condition: Condition) -> set[str]:
    found = [distinct_ids(rows, "document_id") for rows in _satisfying(dataset_ids, condition, Values.TYPED)]
    if not found:
        return set()
    return set.intersection(*found) if condition.needs_all else set.union(*found)


def _satisfying(dataset_ids: Sequence[str], condition: Condition, values: Values) -> list[QuerySet[MetadataValue]]:
    """Return for each comparison the values that satisfy it. No comparison is satisfied by a key that nobody has."""
    if not profile().metadata_quirks:
        return [_Question(dataset_ids, comparison, values).rows() for comparison in condition.comparisons]
    # The reference goes through the keys as they first appeared, passes over those that nobody has, and gives up when
    # nothing is left, also where a later comparison would have added to it.
    asked = [_Question(dataset_ids, comparison, values) for comparison in condition.comparisons]
    known = sorted((question for question in asked if question.first), key=lambda question: question.first)
    if known and not known[0].satisfied:
        return []
    return [question.rows() for question in known]


class _Question:
    """One comparison, asked of the values that the datasets have for its keys."""

    def __init__(self, dataset_ids: Sequence[str], comparison: Comparison, values: Values) -> None:
        keys = [hash_of(key) for key in comparison.keys]
        self._of_key = MetadataValue.objects.filter(dataset_id__in=dataset_ids, key_hash__in=keys)
        self._comparison = comparison
        self._values = values
        self._candidates = self._of_key
        if equals := _equal_hashes(comparison):
            self._candidates = self._of_key.filter(equal_hash__in=equals)
        self._is_narrowed = bool(equals)
        self._judge()

    def _judge(self) -> None:
        comparer = Comparer(self._comparison.operator, self._comparison.value, remembers=profile().metadata_quirks)
        self.satisfied: list[int] = []
        self._others: list[int] = []
        for value_hash, value in different_values(self._candidates):
            seen = _seen(value, self._values)
            (self.satisfied if seen is not NO_VALUE and comparer(seen) else self._others).append(value_hash)

    @property
    def first(self) -> int:
        """A number that is smaller the earlier a value of the key was written; 0 if there is none."""
        rows = self._of_key if self._values is Values.TYPED else self._of_key.exclude(value="null")
        return rows.aggregate(first=Min("pk"))["first"] or 0

    def rows(self) -> QuerySet[MetadataValue]:
        if not self.satisfied:
            return MetadataValue.objects.none()
        if self._is_narrowed or len(self.satisfied) <= len(self._others):
            return self._candidates.filter(among("value_hash", self.satisfied))
        return self._candidates.exclude(among("value_hash", self._others)) if self._others else self._candidates


NO_VALUE = object()


def _seen(value: str, values: Values) -> Any:
    decoded = json.loads(value)
    if values is Values.TYPED:
        return decoded
    return NO_VALUE if decoded is None else str(decoded)


def _equal_hashes(comparison: Comparison) -> set[int]:
    """Return the hashes of all values that can be equal to the comparison's; nothing where these cannot be told."""
    literal, _ = read_literal(comparison.value)
    if comparison.operator != "=" or not (is_simple(comparison.value) and is_simple(literal)):
        return set()
    return {equal_hash(comparison.value), equal_hash(literal)}


def different_values(rows: QuerySet[MetadataValue]) -> list[tuple[int, str]]:
    """Return the hash and the JSON of each different value, in the order in which they were first written."""
    groups = rows.order_by().values("key_hash", "equal_hash", "value_hash").annotate(first=Min("pk"))
    firsts = list(groups.values_list("first", flat=True))
    found = MetadataValue.objects.filter(among("pk", firsts)).order_by("pk")
    return list(found.values_list("value_hash", "value"))
