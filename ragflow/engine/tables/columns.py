"""Columns of spreadsheets: their ids, and their types by a vote of the cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Value = str | int | float | None

DOCUMENT_ID, DOCUMENT_NAME, DATASET_ID = "doc_id", "docnm_kwd", "kb_id"
"""Columns that say where a row is from, beside those of its sheet."""


class Kind(StrEnum):
    """What a column holds; the value ends its id."""

    TEXT = "tks"
    INTEGER = "long"
    REAL = "flt"
    TIME = "dt"  # YYYY-MM-DD, or YYYY-MM-DD hh:mm:ss
    FLAG = "kwd"  # yes or no


@dataclass(frozen=True, slots=True)
class Column:
    id: str  # a name for SQL
    name: str  # as people read it
    kind: Kind

    @property
    def stem(self) -> str:
        """The id without its type."""
        return self.id.removesuffix(f"_{self.kind}")


_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)
_REAL = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TIME = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_FLAGS = {
    **dict.fromkeys(("yes", "true", "是", "✓", "✔", "☑", "✅", "√"), "yes"),
    **dict.fromkeys(("no", "false", "否", "⍻", "×", "✗", "✘"), "no"),
}
_ASIDE = re.compile(r"/.*|（[^（）]*）|\([^()]*\)", re.DOTALL)
_LARGEST = 2**63 - 1


def columns_of(votes: Mapping[str, Vote]) -> tuple[Column, ...]:
    """Return the columns of these headers, in their order, each with an id that no other column of a table has."""
    columns: dict[str, Column] = {}
    for header, vote in votes.items():
        stem = re.sub(r"\W+", "_", _ASIDE.sub("", header).lower()).strip("_") or "column"
        number, id_ = 1, f"{stem}_{vote.kind}"
        while id_ in columns or id_ in {DOCUMENT_ID, DOCUMENT_NAME, DATASET_ID}:
            number += 1
            id_ = f"{stem}_{number}_{vote.kind}"
        columns[id_] = Column(id_, header.replace("_", " "), vote.kind)
    return tuple(columns.values())


@dataclass(slots=True)
class Vote:
    """How many cells of a column are of each kind."""

    counts: Counter[Kind] = field(default_factory=Counter)

    def count(self, text: str) -> None:
        if text := text.strip():
            self.counts[kind_of(text)] += 1

    @property
    def kind(self) -> Kind:
        """The kind of most cells; text where there is no majority. Whole numbers among others are numbers too."""
        numbers = self.counts[Kind.INTEGER] + self.counts[Kind.REAL]
        number = Kind.REAL if self.counts[Kind.REAL] else Kind.INTEGER
        votes = {kind: self.counts[kind] for kind in (Kind.TEXT, Kind.TIME, Kind.FLAG)} | {number: numbers}
        return max(votes, key=lambda kind: votes[kind])


def kind_of(text: str) -> Kind:
    """Return what a cell is. Numbers with leading zeros, such as post codes, are texts."""
    if _INTEGER.fullmatch(text) and len(text) <= 19 and abs(int(text)) <= _LARGEST:
        return Kind.INTEGER
    if _REAL.fullmatch(text):
        return Kind.REAL
    if text.lower() in _FLAGS:
        return Kind.FLAG
    return Kind.TEXT if _time(text) is None else Kind.TIME


def value_of(text: str, kind: Kind) -> Value:
    """Return a cell as a value of its column; None if it is empty or does not convert."""
    text = text.strip()
    if not text:
        return None
    match kind:
        case Kind.TEXT:
            return text
        case Kind.FLAG:
            return _FLAGS.get(text.lower())
        case Kind.TIME:
            return _time(text)
    found = kind_of(text)
    if found is Kind.INTEGER:
        return int(text)
    return float(text) if found is Kind.REAL else None


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    with suppress(ValueError):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - cells have no time zone
        is_day = not (moment.hour or moment.minute or moment.second)
        return moment.date().isoformat() if is_day else moment.isoformat(sep=" ", timespec="seconds")
    return None


def field_map(columns: Iterable[Column]) -> dict[str, str]:
    """Return the display names of columns by their ids."""
    return {column.id: column.name for column in columns}
