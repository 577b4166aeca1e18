"""The rows of the embedded store: chunks to rows and back, and the statements that change them.

Every function here runs inside a transaction of its caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import xxhash

from ragflow.engine.docstore.analysis import clean, indexed, name_terms
from ragflow.engine.docstore.base import ChunkCount, ChunkPage
from ragflow.engine.docstore.embedded_cache import ROWS_PER_DATASET, DatasetRow
from ragflow.engine.docstore.embedded_search import BM25
from ragflow.engine.docstore.embedded_spaces import write_vectors
from ragflow.engine.types import Chunk, Position, Vector

CHUNK = """
    SELECT chunk.rid, chunk.id, dataset.id, document.id, document.name, chunk.content, chunk.kind, chunk.keywords,
        chunk.questions, chunk.positions, chunk.parent_id, chunk.parent_content, chunk.image_id, vector.available,
        chunk.manual, chunk.ordinal, chunk.tokens, chunk.created_at
    FROM chunk
    JOIN document ON document.no = chunk.document_no
    JOIN dataset ON dataset.no = document.dataset_no
    JOIN vector ON vector.rid = chunk.rid
"""
"""Selects what `chunk_of` reads."""

_FIELDS = (
    "document_no", "id", "manual", "place", "tokens", "created_at", "kind", "keywords", "questions", "positions",
    "parent_id", "image_id", "ordinal", "name_terms", "keyword_terms", "question_terms", "content_terms", "content",
    "parent_content",
)  # fmt: skip
_INSERT_CHUNK = f"INSERT INTO chunk ({', '.join(_FIELDS)}, rid) VALUES (?{', ?' * len(_FIELDS)})"  # noqa: S608
_UPDATE_CHUNK = f"UPDATE chunk SET {', '.join(f'{field} = ?' for field in _FIELDS)} WHERE rid = ?"  # noqa: S608
_TERMS = slice(_FIELDS.index("name_terms"), _FIELDS.index("content_terms") + 1)
_INDEX_CHUNK = f"INSERT INTO text ({', '.join(_FIELDS[_TERMS])}, rowid) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
_WRITE_VECTOR = """
    INSERT INTO vector (rid, document_no, parent, available, stamp, vector) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (rid) DO UPDATE
    SET parent = excluded.parent, available = excluded.available, stamp = excluded.stamp,
        vector = excluded.vector
