"""Plain questions to a table, read without a model: show a column, find the rows with a value, count them.

Only a question that is understood word for word is answered; every other one is left to a search of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ragflow.engine.tables.answer import TableAnswer, answer_of
from ragflow.engine.tables.columns import DOCUMENT_ID, Column, Kind
from ragflow.engine.tables.query import ROW_COUNT, TABLE, read_query
from ragflow.engine.tables.sandbox import Sandbox, Sheet

_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W_]+")
_COUNTS = re.compile(r"\b(?:how many|number of|count)\b", re.IGNORECASE)
_FILLERS = frozenset(
    """a all an and are as at by called can column columns count data dataset do does each every field fields file find
    for from get give got has have having how i in is it its list many me my named number of on please print record
    records row rows select sheet show spreadsheet table tell that the their there these this those to value values
    was were what where which who whose with you""".split()  # noqa: SIM905 - as a list it would fill a page
)
_MOST_VALUES = 20_000  # different values of a column that a question is compared with


@dataclass(frozen=True, slots=True)
class LookedUp:
    answer: TableAnswer
    sql: str


@dataclass(slots=True)
class _Reading:
    """What the words of a question stand for."""

    words: list[str]
    explained: set[int] = field(default_factory=set)
    columns: dict[str, Column] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)  # SQL by the id of its column
    sheets: Sequence[Sheet] = ()  # that are called by their names

    @property
    def unexplained(self) -> list[int]:
        return [n for n, word in enumerate(self.words) if n not in self.explained and word not in _FILLERS]

    def places(self, phrase: Sequence[str]) -> Iterator[range]:
        """Yield where the words of a phrase stand next to each other, the last one in singular or plural."""
        length = len(phrase)
        for start in range(len(self.words) - length + 1):
            if all(_same(word, other) for word, other in zip(self.words[start:], phrase, strict=False)):
                yield range(start, start + length)


def look_up(question: str, sheets: Sequence[Sheet]) -> LookedUp | None:
    """Answer a plain question from the rows, None if it is not one or nothing is found."""
    reading = _Reading(_words(question))
    if not reading.words:
        return None
    with Sandbox(sheets) as sandbox:
        _find_columns(reading, sandbox.columns)
        _find_values(reading, sandbox)
        _find_numbers(reading, sandbox.columns)
        _find_sheets(reading, sheets)
        sql = _sql(reading, question, sheets)
        if sql is None:
            return None
        answer = answer_of(read_query(sql, sandbox.columns), sandbox)
    return LookedUp(answer, sql) if answer else None


def _find_columns(reading: _Reading, columns: Sequence[Column]) -> None:
    """Take names of columns as what is asked for, also without what stands in parentheses: `price (EUR)`."""
    called = [(phrase, column) for column in columns for phrase in (_words(column.name), column.stem.split("_"))]
    for phrase, column in sorted(called, key=lambda named: -len("".join(named[0]))):
        for place in reading.places(phrase):
            if not reading.explained.issuperset(place):
                reading.explained.update(place)
                reading.columns.setdefault(column.id, column)


def _find_values(reading: _Reading, sandbox: Sandbox) -> None:
    """Take cells that stand in the question as conditions, the longest of each column."""
    for column in sandbox.columns:
        if column.kind is not Kind.TEXT:
            continue
        listed = sandbox.run(f'SELECT DISTINCT "{column.id}" FROM {TABLE}', limit=_MOST_VALUES)  # noqa: S608 - ids are made of word characters only
        cells = sorted((str(cell) for (cell,) in listed.rows if cell is not None), key=len, reverse=True)
        for cell in cells:
            words = _words(cell)
            if not words or _FILLERS.issuperset(words) or len("".join(words)) < 2:
                continue
            place = next(reading.places(words), None)
            if place is not None and not reading.explained.issuperset(place):
                reading.explained.update(place)
                reading.conditions[column.id] = f'"{column.id}" = {_literal(cell)}'
                break


def _find_numbers(reading: _Reading, columns: Sequence[Column]) -> None:
    """Take a number as the value of the column that was named before it, or else after it."""
    numeric = {column.id: column for column in columns if column.kind in (Kind.INTEGER, Kind.REAL)}
    named = [column for column in reading.columns.values() if column.id in numeric]
    for place, word in enumerate(reading.words):
        if place in reading.explained or not word[0].isdigit() or len(named) != 1:
            continue
        reading.explained.add(place)
        reading.conditions[named[0].id] = f'"{named[0].id}" = {word}'


def _find_sheets(reading: _Reading, sheets: Sequence[Sheet]) -> None:
    """Take words of a document's name as meaning that sheet: `employees` are the rows of employees.xlsx."""
    called = []
    for sheet in sheets:
        names = _words(sheet.document_name)
        if places := [n for n in reading.unexplained if any(_same(reading.words[n], name) for name in names)]:
            called.append((sheet, places))
    reading.sheets = [sheet for sheet, _ in called]
    reading.explained.update(n for _, places in called for n in places)


def _sql(reading: _Reading, question: str, sheets: Sequence[Sheet]) -> str | None:
    allowed = 1 if reading.conditions else 0  # "all employees in Sales": what the rows are called
    if len(reading.unexplained) > allowed:
        return None
    asked = [id_ for id_ in reading.columns if id_ not in reading.conditions]
    wanted = [*reading.conditions.values(), *(f'"{id_}" IS NOT NULL' for id_ in asked)]
    if 0 < len(reading.sheets) < len(sheets):
        wanted.append(f"{DOCUMENT_ID} IN ({', '.join(_literal(sheet.document_id) for sheet in reading.sheets)})")
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    if _COUNTS.search(question):
        return f"SELECT {ROW_COUNT} FROM {TABLE}{where}"  # noqa: S608 - made of ids and literals
    shown = asked or _all_of(reading, reading.sheets or sheets)
    if not shown:
        return None
    listed = ", ".join(f'"{id_}"' for id_ in shown)
    return f"SELECT {listed} FROM {TABLE}{where}"  # noqa: S608 - made of ids and literals


def _all_of(reading: _Reading, sheets: Sequence[Sheet]) -> list[str]:
    """Return the columns of the sheets that have all columns of the conditions."""
    if not (reading.conditions or reading.sheets):
        return []
    fitting = [sheet for sheet in sheets if reading.conditions.keys() <= {column.id for column in sheet.table.columns}]
    return list(dict.fromkeys(column.id for sheet in fitting for column in sheet.table.columns))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _same(word: str, other: str) -> bool:
    return word == other or (len(word) > 3 and len(other) > 3 and word.removesuffix("s") == other.removesuffix("s"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
