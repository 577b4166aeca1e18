"""What is stored of a document's metadata so that it can be filtered: one entry per value, hashes in place of text.

Hashes are of one size whatever the text, so an index of the database can hold them, and grouping by them reads that
index only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from apps.documents.metadata.comparison import folded, read_literal

LIST, NUMBER, TIME, STRING = "list", "number", "time", "string"
UNCOUNTED = ""
"""The kind of null, and of all but the first value of a list: a list counts once."""

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a key. Values with different `equal_hash` are never equal for the operator `=`."""

    key: str
    kind: str  # LIST, NUMBER, TIME, STRING or UNCOUNTED
    value: str  # JSON

    @property
    def key_hash(self) -> int:
        return hash_of(self.key)

    @property
    def equal_hash(self) -> int:
        return equal_hash(read_literal(json.loads(self.value))[0])

    @property
    def value_hash(self) -> int:
        return hash_of(f"{self.kind} {self.value}")


def entries_of(fields: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the values of a document's metadata in their order. Lists are expanded by one level."""
    for key, value in fields.items():
        if not isinstance(value, list):
            yield Entry(key, kind_of(value), json.dumps(value))
            continue
        for number, element in enumerate(value):
            yield Entry(key, UNCOUNTED if number else LIST, json.dumps(element))


def kind_of(value: Any) -> str:
    if value is None:
        return UNCOUNTED
    if isinstance(value, int | float) and not isinstance(value, bool):
        return NUMBER
    return TIME if isinstance(value, str) and _TIME.match(value) else STRING


def hash_of(text: str) -> int:
    """Return 64 bits as a signed number, which every database can store."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def equal_hash(value: Any) -> int:
    """Return the same number for any two values that Python finds equal, as long as they are `is_simple`."""
    value = folded(value)
    if isinstance(value, bool | int | float | complex):
        return hash_of(f"number {hash(value)}")
    return hash_of(f"{type(value).__name__} {value}")


def is_simple(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float | complex)
