"""Which documents satisfy a metadata condition.

The database compares nearly all values itself, in one walk along an index. What it would compare differently from
Python, or from another database, is judged here: it finds the different values, which are few, and takes those that
satisfy back as a restriction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, reduce
from itertools import chain
from operator import or_
from typing import Any

from django.db.models import Count, Min, Q, QuerySet

from apps.core.many import NotSoughtBy, among, distinct_ids
from apps.core.wire_profile import profile
from apps.datasets.engine import doc_store
from apps.documents.metadata.comparison import READS_LITERALS, Comparer, read_literal
from apps.documents.metadata.condition import Comparison, Condition
from apps.documents.metadata.index import NO_HASH, Form, equal_hash, hash_of, is_simple
from apps.documents.metadata.translation import NEVER, Untranslatable, translated
from apps.documents.models import Document, MetadataValue

FEW = 10_000
"""Documents. More are not looked up one by one, but met on a walk through all."""


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
    found = [matches(dataset_ids, conditions, Values.TYPED).ids] if conditions else []
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


Alternatives = Sequence["QuerySet[MetadataValue]"]
"""Sets of rows; a document with a row in one of them satisfies what they stand for."""


class Matches:
    """The documents of some datasets that satisfy every one of some alternatives, of which there is at least one."""

    def __init__(self, required: Sequence[Alternatives]) -> None:
        self._required = required

    def among(self, documents: QuerySet[Document]) -> QuerySet[Document]:
        """Return those of the documents, all of these datasets, that satisfy the conditions."""
        if self.count <= FEW:
            return documents.filter(among("pk", list(self.ids))) if self.count else documents.none()
        walked = documents.alias(walked=NotSoughtBy("pk"))
        return walked.filter(*map(_in_one_of, self._required))

    @cached_property
    def count(self) -> int:
        """How many live documents satisfy them. Only live ones have values, so theirs are all that is read."""
        rows, *others = chain.from_iterable(self._required)
        if others:
            return len(self.ids)
        return rows.order_by().values("document_id").annotate(Count("pk")).count()

    @cached_property
    def ids(self) -> set[str]:
        return set.intersection(*map(_ids_in, self._required))


def _in_one_of(alternatives: Alternatives) -> Q:
    return reduce(or_, [Q(walked__in=rows.values("document_id")) for rows in alternatives])


def _ids_in(alternatives: Alternatives) -> set[str]:
    return set.union(*(distinct_ids(rows, "document_id") for rows in alternatives))


def matches(dataset_ids: Sequence[str], conditions: Sequence[Condition], values: Values = Values.FLAT) -> Matches:
    """Find what satisfies all of these conditions, of which there is at least one."""
    return Matches(list(chain.from_iterable(_required_by(dataset_ids, each, values) for each in conditions)))


def _required_by(dataset_ids: Sequence[str], condition: Condition, values: Values) -> list[Alternatives]:
    """Return what a document has to satisfy: all comparisons, or one of them."""
    asked = [_Question(dataset_ids, comparison, values) for comparison in condition.comparisons]
    nothing: list[Alternatives] = [[MetadataValue.objects.none()]]
    if profile().metadata_quirks:
        # The reference goes through the keys as they first appeared, passes over those that nobody has, and gives up
        # when nothing is left, also where a later comparison would have added to it.
        asked = sorted((question for question in asked if question.first), key=lambda question: question.first)
        if asked and not asked[0].rows().exists():
            return nothing
    if not asked:
        return nothing
    sets = [question.rows() for question in asked]
    return [[rows] for rows in sets] if condition.needs_all else [sets]


class _Question:
    """One comparison, asked of the values that the datasets have for its keys."""

    def __init__(self, dataset_ids: Sequence[str], comparison: Comparison, values: Values) -> None:
        self.scope = MetadataValue.objects.filter(dataset_id__in=dataset_ids)
        self.has_key = Q(key_hash__in=[hash_of(key) for key in comparison.keys])
        self._comparison = comparison
        self._values = values
        try:
            self.satisfies = self._translated() | self._judged(self._others())
        except Untranslatable:
            self.satisfies = self._judged(Q())

    @property
    def first(self) -> int:
        """A number that is smaller the earlier a value of the key was written; 0 if there is none."""
        rows = self.scope.filter(self.has_key)
        rows = rows if self._values is Values.TYPED else rows.exclude(value="null")
        return rows.aggregate(first=Min("pk"))["first"] or 0

    def rows(self) -> QuerySet[MetadataValue]:
        return self.scope.filter(self.has_key & self.satisfies)

    def _translated(self) -> Q:
        operator, wanted = self._comparison.operator, self._comparison.value
        if profile().metadata_quirks and operator in READS_LITERALS and read_literal(wanted)[1]:
            raise Untranslatable  # the order of the values matters
        return translated(self._comparison, typed=self._values is Values.TYPED)

    def _others(self) -> Q:
        """Which values the database cannot compare; for equality those that can be equal."""
        others = Q(form=Form.OTHER, number__isnull=True)
        wanted, literal = self._comparison.value, read_literal(self._comparison.value)[0]
        if self._comparison.operator != "=" or not (is_simple(wanted) and is_simple(literal)):
            return others
        return others & Q(text__in={equal_hash(wanted), equal_hash(literal), NO_HASH})

    def _judged(self, candidates: Q) -> Q:
        """Return which of the values that the database can only tell apart satisfy the comparison."""
        different = _different_values(self.scope.filter(self.has_key & candidates))
        if not different:
            return NEVER
        comparer = Comparer(self._comparison.operator, self._comparison.value, remembers=profile().metadata_quirks)
        satisfying: list[int] = []
        others: list[int] = []
        for value_hash, value in different:
            seen = _seen(value, self._values)
            (satisfying if seen is not NO_VALUE and comparer(seen) else others).append(value_hash)
        if len(satisfying) <= len(others):
            return candidates & Q(among("value_hash", satisfying)) if satisfying else NEVER
        return candidates & ~Q(among("value_hash", others))


NO_VALUE = object()


def _seen(value: str, values: Values) -> Any:
    decoded = json.loads(value)
    if values is Values.TYPED:
        return decoded
    return NO_VALUE if decoded is None else str(decoded)


def _different_values(rows: QuerySet[MetadataValue]) -> list[tuple[int, str]]:
    """Return the hash and the JSON of each different value, in the order in which they were first written."""
    firsts = list(rows.order_by().values(*MetadataValue.SAME).annotate(first=Min("pk")).values_list("first", flat=True))
    if not firsts:
        return []
    found = MetadataValue.objects.filter(among("pk", firsts)).order_by("pk")
    return list(found.values_list("value_hash", "value"))
