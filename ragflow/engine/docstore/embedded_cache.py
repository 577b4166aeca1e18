"""The vectors of recently searched datasets, in memory, exactly as the snapshot of the search sees them."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.docstore.embedded_file import call_after_fork
from ragflow.engine.types import Matrix

ROWS_PER_DATASET = 1 << 32


@dataclass(frozen=True, slots=True, eq=False)
class DatasetRow:
    """A dataset as the current snapshot has it in one of its vector spaces; see the tables `dataset` and `space`."""

    no: int
    dimension: int  # of the space; 0: it does not exist
    chunks: int
    next: int
    changed: int
    space: int
    space_changed: int

    @property
    def state(self) -> int:
        """Grows with every change of existing chunks and of their vectors in the space."""
        return self.changed + self.space_changed

    @property
    def first_rid(self) -> int:
        return self.no * ROWS_PER_DATASET

    @property
    def end_rid(self) -> int:
        return self.first_rid + self.next


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Everything about the chunks of a dataset that ranking needs; row i of every array is the same chunk."""

    rids: NDArray[np.int64]  # ascending
    document: NDArray[np.int64]  # index into `documents`
    parent: NDArray[np.int64]
    available: NDArray[np.bool_]
    vectors: Matrix  # a row of NaN: the chunk has no vector
    documents: tuple[tuple[str, str], ...]  # (id, name)

    def __len__(self) -> int:
        return len(self.rids)

    @classmethod
    def empty(cls, rows: int, dimension: int) -> Columns:
        return cls(
            rids=np.empty(rows, np.int64),
            document=np.empty(rows, np.int64),
            parent=np.empty(rows, np.int64),
            available=np.empty(rows, np.bool_),
            vectors=np.empty((rows, dimension), np.float32),
            documents=(),
        )

    def part(self, start: int, end: int, documents: tuple[tuple[str, str], ...]) -> Columns:
        """Return a window on these rows; nothing is copied."""
        rows = slice(start, end)
        return Columns(
            self.rids[rows], self.document[rows], self.parent[rows], self.available[rows], self.vectors[rows], documents
        )

    def copy_from(self, other: Columns) -> None:
        self.rids[:] = other.rids
        self.document[:] = other.document
        self.parent[:] = other.parent
        self.available[:] = other.available
        self.vectors[:] = other.vectors

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.vectors.nbytes + self.rids.nbytes + self.document.nbytes + self.parent.nbytes + len(self)


_Row = tuple[int, int, int, int, bytes | None]
"""rid, document number, parent, available, vector (empty: it has none, None: not read); see the table `vector`."""

_IN_FIRST_SPACE = """
    SELECT rid, document_no, parent, available, CASE WHEN rid >= :known OR stamp > :seen THEN vector END
    FROM vector WHERE rid >= :start AND rid < :end ORDER BY rid
"""
_IN_OTHER_SPACE = """
    SELECT vector.rid, document_no, parent, available,
        CASE WHEN vector.rid >= :known OR own.rid IS NULL OR own.stamp > :seen THEN coalesce(own.vector, x'') END
    FROM vector LEFT JOIN space_vector AS own ON own.rid = vector.rid AND own.space = :space
    WHERE vector.rid >= :start AND vector.rid < :end ORDER BY vector.rid
"""


