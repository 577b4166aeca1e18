"""The rows of one document, kept for SQL: JSON lines, compressed. Cells are as they were read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragflow.engine.tables.columns import Column, Value, Vote, columns_of, value_of

_PART = 1 << 20  # bytes unpacked at a time


@dataclass(frozen=True, slots=True)
class PackedTable:
    columns: tuple[Column, ...]
    rows: bytes
    row_count: int


class TablePacker:
    """Takes the rows of a document while it is read. Memory holds them compressed."""

    def __init__(self) -> None:
        self._votes: dict[str, Vote] = {}
        self._places: dict[str, int] = {}
        self._compressor = zlib.compressobj(6)
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, chunk_id: str, cells: Sequence[tuple[str, str]]) -> None:
        """Take a row of (header, text), and the chunk that shows it."""
        row: list[str | None] = [None] * len(self._places)
        for header, text in cells:
            vote = self._votes.setdefault(header, Vote())
            vote.count(text)
            place = self._places.setdefault(header, len(self._places))
            if place == len(row):
                row.append(None)
            row[place] = text
        line = json.dumps([chunk_id, *row], ensure_ascii=False) + "\n"
        self._parts.append(self._compressor.compress(line.encode()))
        self._count += 1

    def finish(self) -> PackedTable | None:
        """Return the table, None if there was no row."""
        if not self._count:
            return None
        self._parts.append(self._compressor.flush())
        return PackedTable(columns_of(self._votes), b"".join(self._parts), self._count)


def rows_of(table: PackedTable) -> Iterator[tuple[str, list[Value]]]:
    """Yield the chunk and the values of every row, one per column."""
    kinds = [column.kind for column in table.columns]
    for line in _lines(table.rows):
        chunk_id, *cells = json.loads(line)
        values = [None if cell is None else value_of(cell, kind) for cell, kind in zip(cells, kinds, strict=False)]
        yield chunk_id, values + [None] * (len(kinds) - len(values))


def _lines(packed: bytes) -> Iterator[bytes]:
    decompressor = zlib.decompressobj()
    rest, waiting = b"", packed
    while waiting and not decompressor.eof:
        *lines, rest = (rest + decompressor.decompress(waiting, _PART)).split(b"\n")
        waiting = decompressor.unconsumed_tail
        yield from lines
    yield from (rest + decompressor.flush()).splitlines()
