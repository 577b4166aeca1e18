"""The SQLite file of the embedded store: its tables, its connections and its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ragflow.engine.errors import StoreError, StoreFull

LOCK_TIMEOUT = 30.0  # seconds a writer waits for the writer before it
EMPTY_TIMEOUT = 2.0  # seconds a new file may be without content while another process is making it
WAL_LIMIT = 64 * 1024 * 1024  # bytes of write-ahead log above which a write folds it back into the file

FIRST_SCHEMA = """
-- One row: counts every write that changes searchable text, and the chunks of the whole store.
CREATE TABLE state (revision INTEGER NOT NULL, chunks INTEGER NOT NULL);
INSERT INTO state VALUES (0, 0);

-- Chunk n of dataset number d has rowid d << 32 | n, so a dataset is one range of every table below.
-- `next` grows when chunks are appended, `changed` when existing ones change: readers compare both with what they
-- hold in memory. Numbers are never used twice.
CREATE TABLE dataset (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    dimension INTEGER NOT NULL,
    chunks INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 1,
    changed INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE document (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_no INTEGER NOT NULL REFERENCES dataset (no),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (dataset_no, id)
);

-- The *_terms columns hold analysed text (see analysis.py): they are what the full-text index contains.
CREATE TABLE chunk (
    rid INTEGER PRIMARY KEY,
    document_no INTEGER NOT NULL REFERENCES document (no),
    id TEXT NOT NULL,
    manual INTEGER NOT NULL,
    place REAL NOT NULL, -- parsed chunks: their order; manual ones: minus their creation time
    tokens INTEGER NOT NULL,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL,
    keywords TEXT NOT NULL, -- JSON, as are questions and positions
    questions TEXT NOT NULL,
    positions TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    image_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    name_terms TEXT NOT NULL,
    keyword_terms TEXT NOT NULL,
    question_terms TEXT NOT NULL,
    content_terms TEXT NOT NULL,
    content TEXT NOT NULL,
    parent_content TEXT NOT NULL,
    UNIQUE (id, document_no)
);
CREATE INDEX chunk_parent ON chunk (parent_id) WHERE parent_id <> '';
CREATE INDEX chunk_listing ON chunk (document_no, manual, place, rid DESC, tokens);

-- What ranking reads besides the index, apart from the wide rows above. `parent` is 0 or a hash of the parent's id;
-- `stamp` is the dataset's `changed` when the vector was last overwritten, 0 if never.
CREATE TABLE vector (
    rid INTEGER PRIMARY KEY REFERENCES chunk (rid) ON DELETE CASCADE,
    document_no INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    available INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    vector BLOB NOT NULL -- little-endian float32
);

-- The terms come analysed and separated by blanks; `ascii` splits at the blanks and leaves other alphabets alone.
CREATE VIRTUAL TABLE text USING fts5 (
    name_terms, keyword_terms, question_terms, content_terms,
    content = 'chunk', content_rowid = 'rid', tokenize = 'ascii'
);
CREATE VIRTUAL TABLE term USING fts5vocab (text, 'row');

-- Removed and reworded chunks leave the index by trigger, because that takes their old text. New ones are added by the
-- statement _INDEX_CHUNK: a trigger would run in a savepoint, at which FTS5 writes out its memory for every single row.
CREATE TRIGGER chunk_removed AFTER DELETE ON chunk BEGIN
    INSERT INTO text (text, rowid, name_terms, keyword_terms, question_terms, content_terms)
    VALUES ('delete', old.rid, old.name_terms, old.keyword_terms, old.question_terms, old.content_terms);
END;
CREATE TRIGGER chunk_reworded
AFTER UPDATE OF name_terms, keyword_terms, question_terms, content_terms ON chunk BEGIN
    INSERT INTO text (text, rowid, name_terms, keyword_terms, question_terms, content_terms)
    VALUES ('delete', old.rid, old.name_terms, old.keyword_terms, old.question_terms, old.content_terms);
    INSERT INTO text (rowid, name_terms, keyword_terms, question_terms, content_terms)
    VALUES (new.rid, new.name_terms, new.keyword_terms, new.question_terms, new.content_terms);
END;
"""

SPACES_SCHEMA = """
-- Of vector space 0 the table `dataset` has the dimension (0 when it was dropped) and `vector` the vectors (empty where
-- a chunk has none); all other spaces are here. `changed` counts the changes of a space beyond those of its dataset;
-- `stamp` is the sum of both when the vector was last overwritten.
CREATE TABLE space (
    dataset_no INTEGER NOT NULL REFERENCES dataset (no) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    dimension INTEGER NOT NULL,
    changed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (dataset_no, number)
);
CREATE TABLE space_vector (
    rid INTEGER NOT NULL REFERENCES chunk (rid) ON DELETE CASCADE,
    space INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (rid, space)
);
"""

SCHEMAS = (FIRST_SCHEMA, SPACES_SCHEMA)
"""What each version of the file adds to the one before. An older file is brought up to date when it is opened."""

# What SQLite's error classes mean to the person who runs the store.
SENTENCES = {
    "SQLITE_CORRUPT": "The document store's file is damaged. Restore it from a backup, or delete it and parse again.",
    "SQLITE_NOTADB": "The document store's file is not a database. Restore a backup, or delete it and parse again.",
    "SQLITE_BUSY": f"The document store was locked by another writer for {LOCK_TIMEOUT:.0f} seconds.",
    "SQLITE_LOCKED": "The document store is locked.",
    "SQLITE_READONLY": "The document store's file is read-only.",
    "SQLITE_CANTOPEN": "The document store's file cannot be opened.",
    "SQLITE_PERM": "The document store's file may not be accessed.",
    "SQLITE_IOERR": "The disk of the document store failed to read or write.",
    "SQLITE_TOOBIG": "A text is too large for the document store.",
}


def store_error(error: sqlite3.Error) -> StoreError:
    """Translate an error of SQLite into a sentence."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name == "SQLITE_FULL":
        return StoreFull("The disk of the document store is full.")
    primary = "_".join(name.split("_")[:2])
    return StoreError(SENTENCES.get(primary) or f"The document store failed: {error}.")


def call_after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    os.register_at_fork(after_in_child=call)


class _Connection:
    """Closes its SQLite connection when the thread that used it ends."""

    file: tuple[int, int] | None = None  # the one it has opened; another one may have been put in its place

    def __init__(self, path: Path) -> None:
        self.raw = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)

    def __del__(self) -> None:
        if hasattr(self, "raw"):
            self.raw.close()


