"""Rows of spreadsheets and CSV files as blocks: one line per row, or HTML tables of a dozen rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from ragflow.engine.parsing.tables import grid_html
from ragflow.engine.types import Block, BlockKind

TABLE_ROWS = 12
DEFAULT_SHEET_NAME = re.compile(
    r"(sheet|tabelle|feuil|feuille|hoja|foglio|planilha|лист|シート|工作表|表格)\s*\d*", re.IGNORECASE
)

Row = list[str]


def row_blocks(rows: Iterable[Row], *, sheet: str = "", as_tables: bool = False) -> Iterator[Block]:
    """Yield the blocks of one sheet. The first row that is not empty holds the headers."""
    filled = (row for row in rows if any(cell.strip() for cell in row))
    headers = next(filled, None)
    if headers is None:
        return
    named = "" if DEFAULT_SHEET_NAME.fullmatch(sheet.strip()) else sheet.strip()
    yield from _tables(headers, filled, sheet) if as_tables else _lines(headers, filled, named)


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
