"""Rows of spreadsheets and CSV files as blocks: one line per row, HTML tables of a dozen rows, or the cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from ragflow.engine.errors import MalformedFile
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.tables import grid_html
from ragflow.engine.types import Block, BlockKind, Notice

TABLE_ROWS = 12
DEFAULT_SHEET_NAME = re.compile(
    r"(sheet|tabelle|feuil|feuille|hoja|foglio|planilha|лист|シート|工作表|表格)\s*\d*", re.IGNORECASE
)

UNNAMED = frozenset({"id", "_id", "index", "idx"})
"""Columns that only number the rows: they are left out of a table's rows."""

Row = list[str]


def row_blocks(source: Source, rows: Iterable[Row], *, sheet: str = "") -> Iterator[Block | Notice]:
    """Yield the blocks of one sheet as the source's options say. The first row that is not empty holds the headers."""
    filled = (row for row in rows if any(cell.strip() for cell in row))
    headers = next(filled, None)
    if headers is None:
        return
    if source.options.rows:
        yield from _cells(source, headers, filled)
        return
    named = "" if DEFAULT_SHEET_NAME.fullmatch(sheet.strip()) else sheet.strip()
    yield from _tables(headers, filled, sheet) if source.options.html4excel else _lines(headers, filled, named)


def _cells(source: Source, headers: Row, rows: Iterator[Row]) -> Iterator[Block | Notice]:
    """Yield each row with its cells. Rows of another width are skipped; MalformedFile for two columns of one name."""
    names = [_flat(header) for header in headers]
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            raise MalformedFile(f"{source.name} has two columns called {name!r}. Rename one of them.")
    named = [(place, name) for place, name in enumerate(names) if name.lower() not in UNNAMED]
    skipped = 0
    for row in rows:
        if len(row) != len(names):
            skipped += 1
            continue
        cells = tuple(
            (name or f"Column {place + 1}", row[place].strip()) for place, name in named if name or row[place].strip()
        )
        yield Block("\n".join(f"- {name}: {_flat(text)}" for name, text in cells if text), BlockKind.ROW, cells=cells)
    if skipped:
        subject = f"1 row of {source.name} was" if skipped == 1 else f"{skipped} rows of {source.name} were"
        yield Notice(f"{subject} skipped: not as many cells as headers ({len(names)}).")


def _lines(headers: Row, rows: Iterator[Row], sheet: str) -> Iterator[Block]:
    suffix = f" ——{sheet}" if sheet else ""
    empty = True
    for row in rows:
        empty = False
        yield Block(_line(headers, row) + suffix)
    if empty:  # a sheet of one row still has something to say
        yield Block("; ".join(filter(None, map(_flat, headers))) + suffix)


def _line(headers: Row, row: Row) -> str:
    fields = []
    for column, cell in enumerate(row):
        header = _flat(headers[column]) if column < len(headers) else ""
        if value := _flat(cell):
            fields.append(f"{header}：{value}" if header else value)
    return "; ".join(fields)


def _tables(headers: Row, rows: Iterator[Row], sheet: str) -> Iterator[Block]:
    part = list(islice(rows, TABLE_ROWS))
    yield Block(grid_html([headers, *part], sheet), BlockKind.TABLE)
    while part := list(islice(rows, TABLE_ROWS)):
        yield Block(grid_html([headers, *part], sheet), BlockKind.TABLE)


def _flat(cell: str) -> str:
    return " ".join(cell.split())