class StoreFile:
    """Hands out transactions, one connection per thread. Safe with threads, many processes and fork.

    A file that was deleted or replaced meanwhile is noticed by the next transaction, which uses the one in its place.
    """

    def __init__(self, path: Path, on_replaced: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._on_replaced = on_replaced
        self._wal = path.with_name(path.name + "-wal")
        self._reset()
        self._inherited: list[object] = []
        call_after_fork(self._after_fork)

    def _reset(self) -> None:
        self._local = threading.local()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._lock = threading.Lock()

    def _after_fork(self) -> None:
        # SQLite forbids using, and even closing, a connection that a fork carried over: keep it, never touch it.
        self._inherited += [self._local, *self._open]
        self._reset()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One snapshot: every statement inside sees the same state of the store."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. Takes the write lock at once, so that it waits for other writers instead of failing."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection
        self._fold_wal(connection)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise store_error(error) from error

    def close(self) -> None:
        with self._lock:
            connections = list(self._open)
            self._local = threading.local()
            self._open = weakref.WeakSet()
        for connection in connections:
            connection.raw.close()

    def _connection(self) -> sqlite3.Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.file != _identity(self.path):
            connection.raw.close()
            self._on_replaced()
            connection = None
        if connection is None:
            connection = self._connect()
            with self._lock:
                self._open.add(connection)
            self._local.connection = connection
        return connection.raw

    def _connect(self) -> _Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder of the document store cannot be created: {error.strerror}.") from error
        connection = _Connection(self.path)
        raw = connection.raw
        _use_wal(raw, self.path)
        raw.execute("PRAGMA synchronous = NORMAL")  # survives the death of the process; fsync at checkpoints
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        raw.execute("PRAGMA cache_size = -16384")  # KiB per connection
        raw.execute("PRAGMA mmap_size = 268435456")
        raw.execute("PRAGMA temp_store = MEMORY")
        raw.execute("PRAGMA wal_autocheckpoint = 4000")  # pages; fewer, longer checkpoints save a tenth of an ingest
        raw.execute(
            "PRAGMA secure_delete = OFF"
        ).fetchall()  # some builds of SQLite overwrite freed pages: another tenth
        if _version(raw) != len(SCHEMAS):
            _bring_up_to_date(raw)
        connection.file = _identity(self.path)
        return connection

    def _fold_wal(self, connection: sqlite3.Connection) -> None:
        """Shorten a long write-ahead log. Steady readers keep SQLite's own checkpoints from ever finishing."""
        with suppress(OSError, sqlite3.Error):  # the log stays long until the next write; what was written is safe
            if self._wal.stat().st_size <= WAL_LIMIT:
                return
            connection.execute("PRAGMA busy_timeout = 1000")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000:.0f}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to write-ahead logging. While another process does the same, SQLite answers "busy", often without waiting.

    So it does for ever for a file that was emptied while others have it open.
    """
    began = time.monotonic()
    connection.execute("PRAGMA busy_timeout = 20")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            waited = time.monotonic() - began
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or waited > LOCK_TIMEOUT:
                raise
            if waited > EMPTY_TIMEOUT and path.stat().st_size == 0:
                raise StoreError(
                    "The document store's file was emptied while it was in use. Stop everything, delete the file and "
                    "parse again."
                ) from error
            time.sleep(0.02)
        else:
            connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000:.0f}")
            return


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(SCHEMAS):
            raise StoreError(
                "The document store's file was written by a newer version of this program. Start that version, or "
                "delete the file and parse again."
            )
        for schema in SCHEMAS[version:]:  # none, if another process did it meanwhile
            for statement in _statements(schema):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(SCHEMAS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(script: str) -> Iterator[str]:
    """Split a script at complete statements (`executescript` would commit the transaction around it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
