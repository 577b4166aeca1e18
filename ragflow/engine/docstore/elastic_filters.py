"""What chunks a query of the Elasticsearch store is about: ids, documents, and the vector spaces of datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elasticsearch.dsl.query import Bool, Query, Term, Terms

from ragflow.engine.docstore.analysis import clean
from ragflow.engine.docstore.elastic_spaces import SLOT_FIELDS, in_space, slot_of

MAX_TERMS_PER_CLAUSE = 65_536

Body = dict[str, Any]


def any_of(name: str, values: Iterable[str]) -> Query:
    """Match documents whose field has one of these values, however many there are."""
    cleaned = [clean(value) for value in values]
    parts = range(0, len(cleaned) or 1, MAX_TERMS_PER_CLAUSE)  # no values: one clause, which matches nothing
    return Bool(should=[Terms(name, cleaned[start : start + MAX_TERMS_PER_CLAUSE]) for start in parts])


def within(dataset_id: str, document_id: str | None = None) -> list[Query]:
    """Match the chunks of a dataset or of one document."""
    filters: list[Query] = [any_of("dataset_id", [dataset_id])]
    if document_id is not None:
        filters.append(any_of("document_id", [document_id]))
    return filters


def counting(filters: Sequence[Query]) -> Body:
    """Search for nothing but the number of all chunks that match."""
    return {"query": Bool(filter=list(filters)).to_dict(), "size": 0, "track_total_hits": True}


def by_space(dataset_ids: Iterable[str], spaces: Mapping[str, int]) -> dict[int, list[str]]:
    """Group datasets by the vector spaces that they are asked in."""
    grouped: dict[int, list[str]] = {}
    for dataset_id in dict.fromkeys(dataset_ids):
        grouped.setdefault(spaces.get(dataset_id, 0), []).append(clean(dataset_id))
    return grouped


def within_spaces(grouped: Mapping[int, Sequence[str]], *also: Query) -> Query:
    """Match the chunks of these datasets that have a vector in the space of their dataset."""
    parts = (Bool(filter=[any_of("dataset_id", ids), in_space(space), *also]) for space, ids in grouped.items())
    return Bool(should=list(parts), minimum_should_match=1)


def without_vector(dataset_id: str, space: int) -> list[Query]:
    """Match the chunks of a dataset that have no vector in a space."""
    return [*within(dataset_id), Bool(must_not=[in_space(space)])]


def of_other_length(dataset_ids: Sequence[str], space: int, dimension: int) -> Body:
    """Search for a chunk of these datasets whose vector in a space has another length."""
    slot = slot_of(space)
    others = [Term(slot.dimension, {"value": dimension})]
    query = Bool(filter=[any_of("dataset_id", dataset_ids), in_space(space)], must_not=others)
    return {"query": query.to_dict(), "size": 1, "_source": [slot.dimension], "track_total_hits": False}


def incomparable(grouped: Mapping[int, Sequence[str]], dimension: int) -> Body:
    """Search for a chunk of these datasets that has no vector of this length in the space of its dataset."""
    parts = [
        within_spaces({space: ids}, Term(slot_of(space).dimension, {"value": dimension}))
        for space, ids in grouped.items()
    ]
    everywhere = [dataset_id for ids in grouped.values() for dataset_id in ids]
    query = Bool(filter=[any_of("dataset_id", everywhere)], must_not=parts)
    shown = ["dataset_id", *SLOT_FIELDS]
    return {"query": query.to_dict(), "size": 1, "_source": shown, "track_total_hits": False}
