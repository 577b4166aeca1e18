"""The document store that needs no server: SQLite FTS5 for text, exact numpy scoring for vectors, one file.

Web processes search it while workers write to it; it survives the death of any of them. The meaning of every
method is in FILTERS.md; tables and transactions are in embedded_file.py, ranking in embedded_search.py.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragflow.engine.docstore import embedded_spaces as spaces_of
from ragflow.engine.docstore.analysis import clean, name_terms, query_terms, term_weight
from ragflow.engine.docstore.base import (
    FIRST_SPACE,
    Candidates,
    ChunkCount,
    ChunkPage,
    SearchRequest,
    Versioned,
    checked,
)
from ragflow.engine.docstore.embedded_cache import VectorCache
from ragflow.engine.docstore.embedded_file import StoreFile, call_after_fork
from ragflow.engine.docstore.embedded_rows import (
    CHUNK,
    Entry,
    chunk_of,
    count_change,
    delete_rows,
    entry_of,
    find_chunks,
    find_document,
    find_vectors,
    forget_empty_document,
    json_list,
    load_chunks,
    mark_changed,
    matching_chunks,
    write_chunks,
)
from ragflow.engine.docstore.embedded_search import TermStatistics, search
from ragflow.engine.docstore.embedded_spaces import find_dataset, find_datasets, ready_dataset
from ragflow.engine.types import Chunk, Matrix, Vector

SLICE = 200
"""Chunks per transaction of a bulk change: about 0.1 s of the write lock."""

REST = 3
"""A bulk deletion rests this many times as long as a slice took it to compute: requests beside it need the cores."""
LONG_REST = 24
"""The same where nobody waits: less than one request in twenty meets a slice, so the 95th percentile stays."""

SQLITE_MAX = 2**63 - 1


class EmbeddedDocStore:
    """Implements `DocStore` on one SQLite file on a local disk. Threads, processes and forks may share it."""

    name = "embedded"
    most_named_documents: int | None = None

    def __init__(self, path: Path, *, cache_bytes: int = 512 * 1024 * 1024) -> None:
        """`cache_bytes`: memory for the vectors of recently searched datasets, per process."""
        self._file = StoreFile(path, self._forget)
        self._cache = VectorCache(cache_bytes)
        self._statistics = TermStatistics()
        self._renew_turns()
        call_after_fork(self._renew_turns)

    def _forget(self) -> None:
        self._cache.clear()
        self._statistics = TermStatistics()

    def _renew_turns(self) -> None:
        # Searching is pure computing: threads that wait in line for a core do not fight for the interpreter.
        self._turns = threading.BoundedSemaphore(os.cpu_count() or 1)

    # -- writing ---------------------------------------------------------------------------------------------------

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix, *, space: int = 0) -> None:
        if not chunks:
            return
        rows = checked(vectors, len(chunks))
        by_dataset: dict[str, dict[tuple[str, str], Entry]] = {}
        for chunk, row in zip(chunks, rows, strict=True):
            entries = by_dataset.setdefault(chunk.dataset_id, {})
            entries[chunk.document_id, chunk.id] = entry_of(chunk, row)  # the same chunk twice: the last one counts
        with self._file.write() as connection:
            for dataset_id, entries in by_dataset.items():
                dataset = ready_dataset(connection, dataset_id, space, rows.shape[1])
                write_chunks(connection, dataset, list(entries.values()))

    def still_available(self, dataset_ids: Sequence[str], chunk_ids: Sequence[str]) -> set[str]:
        with self._file.read() as connection:
            first = dict.fromkeys(dataset_ids, 0)
            return {chunk_id for chunk_id, _ in find_vectors(connection, first, chunk_ids, only_available=True)}

    def available_ids(self, dataset_id: str, document_id: str) -> set[str]:
        with self._file.read() as connection:
            rows = connection.execute(
                """
                SELECT chunk.id FROM dataset
                JOIN document ON document.dataset_no = dataset.no AND document.id = ?
                JOIN chunk ON chunk.document_no = document.no
                JOIN vector ON vector.rid = chunk.rid AND vector.available
                WHERE dataset.id = ?
                """,
                (clean(document_id), clean(dataset_id)),
            ).fetchall()
        return {chunk_id for (chunk_id,) in rows}

    def set_available(
        self, dataset_id: str, document_id: str, available: bool, chunk_ids: Sequence[str] | None = None
    ) -> int:
        with self._file.read() as connection:
            if (numbers := find_document(connection, dataset_id, document_id)) is None:
                return 0
            rids = find_chunks(connection, numbers[1], chunk_ids)
        return sum(
            self._switch_slice(numbers[0], rids[start : start + SLICE], available)
            for start in range(0, len(rids), SLICE)
        )

    def _switch_slice(self, dataset_no: int, rids: Sequence[int], available: bool) -> int:
        """Switch those of the chunks that still exist; return how many. Rows that are right already stay unwritten."""
        chunks = {"available": available, "rids": str(list(rids))}
        with self._file.write() as connection:
            switched = connection.execute(
                """
                UPDATE vector SET available = :available
                WHERE rid IN (SELECT value FROM json_each(:rids)) AND available <> :available
                """,
                chunks,
            ).rowcount
            if switched:
                mark_changed(connection, dataset_no)
            (existing,) = connection.execute(
                "SELECT count(*) FROM chunk WHERE rid IN (SELECT value FROM json_each(:rids))", chunks
            ).fetchone()
        return int(existing)

    def rename_document(self, dataset_id: str, document_id: str, name: str) -> None:
        with self._file.write() as connection:
            if (numbers := find_document(connection, dataset_id, document_id)) is None:
                return
            dataset_no, document_no = numbers
            connection.execute("UPDATE document SET name = ? WHERE no = ?", (clean(name), document_no))
            mark_changed(connection, dataset_no)
        while self._reword_slice(document_no) == SLICE:
            pass

    def _reword_slice(self, document_no: int) -> int:
        """Give some of a document's parsed chunks the searchable form of its current name; return how many."""
        with self._file.write() as connection:
            found = connection.execute("SELECT name FROM document WHERE no = ?", (document_no,)).fetchone()
            if found is None:
                return 0
            reworded = connection.execute(
                """
                UPDATE chunk SET name_terms = :terms WHERE rid IN (
                    SELECT rid FROM chunk
                    WHERE document_no = :document AND NOT manual AND name_terms <> :terms LIMIT :slice
                )
                """,
                {"terms": name_terms(found[0]), "document": document_no, "slice": SLICE},
            ).rowcount
            count_change(connection, 0)
        return reworded

    # -- deleting --------------------------------------------------------------------------------------------------

    def delete_chunks(self, dataset_id: str, document_id: str, chunk_ids: Sequence[str]) -> ChunkCount:
        distinct = list(dict.fromkeys(chunk_ids))
        chunks = tokens = 0
        for start in range(0, len(distinct), SLICE):
            deleted = self._delete_slice(
                dataset_id,
                document_id,
                "id IN (SELECT value FROM json_each(?))",
                json_list(distinct[start : start + SLICE]),
            )
            chunks, tokens = chunks + deleted.chunks, tokens + deleted.tokens
        return ChunkCount(chunks, tokens)

    def delete_document(self, dataset_id: str, document_id: str, *, older_than: float | None = None) -> ChunkCount:
        before = float("inf") if older_than is None else older_than
        chunks = tokens = 0
        while True:
            began = time.thread_time()
            deleted = self._delete_slice(dataset_id, document_id, "created_at < ?", before)
            chunks, tokens = chunks + deleted.chunks, tokens + deleted.tokens
            if deleted.chunks < SLICE:
                return ChunkCount(chunks, tokens)
            _rest_since(began)

    def _delete_slice(self, dataset_id: str, document_id: str, condition: str, argument: str | float) -> ChunkCount:
        with self._file.write() as connection:
            if (numbers := find_document(connection, dataset_id, document_id)) is None:
                return ChunkCount(0, 0)
            dataset_no, document_no = numbers
            rows = connection.execute(
                f"SELECT rid, tokens FROM chunk WHERE document_no = ? AND {condition} LIMIT ?",  # noqa: S608 - constants
                (document_no, argument, SLICE),
            ).fetchall()
            deleted = delete_rows(connection, dataset_no, rows)
            forget_empty_document(connection, document_no)
        return deleted

    def delete_dataset(self, dataset_id: str, *, unhurried: bool = False) -> int:
        deleted = 0
        while True:
            began = time.thread_time()
            with self._file.write() as connection:
                if (dataset := find_dataset(connection, dataset_id)) is None:
                    return deleted
                rows = connection.execute(
                    "SELECT rid, tokens FROM chunk WHERE rid BETWEEN ? AND ? LIMIT ?",
                    (dataset.first_rid, dataset.end_rid, SLICE),
                ).fetchall()
                deleted += delete_rows(connection, dataset.no, rows).chunks
                if len(rows) < SLICE:
                    connection.execute("DELETE FROM document WHERE dataset_no = ?", (dataset.no,))
                    connection.execute("DELETE FROM dataset WHERE no = ?", (dataset.no,))
            if len(rows) < SLICE:
                self._cache.drop(dataset.no)
                return deleted
            _rest_since(began, LONG_REST if unhurried else REST)

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, dataset_ids: Sequence[str], chunk_id: str) -> Chunk | None:
        with self._file.read() as connection:
            row = connection.execute(
                f"{CHUNK} WHERE chunk.id = ? AND dataset.id IN (SELECT value FROM json_each(?)) LIMIT 1",  # noqa: S608 - constants
                (clean(chunk_id), json_list(dataset_ids)),
            ).fetchone()
        return chunk_of(row) if row else None

    def list_chunks(self, dataset_id: str, document_id: str, *, offset: int, limit: int, text: str = "") -> ChunkPage:
        window = (min(max(limit, 0), SQLITE_MAX), min(max(offset, 0), SQLITE_MAX))
        with self._file.read() as connection:
            if (numbers := find_document(connection, dataset_id, document_id)) is None:
                return ChunkPage((), 0)
            document_no = numbers[1]
            if text.strip():
                return matching_chunks(connection, numbers, query_terms(text), window)
            (total,) = connection.execute("SELECT count(*) FROM chunk WHERE document_no = ?", (document_no,)).fetchone()
            rows = connection.execute(
                f"{CHUNK} WHERE chunk.document_no = ? "
                "ORDER BY chunk.manual, chunk.place, chunk.rid DESC LIMIT ? OFFSET ?",
                (document_no, *window),
            ).fetchall()
        return ChunkPage(tuple(map(chunk_of, rows)), total)

    def count(self, dataset_id: str, document_id: str | None = None) -> ChunkCount:
        with self._file.read() as connection:
            chunks, tokens = connection.execute(
                """
                SELECT count(*), coalesce(sum(chunk.tokens), 0) FROM dataset
                JOIN document ON document.dataset_no = dataset.no AND (:document IS NULL OR document.id = :document)
                JOIN chunk ON chunk.document_no = document.no
                WHERE dataset.id = :dataset
                """,
                {"dataset": clean(dataset_id), "document": None if document_id is None else clean(document_id)},
            ).fetchone()
        return ChunkCount(chunks, tokens)

    def search(self, request: SearchRequest) -> Candidates:
        with self._turns, self._file.read() as connection:
            datasets = find_datasets(connection, request.dataset_ids, request.spaces)
            return search(connection, self._cache, self._statistics, datasets, request)

    def load(self, handles: Sequence[Any]) -> list[Chunk | None]:
        rids = [int(handle) for handle in handles]
        with self._turns, self._file.read() as connection:
            chunks = load_chunks(connection, rids)
        return [chunks.get(rid) for rid in rids]

    def term_weights(self, dataset_ids: Sequence[str], text: str) -> dict[str, float]:
        terms = query_terms(text)
        with self._file.read() as connection:
            total, counts = self._statistics.read(connection, terms)
        return {term: term_weight(total, count) for term, count in zip(terms, counts, strict=True)}

    def vectors(
        self, dataset_ids: Sequence[str], chunk_ids: Sequence[str], *, spaces: Mapping[str, int] = FIRST_SPACE
    ) -> dict[str, Vector]:
        places = {dataset_id: spaces.get(dataset_id, 0) for dataset_id in dataset_ids}
        with self._file.read() as connection:
            rows = find_vectors(connection, places, chunk_ids)
        sums: dict[str, Vector] = {}
        for chunk_id, blob in rows:
            if not blob:
                continue
            vector = np.frombuffer(blob, "<f4").astype(np.float32)
            sums[chunk_id] = sums[chunk_id] + vector if chunk_id in sums else vector
        return {chunk_id: vector / (np.linalg.norm(vector) or 1.0) for chunk_id, vector in sums.items()}

    # -- vectors of another model ----------------------------------------------------------------------------------

    def lacking(self, dataset_id: str, space: int) -> Iterator[Versioned]:
        after = -1
        while True:
            with self._file.read() as connection:
                if (dataset := find_dataset(connection, dataset_id, space)) is None:
                    return
                found = dict(spaces_of.lacking(connection, dataset, after=max(after, dataset.first_rid), limit=SLICE))
                chunks = load_chunks(connection, list(found))
            yield from (Versioned(chunks[rid], version) for rid, version in found.items())
            if len(found) < SLICE:
                return
            after = max(found)

    def count_lacking(self, dataset_id: str, space: int) -> int:
        with self._file.read() as connection:
            dataset = find_dataset(connection, dataset_id, space)
            return 0 if dataset is None else spaces_of.count_lacking(connection, dataset)

    def add_vectors(self, dataset_id: str, space: int, chunks: Sequence[Versioned], vectors: Matrix) -> int:
        if not chunks:
            return 0
        rows = checked(vectors, len(chunks))
        versions = [(chunk.version, row.tobytes()) for chunk, row in zip(chunks, rows, strict=True)]
        with self._file.write() as connection:
            if find_dataset(connection, dataset_id) is None:
                return 0
            dataset = ready_dataset(connection, dataset_id, space, rows.shape[1])
            return spaces_of.add_vectors(connection, dataset, versions)

    def drop_space(self, dataset_id: str, space: int) -> None:
        with self._file.write() as connection:
            if (dataset := find_dataset(connection, dataset_id, space)) is None:
                return
            spaces_of.forget_space(connection, dataset)
        after: int | None = dataset.first_rid
        while after is not None:
            began = time.thread_time()
            with self._file.write() as connection:
                after = spaces_of.drop_vectors(connection, dataset, after=after, limit=SLICE)
            _rest_since(began, LONG_REST)

    # -- the whole store -------------------------------------------------------------------------------------------

    def dataset_ids(self) -> set[str]:
        with self._file.read() as connection:
            rows = connection.execute(
                """
                SELECT id FROM dataset WHERE EXISTS (
                    SELECT 1 FROM document JOIN chunk ON document_no = document.no WHERE dataset_no = dataset.no
                )
                """
            ).fetchall()
        return {dataset_id for (dataset_id,) in rows}

    def counts_by_document(self, dataset_id: str) -> dict[str, ChunkCount]:
        with self._file.read() as connection:
            rows = connection.execute(
                """
                SELECT document.id, count(*), sum(chunk.tokens) FROM dataset
                JOIN document ON document.dataset_no = dataset.no
                JOIN chunk ON chunk.document_no = document.no
                WHERE dataset.id = ? GROUP BY document.no
                """,
                (clean(dataset_id),),
            ).fetchall()
        return {document_id: ChunkCount(chunks, tokens) for document_id, chunks, tokens in rows}

    def ping(self) -> str:
        with self._file.read() as connection:
            chunks = connection.execute("SELECT chunks FROM state").fetchone()[0]
        return f"SQLite {sqlite3.sqlite_version} with FTS5, {chunks} chunks"

    def close(self) -> None:
        self._file.close()
        self._cache.clear()


def _rest_since(began: float, times: float = REST) -> None:
    """Sleep this many times as long as the thread has computed since `began`, which is a `time.thread_time`."""
    time.sleep(times * (time.thread_time() - began))
