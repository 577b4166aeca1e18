"""Names that must be unique among their siblings, in any letter case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction

from apps.core.errors import Conflict

_Row = TypeVar("_Row")
_Named = TypeVar("_Named", bound=models.Model)

_NUMBERED = re.compile(r"(?P<stem>.*?)\s*\((?P<number>\d+)\)", re.DOTALL)
_ATTEMPTS = 20
_LONGEST_KEY = 512  # characters: no column of keys is wider


def name_key(name: str) -> str:
    """Return what two names share when they differ in letter case only. Databases disagree on that beyond ASCII.

    Names hold no NUL, which PostgreSQL refuses even in a question; one that was asked for becomes a name nobody has.
    """
    return name.lower().replace("\0", "\ufffd")


def named_like(rows: models.QuerySet[_Named], text: str) -> models.QuerySet[_Named]:
    """Return those rows whose name contains a text, in any letter case; all of them for an empty one.

    A text longer than any name is not looked for: SQLite refuses patterns of 50,000 bytes.
    """
    key = name_key(text)
    if len(key) > _LONGEST_KEY:
        return rows.none()
    return rows.filter(name_key__contains=key) if key else rows


def split_suffix(name: str) -> tuple[str, str]:
    """Split at the last dot, which belongs to the suffix. A leading or a final dot starts none."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem.strip(".") and suffix else (name, "")


def free_name(name: str, is_taken: Callable[[str], bool], *, max_bytes: int) -> str:
    """Return the name, or the first of `stem(1).suffix`, `stem(2).suffix`... that is not taken.

    A number that the name ends with is counted on. The stem is cut where the result would exceed `max_bytes` of UTF-8.
    """
    return next(candidate for candidate in _candidates(name, max_bytes) if not is_taken(candidate))


def _candidates(name: str, max_bytes: int) -> Iterator[str]:
    yield name
    stem, suffix = split_suffix(name)
    number = 0
    if match := _NUMBERED.fullmatch(stem):
        stem, number = match["stem"], int(match["number"])
    while True:
        number += 1
        ending = f"({number}){suffix}"
        yield _cut(stem, max_bytes - len(ending.encode())) + ending


def insert_with_free_name(
    name: str, *, siblings: models.QuerySet[Any], insert: Callable[[str], _Row], max_bytes: int
) -> _Row:
    """Call `insert` with a name that no sibling has. When another transaction takes it first, choose again."""
    for _ in range(_ATTEMPTS):
        free = free_name(name, taken_among(siblings, name, max_bytes=max_bytes), max_bytes=max_bytes)
        try:
            with transaction.atomic():
                return insert(free)
        except IntegrityError:
            if not siblings.filter(name_key=name_key(free)).exists():
                raise
    raise Conflict(f"Too many others are taking names like {name!r} at this moment. Try again.")


def taken_among(siblings: models.QuerySet[Any], name: str, *, max_bytes: int) -> Callable[[str], bool]:
    """Return a look-up for `free_name` of the same name: one indexed query, and a few more when the name is taken."""
    candidates = _candidates(name, max_bytes)
    sizes = chain([1, 20], repeat(500))
    known: set[str] = set()
    taken: set[str] = set()

    def is_taken(candidate: str) -> bool:
        key = name_key(candidate)
        while key not in known:
            keys = [name_key(other) for other in islice(candidates, next(sizes))]
            known.update(keys)
            taken.update(siblings.filter(name_key__in=keys).values_list("name_key", flat=True))
        return key in taken

    return is_taken


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[: max(max_bytes, 0)].decode(errors="ignore")
