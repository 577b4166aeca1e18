"""A copy of spreadsheets in memory, in which one SELECT can do no harm.

Nothing but the copy can be read and nothing can be written: an authoriser refuses everything else, also functions that
are not listed. Time, memory for a value, and the number of rows that come back are limited.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ragflow.engine.errors import SQLRefused
from ragflow.engine.tables.columns import DATASET_ID, DOCUMENT_ID, DOCUMENT_NAME, Column, Kind, Value
from ragflow.engine.tables.packing import PackedTable, rows_of
from ragflow.engine.tables.query import MATCHES, TABLE

MOST_ROWS = 128
MOST_CELLS = 2_000_000
"""What a copy may hold: about 200 MB."""

SECONDS = 5.0  # for one statement
_LONGEST_VALUE = 1_000_000  # bytes
_LONGEST_STATEMENT = 200_000  # bytes
_MOST_COLUMNS = 1_900  # SQLite knows no more than 2,000
_STEPS = 10_000  # of SQLite's machine between two looks at the clock

_FUNCTIONS = frozenset(
    """abs avg cast ceil ceiling coalesce concat count date datetime floor glob group_concat ifnull iif instr julianday
    length like lower ltrim max min nullif replace round rtrim strftime string_agg substr substring sum time total trim
    typeof unicode upper""".split()  # noqa: SIM905 - as a list it would fill a page
) | {MATCHES}
_TYPES = {
    Kind.TEXT: "TEXT COLLATE NOCASE",
    Kind.INTEGER: "INTEGER",
    Kind.REAL: "REAL",
    Kind.TIME: "TEXT",
    Kind.FLAG: "TEXT COLLATE NOCASE",
}
_WORD = re.compile(r"[^\W_]+")
# Scripts without blanks between words.
_NO_BREAKS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


@dataclass(frozen=True, slots=True)
class Sheet:
    """The table of a document. Only rows that one of `chunk_ids` shows may be read."""

    document_id: str
    document_name: str
    dataset_id: str
    table: PackedTable
    chunk_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class Result:
    names: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def columns_of_all(sheets: Sequence[Sheet]) -> tuple[Column, ...]:
    """Return the columns of all sheets, each once."""
    columns: dict[str, Column] = {}
    for sheet in sheets:
        for column in sheet.table.columns:
            columns.setdefault(column.id, column)
    return tuple(columns.values())[:_MOST_COLUMNS]


class Sandbox:
    """All rows of some sheets as one table; a row is NULL in the columns of other sheets. For one thread."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self.columns = columns_of_all(sheets)
        self._deadline = 0.0
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            self._fill(sheets)
            self._lock()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def run(self, sql: str, *, limit: int = MOST_ROWS) -> Result:
        """Return the first rows of a SELECT. Raises SQLRefused with SQLite's own words, or for what it may not do."""
        self._deadline = time.monotonic() + SECONDS
        try:
            cursor = self._connection.execute(sql)
            rows = tuple(cursor.fetchmany(limit))
        except sqlite3.Error as error:
            if "interrupted" in str(error):
                raise SQLRefused(f"The statement takes longer than {SECONDS:g} seconds.") from error
            raise SQLRefused(f"{error}.") from error
        except (sqlite3.Warning, ValueError, OverflowError) as error:  # several statements, a NUL, a huge number
            raise SQLRefused(f"{error}") from error
        return Result(tuple(name for name, *_ in cursor.description or ()), rows)

    def _fill(self, sheets: Sequence[Sheet]) -> None:
        run = self._connection.execute
        run("PRAGMA temp_store = MEMORY")
        identity = "".join(f"{name} TEXT, " for name in (DOCUMENT_ID, DATASET_ID))
        typed = "".join(f', "{column.id}" {_TYPES[column.kind]}' for column in self.columns)
        run(f"CREATE TABLE {TABLE} ({identity}{DOCUMENT_NAME} TEXT COLLATE NOCASE{typed})")
        run("BEGIN")
        known = {column.id for column in self.columns}
        for sheet in sheets:
            places = [place for place, column in enumerate(sheet.table.columns) if column.id in known]
            names = "".join(f', "{sheet.table.columns[place].id}"' for place in places)
            marks = ", ?" * len(places)
            self._connection.executemany(
                f"INSERT INTO {TABLE} ({DOCUMENT_ID}, {DATASET_ID}, {DOCUMENT_NAME}{names}) VALUES (?, ?, ?{marks})",  # noqa: S608 - ids are made of word characters only
                _rows(sheet, places),
            )
        run("COMMIT")

    def _lock(self) -> None:
        connection = self._connection
        connection.create_function(MATCHES, 2, matches_words, deterministic=True)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _LONGEST_STATEMENT)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
        connection.set_authorizer(_allowed)


def _rows(sheet: Sheet, places: Sequence[int]) -> Iterator[tuple[Value, ...]]:
    identity = (sheet.document_id, sheet.dataset_id, sheet.document_name)
    for chunk_id, values in rows_of(sheet.table):
        if chunk_id in sheet.chunk_ids:
            yield (*identity, *(values[place] for place in places))


def _allowed(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first == TABLE:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def matches_words(cell: object, text: object) -> bool:
    """Tell whether a cell holds the words of a text, ignoring case and `%`.

    A text between `%` is also found within words, as is one in a script without blanks between words. A text without
    any word must be the whole cell.
    """
    if cell is None or text is None:
        return False
    held, sought = str(cell).casefold(), str(text).casefold()
    bare = sought.strip("%")
    words = _WORD.findall(bare)
    if not words:
        return held == bare or (bare != sought and bare in held)
    if set(words) <= set(_WORD.findall(held)):
        return True
    return bare in held and (bare != sought or _NO_BREAKS.search(bare) is not None)
