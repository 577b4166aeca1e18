"""Vector spaces in Elasticsearch: a chunk has room for two vectors, one of an even and one of an odd space.

Its length and the number of its space lie beside each vector, so that one of an earlier space is never taken for one of
the space that came in its place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from elasticsearch.dsl.query import Bool, Exists, Query, Range, Term


class Slot(NamedTuple):
    """The names of the fields for one vector of a chunk."""

    vectors: str  # what the names of its vector fields begin with; there is one per length
    dimension: str
    space: str  # absent: 0

    def vector(self, dimension: int) -> str:
        return f"{self.vectors}{dimension}"

    def holds(self, source: dict[str, Any], space: int) -> bool:
        """Tell whether a stored chunk has a vector of this space here."""
        return source.get(self.dimension) is not None and (source.get(self.space) or 0) == space


SLOTS = (Slot("vector_", "dimension", "space"), Slot("odd_vector_", "odd_dimension", "odd_space"))

SLOT_FIELDS = tuple(name for slot in SLOTS for name in (slot.dimension, slot.space))
"""What `Slot.holds` reads."""


def slot_of(space: int) -> Slot:
    return SLOTS[space % 2]


def in_space(space: int) -> Query:
    """Match chunks that have a vector in this space."""
    slot = slot_of(space)
    if space:
        return Term(slot.space, {"value": space})
    return Bool(filter=[Exists(field=slot.dimension)], must_not=[Range(slot.space, {"gt": 0})])


def vector_fields(space: int, vector: Any) -> dict[str, Any]:
    """Return the fields of a chunk that hold its vector."""
    slot = slot_of(space)
    fields = {slot.dimension: len(vector), slot.vector(len(vector)): vector}
    return fields | {slot.space: space} if space else fields


def version_of(hit: dict[str, Any], space: int) -> dict[str, Any]:
    """Return what `adding` has to know of a chunk that has no vector in a space."""
    return {"hit": _if_unchanged(hit), "replaced": hit["_source"].get(slot_of(space).dimension)}


def adding(version: dict[str, Any], routing: str, space: int, vector: Any) -> dict[str, Any]:
    """Return the action that gives a chunk a vector, in place of one of an earlier space, if it is as it was found."""
    old = _no_vector(space, version["replaced"]) if version["replaced"] else {}
    return {**version["hit"], "routing": routing, "doc": old | vector_fields(space, vector)}


def removing(hit: dict[str, Any], routing: str, space: int) -> dict[str, Any]:
    """Return the action that takes its vector in a space from a chunk, if it is as it was found."""
    fields = _no_vector(space, hit["_source"][slot_of(space).dimension])
    return _if_unchanged(hit) | {"routing": routing, "doc": fields}


def _no_vector(space: int, dimension: int) -> dict[str, None]:
    slot = slot_of(space)
    fields = dict.fromkeys((slot.dimension, slot.vector(dimension)))
    return fields | {slot.space: None} if space else fields


def _if_unchanged(hit: dict[str, Any]) -> dict[str, Any]:
    version = {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
    return {"_op_type": "update", "_id": hit["_id"]} | version
