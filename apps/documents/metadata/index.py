"""What is stored of a document's metadata so that it can be filtered: one entry per value.

Beside the value itself an entry has what a database can compare in its place (see `Form`), in columns that an index
holds. Hashes stand for keys and values because they are of one size whatever the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Final

from apps.documents.metadata.comparison import folded, read_literal

LIST, NUMBER, TIME, STRING = "list", "number", "time", "string"
UNCOUNTED = ""
"""The kind of null, and of all but the first value of a list: a list counts once."""

MOST_CHARACTERS: Final = 255
"""Of text that a database compares: the index of PostgreSQL takes 2,700 bytes in all."""

NO_HASH: Final = ""
"""Of a nested value, which may be equal to anything."""

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


class Form(IntEnum):
    """How a database compares a value."""

    NUMBER = 1  # a JSON number or boolean, by `number` and by `text`
    NUMERAL = 2  # text that is read as a number, by both too
    WORD = 3  # other text, by `text`
    OTHER = 4  # not at all: null, what is nested or long, literals of other types, numbers that a double cannot hold.
    # `text` is then the hash of a value as it is for the operator `=`: values that differ in it are not equal.


@dataclass(frozen=True, slots=True)
class Comparable:
    """What a database compares in place of a value."""

    form: Form
    number: float | None = None
    text: str = ""  # of the value, in lower case


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a key."""

    key: str
    kind: str  # LIST, NUMBER, TIME, STRING or UNCOUNTED
    value: str  # JSON

    @property
    def key_hash(self) -> int:
        return hash_of(self.key)

    @property
    def value_hash(self) -> int:
        return hash_of(f"{self.kind} {self.value}")

    @property
    def comparable(self) -> Comparable:
        return comparable(json.loads(self.value))


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
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), signed=True)


def comparable(value: Any) -> Comparable:
    """Return what a database compares in place of a JSON value."""
    number = double(value)
    if number is None and not isinstance(value, str):
        return _other(value)
    text = str(value).lower()
    if len(text) > MOST_CHARACTERS or not is_storable(text):
        return _other(read_literal(value)[0])
    if number is not None:
        return Comparable(Form.NUMBER, number, text)
    literal, is_literal = read_literal(value)
    if not is_literal:
        return Comparable(Form.WORD, None, text)
    number = double(literal)
    return _other(literal) if number is None else Comparable(Form.NUMERAL, number, text)


def _other(value: Any) -> Comparable:
    return Comparable(Form.OTHER, text=equal_hash(value) if is_simple(value) else NO_HASH)


def equal_hash(value: Any) -> str:
    """Return the same text for any two values that Python finds equal, as long as they are `is_simple`."""
    value = folded(value)
    if isinstance(value, int | float | complex):
        return str(hash_of(f"number {hash(value)}"))
    return str(hash_of(f"{type(value).__name__} {value}"))


def is_simple(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | complex)


def double(value: Any) -> float | None:
    """Return a number as databases hold it; None for one that is another number then, and for all that is none."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == value and math.isfinite(number) else None


def is_storable(text: str) -> bool:
    """Tell whether every database can store a text. Halves of a character are none, and PostgreSQL refuses NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