"""


class Entry(NamedTuple):
    """A chunk ready to be written: the slow work is done before the write lock is taken."""

    chunk: Chunk
    values: tuple[Any, ...]  # of `_FIELDS`, but for the document's number
    vector: bytes
    parent: int


def json_list(texts: Iterable[str]) -> str:
    """Return texts as the one argument of `json_each(?)`, which knows no limit on their number."""
    return json.dumps([clean(text) for text in texts])


def entry_of(chunk: Chunk, vector: Vector) -> Entry:
    values = (
        clean(chunk.id),
        chunk.manual,
        -chunk.created_at if chunk.manual else float(chunk.order),
        chunk.token_count,
        chunk.created_at,
        chunk.kind,
        _to_json(chunk.keywords),
        _to_json(chunk.questions),
        _to_json([[p.page, p.left, p.right, p.top, p.bottom] for p in chunk.positions]),
        clean(chunk.parent_id),
        clean(chunk.image_id),
        chunk.order,
        "" if chunk.manual else name_terms(clean(chunk.document_name)),
        indexed(clean("\n".join(chunk.keywords))),
        indexed(clean("\n".join(chunk.questions))),
        indexed(clean(chunk.content)),
        clean(chunk.content),
        clean(chunk.parent_content),
    )
    return Entry(chunk, values, vector.tobytes(), _parent_number(chunk.parent_id))


def chunk_of(row: Sequence[Any]) -> Chunk:
    """Return the chunk of a row that `CHUNK` selected."""
    _, chunk_id, dataset_id, document_id, document_name, content, kind, keywords, questions, positions = row[:10]
    parent_id, parent_content, image_id, available, manual, ordinal, tokens, created_at = row[10:]
    return Chunk(
        id=chunk_id,
        dataset_id=dataset_id,
        document_id=document_id,
        document_name=document_name,
        content=content,
        kind=kind,
        keywords=_texts(keywords),
        questions=_texts(questions),
        positions=tuple(Position(*edges) for edges in orjson.loads(positions)) if positions != "[]" else (),
        parent_id=parent_id,
        parent_content=parent_content,
        image_id=image_id,
        available=bool(available),
        manual=bool(manual),
        order=ordinal,
        token_count=tokens,
        created_at=created_at,
    )


def load_chunks(connection: sqlite3.Connection, rids: Sequence[int]) -> dict[int, Chunk]:
    """Return those of these chunks that exist, by rowid."""
    rows = connection.execute(f"{CHUNK} WHERE chunk.rid IN (SELECT value FROM json_each(?))", (str(list(rids)),))  # noqa: S608
    return {row[0]: chunk_of(row) for row in rows}


def find_document(connection: sqlite3.Connection, dataset_id: str, document_id: str) -> tuple[int, int] | None:
    """Return the numbers of the dataset and of the document."""
    found: tuple[int, int] | None = connection.execute(
        """
        SELECT document.dataset_no, document.no FROM document JOIN dataset ON dataset.no = document.dataset_no
        WHERE dataset.id = ? AND document.id = ?
        """,
        (clean(dataset_id), clean(document_id)),
    ).fetchone()
    return found


def find_chunks(connection: sqlite3.Connection, document_no: int, chunk_ids: Iterable[str] | None) -> list[int]:
    """Return the rowids of all chunks of a document, or of those of them that have one of these ids."""
    rows = connection.execute(
        """
        SELECT rid FROM chunk
        WHERE document_no = :document AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
        """,
        {"document": document_no, "ids": None if chunk_ids is None else json_list(chunk_ids)},
    )
    return [rid for (rid,) in rows]


def find_vectors(
    connection: sqlite3.Connection,
    spaces: Mapping[str, int],
    chunk_ids: Iterable[str],
    *,
    only_available: bool = False,
) -> list[tuple[str, bytes]]:
    """Return (id, vector) of these chunks; for the id of a parent one row per child.

    `spaces` names the datasets, each with its vector space; without a vector there, that is empty.
    """
    return connection.execute(
        """
        WITH wanted AS (SELECT value AS id FROM json_each(:ids)), found AS (
            SELECT wanted.id, chunk.rid, chunk.document_no FROM wanted CROSS JOIN chunk ON chunk.id = wanted.id
            UNION
            SELECT wanted.id, chunk.rid, chunk.document_no FROM wanted
            CROSS JOIN chunk ON chunk.parent_id = wanted.id AND chunk.parent_id <> ''
        )
        SELECT found.id, CASE WHEN place.value = 0 THEN vector.vector ELSE coalesce(own.vector, x'') END FROM found
        JOIN document ON document.no = found.document_no JOIN dataset ON dataset.no = document.dataset_no
        JOIN json_each(:spaces) AS place ON place.key = dataset.id
        JOIN vector ON vector.rid = found.rid AND vector.available >= :available
        LEFT JOIN space_vector AS own ON own.rid = found.rid AND own.space = place.value
        """,
        {
            "ids": json_list(chunk_ids),
            "spaces": json.dumps({clean(dataset_id): space for dataset_id, space in spaces.items()}),
            "available": only_available,
        },
    ).fetchall()


def mark_changed(connection: sqlite3.Connection, dataset_no: int) -> None:
    """Tell every process that rows it may hold in memory are no longer right."""
    connection.execute("UPDATE dataset SET changed = changed + 1 WHERE no = ?", (dataset_no,))


def write_chunks(connection: sqlite3.Connection, dataset: DatasetRow, entries: Sequence[Entry]) -> None:
    """Insert or replace chunks of one dataset, with their vectors in its space. No chunk may occur twice."""
    by_document: dict[str, list[Entry]] = {}
    for entry in entries:
        by_document.setdefault(entry.chunk.document_id, []).append(entry)

    inserts: list[tuple[Any, ...]] = []
    updates: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    vectors: list[tuple[int, int, bytes]] = []
    renamed = False
    for document_id, members in by_document.items():
        name = members[-1].chunk.document_name
        document_no, old_name = _ready_document(connection, dataset.no, document_id, name)
        renamed |= old_name not in (None, clean(name))
        existing = {} if old_name is None else _existing(connection, document_no, members)
        for entry in members:
            rid = existing.get(entry.values[0])
            is_new = rid is None
            if rid is None:
                rid = dataset.end_rid + len(inserts)
                inserts.append((document_no, *entry.values, rid))
            else:
                updates.append((document_no, *entry.values, rid))
            stamp, own = (0, 0) if is_new else (dataset.changed + 1, dataset.state + 1)
            first = b"" if dataset.space else entry.vector
            rows.append((rid, document_no, entry.parent, entry.chunk.available, stamp, first))
            vectors.append((rid, own, entry.vector))
    connection.executemany(_INSERT_CHUNK, inserts)
    connection.executemany(_INDEX_CHUNK, [(*insert[_TERMS], insert[-1]) for insert in inserts])
    connection.executemany(_UPDATE_CHUNK, updates)
    connection.executemany(_WRITE_VECTOR, rows)
    write_vectors(connection, dataset.space, vectors)
    connection.execute(
        "UPDATE dataset SET chunks = chunks + ?, next = next + ?, changed = changed + ? WHERE no = ?",
        (len(inserts), len(inserts), bool(updates) or renamed, dataset.no),
    )
    count_change(connection, len(inserts))


def delete_rows(connection: sqlite3.Connection, dataset_no: int, rows: Sequence[tuple[int, int]]) -> ChunkCount:
    """Delete chunks, given as (rid, tokens); the text index and the vectors follow by trigger and cascade."""
    if not rows:
        return ChunkCount(0, 0)
    # One statement: the interpreter's lock, given back and taken again for every row, costs several times the work.
    rids = json.dumps([rid for rid, _ in rows])
    connection.execute("DELETE FROM chunk WHERE rid IN (SELECT value FROM json_each(?))", (rids,))
    connection.execute("UPDATE dataset SET chunks = chunks - ? WHERE no = ?", (len(rows), dataset_no))
    mark_changed(connection, dataset_no)
    count_change(connection, -len(rows))
    return ChunkCount(len(rows), sum(tokens for _, tokens in rows))


def count_change(connection: sqlite3.Connection, chunks: int) -> None:
    """Note that searchable text changed, and by how many chunks the store grew."""
    connection.execute("UPDATE state SET revision = revision + 1, chunks = chunks + ?", (chunks,))


def forget_empty_document(connection: sqlite3.Connection, document_no: int) -> None:
    connection.execute(
        "DELETE FROM document WHERE no = ? AND NOT EXISTS (SELECT 1 FROM chunk WHERE document_no = document.no)",
        (document_no,),
    )


def matching_chunks(
    connection: sqlite3.Connection, numbers: tuple[int, int], terms: Sequence[str], window: tuple[int, int]
) -> ChunkPage:
    """Return the chunks of a document that hold any of these terms, best first.

    `numbers` are those of dataset and document, `window` is (limit, offset).
    """
    if not terms:
        return ChunkPage((), 0)
    matching = "text MATCH ? AND text.rowid BETWEEN ? AND ? AND chunk.document_no = ?"
    query = " OR ".join(f'"{term}"' for term in terms)
    dataset_no, document_no = numbers
    first_rid = dataset_no * ROWS_PER_DATASET
    arguments = (query, first_rid, first_rid + ROWS_PER_DATASET - 1, document_no)
    total = connection.execute(
        f"SELECT count(*) FROM text JOIN chunk ON chunk.rid = text.rowid WHERE {matching}",  # noqa: S608
        arguments,
    ).fetchone()[0]
    rows = connection.execute(
        f"{CHUNK} JOIN text ON text.rowid = chunk.rid WHERE {matching} ORDER BY {BM25}, chunk.rid LIMIT ? OFFSET ?",
        (*arguments, *window),
    ).fetchall()
    return ChunkPage(tuple(map(chunk_of, rows)), total)


def _ready_document(
    connection: sqlite3.Connection, dataset_no: int, document_id: str, name: str
) -> tuple[int, str | None]:
    """Return the document's number, created if need be, and the name it had before; None if it is new."""
    key, name = (dataset_no, clean(document_id)), clean(name)
    found = connection.execute("SELECT no, name FROM document WHERE dataset_no = ? AND id = ?", key).fetchone()
    if found is None:
        cursor = connection.execute("INSERT INTO document (dataset_no, id, name) VALUES (?, ?, ?)", (*key, name))
        assert cursor.lastrowid is not None
        return cursor.lastrowid, None
    if found[1] != name:
        connection.execute("UPDATE document SET name = ? WHERE no = ?", (name, found[0]))
    return found[0], found[1]


def _existing(connection: sqlite3.Connection, document_no: int, entries: Sequence[Entry]) -> dict[str, int]:
    return dict(
        connection.execute(
            """
            SELECT chunk.id, chunk.rid FROM json_each(?) AS wanted
            CROSS JOIN chunk ON chunk.id = wanted.value AND chunk.document_no = ?
            """,
            (json.dumps([entry.values[0] for entry in entries]), document_no),
        ).fetchall()
    )


def _parent_number(parent_id: str) -> int:
    """Return a positive 62-bit number for a parent's id; 0 for none."""
    return (xxhash.xxh64_intdigest(parent_id.encode("utf-8", "surrogatepass")) >> 2) + 1 if parent_id else 0


def _to_json(values: Sequence[Any]) -> str:
    return json.dumps(values) if values else "[]"


def _texts(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored)) if stored != "[]" else ()
