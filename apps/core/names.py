"""Names that must be unique among their siblings, in any letter case."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction

from apps.core.errors import Conflict

_Row = TypeVar("_Row")

_NUMBERED = re.compile(r"(?P<stem>.*?)\s*\((?P<number>\d+)\)", re.DOTALL)
_ATTEMPTS = 20
_LONGEST_NUMBER = 16  # bytes of `(n)`


def name_key(name: str) -> str:
    """Return what two names share when they differ in letter case only. Databases disagree on that beyond ASCII.

    Names hold no NUL, which PostgreSQL refuses even in a question; one that was asked for becomes a name nobody has.
    """
    return name.lower().replace("\0", "\ufffd")


def split_suffix(name: str) -> tuple[str, str]:
    """Split at the last dot, which belongs to the suffix. A leading or a final dot starts none."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem.strip(".") and suffix else (name, "")


def free_name(name: str, is_taken: Callable[[str], bool], *, max_bytes: int) -> str:
    """Return the name, or the first of `stem(1).suffix`, `stem(2).suffix`... that is not taken.

    A number that the name ends with is counted on. The stem is cut where the result would exceed `max_bytes` of UTF-8.
    """
    candidate = name
    stem, suffix = split_suffix(name)
    number = 0
    if match := _NUMBERED.fullmatch(stem):
        stem, number = match["stem"], int(match["number"])
    while is_taken(candidate):
        number += 1
        ending = f"({number}){suffix}"
        candidate = _cut(stem, max_bytes - len(ending.encode())) + ending
    return candidate


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
    """Return a look-up: one indexed query, and when the name is taken one more for all names that begin alike."""
    stem, suffix = split_suffix(name)
    beginning = name_key(_cut(_NUMBERED.sub(r"\g<stem>", stem), max_bytes - len(suffix.encode()) - _LONGEST_NUMBER))
    alike: set[str] | None = None

    def is_taken(candidate: str) -> bool:
        nonlocal alike
        if alike is None:
            if not siblings.filter(name_key=name_key(candidate)).exists():
                return False
            alike = set(siblings.filter(name_key__startswith=beginning).values_list("name_key", flat=True))
        return name_key(candidate) in alike

    return is_taken


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[: max(max_bytes, 0)].decode(errors="ignore")