class _Shelf:
    """The columns of one dataset, in arrays with room to grow.

    Rows once written are never touched again, so columns handed out stay valid while other threads append.
    """

    def __init__(self, row: DatasetRow) -> None:
        self.lock = threading.Lock()
        self._clear(row)

    def _clear(self, row: DatasetRow) -> None:
        self._state = row.state
        self._end_rid = row.first_rid  # rows below this one are in memory
        self._rows = 0
        self._room = Columns.empty(_with_room(row.chunks), row.dimension)
        self._document_index: dict[int, int] = {}
        self._documents: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        return self._room.size

    def columns(self, connection: sqlite3.Connection, row: DatasetRow) -> Columns:
        """Return the columns as of the snapshot of this connection, reading only what memory does not hold."""
        with self.lock:
            if row.state < self._state:  # this snapshot is older than the memory: leave that alone
                return _Shelf(row).columns(connection, row)
            if row.state > self._state:
                self._rebuild(connection, row)
            elif row.end_rid > self._end_rid:
                self._append(connection, row)
            rows = self._rows
            if row.end_rid < self._end_rid:  # older snapshot of a dataset that only grew since
                rows = int(np.searchsorted(self._room.rids[:rows], row.end_rid))
            return self._room.part(0, rows, self._documents)

    def _append(self, connection: sqlite3.Connection, row: DatasetRow) -> None:
        found = _read(connection, row, start=self._end_rid, known=self._end_rid, seen=self._state)
        start, end = self._rows, self._rows + len(found)
        if end > len(self._room):
            grown = Columns.empty(_with_room(end), row.dimension)
            grown.part(0, start, ()).copy_from(self._room.part(0, start, ()))
            self._room = grown
        self._learn_documents(connection, found)
        self._fill(self._room.part(start, end, ()), found, kept=None)
        self._rows, self._end_rid = end, row.end_rid

    def _rebuild(self, connection: sqlite3.Connection, row: DatasetRow) -> None:
        """Read everything but the vectors that are in memory and still right: they are by far the most bytes."""
        if row.dimension != self._room.vectors.shape[1]:
            self._clear(row)
        found = _read(connection, row, start=row.first_rid, known=self._end_rid, seen=self._state)
        kept = self._room.part(0, self._rows, ())
        room = Columns.empty(_with_room(len(found)), row.dimension)
        self._document_index, self._documents = {}, ()
        self._learn_documents(connection, found)
        self._fill(room.part(0, len(found), ()), found, kept)
        self._room, self._rows = room, len(found)
        self._state, self._end_rid = row.state, row.end_rid

    def _fill(self, room: Columns, found: Sequence[_Row], kept: Columns | None) -> None:
        """Write rows into memory; a row whose vector was not read takes the one that `kept` has."""
        if not found:
            return
        rids, document_nos, parents, available, blobs = zip(*found, strict=True)
        room.rids[:] = rids
        room.document[:] = [self._document_index[no] for no in document_nos]
        room.parent[:] = parents
        room.available[:] = available
        dimension = room.vectors.shape[1]
        if not dimension:
            return
        read = np.array([blob is not None for blob in blobs], np.bool_)
        absent = np.full(dimension, np.nan, "<f4").tobytes()
        vectors = np.frombuffer(b"".join(blob or absent for blob in blobs if blob is not None), "<f4")
        room.vectors[read] = vectors.reshape(-1, dimension)
        if kept is not None and not read.all():
            room.vectors[~read] = kept.vectors[np.searchsorted(kept.rids, room.rids[~read])]

    def _learn_documents(self, connection: sqlite3.Connection, found: Sequence[_Row]) -> None:
        numbers = {row[1] for row in found}.difference(self._document_index)
        if not numbers:
            return
        new = connection.execute(
            "SELECT no, id, name FROM document WHERE no IN (SELECT value FROM json_each(?))", (str(list(numbers)),)
        ).fetchall()
        for index, (no, _, _) in enumerate(new, start=len(self._documents)):
            self._document_index[no] = index
        self._documents += tuple((document_id, name) for _, document_id, name in new)


def _read(connection: sqlite3.Connection, row: DatasetRow, *, start: int, known: int, seen: int) -> list[_Row]:
    """Return the rows from rowid `start` on. No vector for those below `known` not rewritten since state `seen`."""
    bounds = {"known": known, "seen": seen, "start": start, "end": row.end_rid}
    if row.space:
        return connection.execute(_IN_OTHER_SPACE, bounds | {"space": row.space}).fetchall()
    return connection.execute(_IN_FIRST_SPACE, bounds).fetchall()


def _with_room(rows: int) -> int:
    """Return a capacity that lets a dataset grow without being copied each time; unused memory is never touched."""
    return rows + rows // 4 + 64


class VectorCache:
    """Shelves of datasets, least recently used dropped first when they pass `limit` bytes together.

    The dataset just searched always stays, even when it is larger than the limit; of its vector spaces only that one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.clear()
        call_after_fork(self.clear)

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._shelves: OrderedDict[int, tuple[int, _Shelf]] = OrderedDict()  # by dataset, each with its space

    def columns(self, connection: sqlite3.Connection, row: DatasetRow) -> Columns:
        with self._lock:
            space, shelf = self._shelves.get(row.no) or (row.space, _Shelf(row))
            if space != row.space:
                shelf = _Shelf(row)
            self._shelves[row.no] = row.space, shelf
            self._shelves.move_to_end(row.no)
        columns = shelf.columns(connection, row)
        self._trim()
        return columns

    def drop(self, no: int) -> None:
        with self._lock:
            self._shelves.pop(no, None)

    def _trim(self) -> None:
        with self._lock:
            size = sum(shelf.size for _, shelf in self._shelves.values())
            while size > self._limit and len(self._shelves) > 1:
                _, (_, shelf) = self._shelves.popitem(last=False)
                size -= shelf.size
