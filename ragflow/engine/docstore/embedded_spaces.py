"""Vectors beside those that a dataset is searched with: what the embedded store does while a dataset changes its model.

Every function here runs inside a transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ragflow.engine.docstore.analysis import clean
from ragflow.engine.docstore.embedded_cache import DatasetRow
from ragflow.engine.errors import DimensionMismatch

_DATASET = """
    SELECT dataset.no, CASE WHEN :space = 0 THEN dataset.dimension ELSE coalesce(space.dimension, 0) END,
        dataset.chunks, dataset.next, dataset.changed, :space, coalesce(space.changed, 0)
    FROM dataset LEFT JOIN space ON space.dataset_no = dataset.no AND space.number = :space
    WHERE dataset.id = :id
"""
_LACKING = """
    FROM vector LEFT JOIN space_vector AS own ON own.rid = vector.rid AND own.space = :space
    WHERE vector.rid > :after AND vector.rid < :end
        AND CASE WHEN :space = 0 THEN length(vector.vector) = 0 ELSE own.rid IS NULL END
"""


def find_datasets(
    connection: sqlite3.Connection, dataset_ids: Sequence[str], spaces: Mapping[str, int]
) -> list[tuple[int, DatasetRow]]:
    """Return those of these datasets that exist, each with its first place in the list, ordered by number."""
    found: dict[int, tuple[int, DatasetRow]] = {}
    for index, dataset_id in enumerate(dataset_ids):
        if (row := find_dataset(connection, dataset_id, spaces.get(dataset_id, 0))) is not None:
            found.setdefault(row.no, (index, row))
    return [found[no] for no in sorted(found)]


def find_dataset(connection: sqlite3.Connection, dataset_id: str, space: int = 0) -> DatasetRow | None:
    """Return a dataset as it is in a space; a space that does not exist has dimension 0."""
    row = connection.execute(_DATASET, {"id": clean(dataset_id), "space": space}).fetchone()
    return DatasetRow(*row) if row else None


def ready_dataset(connection: sqlite3.Connection, dataset_id: str, space: int, dimension: int) -> DatasetRow:
    """Return the dataset in a space, created if need be. An empty one may take vectors of another length."""
    connection.execute(
        """
        INSERT INTO dataset (id, dimension) VALUES (?, ?)
        ON CONFLICT (id) DO UPDATE SET dimension = excluded.dimension, changed = changed + 1
        WHERE chunks = 0 AND dimension <> excluded.dimension
        """,
        (clean(dataset_id), 0 if space else dimension),
    )
    if space:  # A new one begins with a change: it may have been searched before it existed.
        connection.execute(
            """
            INSERT INTO space (dataset_no, number, dimension, changed) SELECT no, ?, ?, 1 FROM dataset WHERE id = ?
            ON CONFLICT (dataset_no, number) DO UPDATE SET dimension = excluded.dimension, changed = changed + 1
            WHERE dimension <> excluded.dimension
                AND NOT EXISTS (SELECT 1 FROM dataset WHERE no = dataset_no AND chunks > 0)
            """,
            (space, dimension, clean(dataset_id)),
        )
    dataset = find_dataset(connection, dataset_id, space)
    assert dataset is not None
    if dataset.dimension != dimension:
        raise DimensionMismatch(
            f"The embedding model returned vectors of {dimension} numbers, but the dataset holds vectors of"
            f" {dataset.dimension}. Embed the dataset anew, or parse its documents again after changing the model."
        )
    return dataset


def write_vectors(connection: sqlite3.Connection, space: int, rows: Sequence[tuple[int, int, bytes]]) -> None:
    """Write the vectors of new and replaced chunks, given as (rid, stamp, vector), in place of those in all spaces.

    What space 0 has is written with the chunks.
    """
    rids = str([rid for rid, _, _ in rows])
    connection.execute("DELETE FROM space_vector WHERE rid IN (SELECT value FROM json_each(?))", (rids,))
    if space:
        connection.executemany(
            "INSERT INTO space_vector (rid, space, stamp, vector) VALUES (?, ?, ?, ?)",
            [(rid, space, stamp, vector) for rid, stamp, vector in rows],
        )


def lacking(
    connection: sqlite3.Connection, dataset: DatasetRow, *, after: int, limit: int
) -> list[tuple[int, tuple[int, int]]]:
    """Return the rowids above `after` of chunks without a vector in the space of `dataset`, each with its version."""
    found = connection.execute(
        f"SELECT vector.rid, vector.stamp {_LACKING} ORDER BY vector.rid LIMIT :limit",
        _range(dataset) | {"after": after, "limit": limit},
    )
    return [(rid, (rid, stamp)) for rid, stamp in found]


def count_lacking(connection: sqlite3.Connection, dataset: DatasetRow) -> int:
    count: int = connection.execute(f"SELECT count(*) {_LACKING}", _range(dataset)).fetchone()[0]
    return count


def add_vectors(
    connection: sqlite3.Connection, dataset: DatasetRow, rows: Sequence[tuple[tuple[int, int], bytes]]
) -> int:
    """Write vectors beside the others of chunks, given as (version, vector), that are still of that version."""
    stamp = dataset.state + 1
    written = connection.executemany(
        """
        INSERT INTO space_vector (rid, space, stamp, vector)
        SELECT rid, ?, ?, ? FROM vector WHERE rid = ? AND stamp = ?
        ON CONFLICT (rid, space) DO UPDATE SET stamp = excluded.stamp, vector = excluded.vector
        """,
        [(dataset.space, stamp, vector, *version) for version, vector in rows],
    ).rowcount
    connection.execute(
        "UPDATE space SET changed = changed + 1 WHERE dataset_no = ? AND number = ?", (dataset.no, dataset.space)
    )
    return written


def forget_space(connection: sqlite3.Connection, dataset: DatasetRow) -> None:
    """Make a space one that does not exist. Its vectors are left to `drop_vectors`."""
    connection.execute(
        "UPDATE dataset SET changed = changed + ?, dimension = CASE WHEN ? THEN dimension ELSE 0 END WHERE no = ?",
        (dataset.space_changed + 1, dataset.space, dataset.no),
    )
    connection.execute("DELETE FROM space WHERE dataset_no = ? AND number = ?", (dataset.no, dataset.space))


def drop_vectors(connection: sqlite3.Connection, dataset: DatasetRow, *, after: int, limit: int) -> int | None:
    """Remove some of a space's vectors with rowids above `after`. Return the last one; None when none were left."""
    query = "SELECT rid FROM space_vector WHERE rid > :after AND rid < :end AND space = :space"
    if not dataset.space:
        query = "SELECT rid FROM vector WHERE rid > :after AND rid < :end AND length(vector) > 0"
    found = connection.execute(
        f"{query} ORDER BY rid LIMIT :limit", _range(dataset) | {"after": after, "limit": limit}
    ).fetchall()
    if not found:
        return None
    rids = str([rid for (rid,) in found])
    if dataset.space:
        statement = "DELETE FROM space_vector WHERE space = ? AND rid IN (SELECT value FROM json_each(?))"
        connection.execute(statement, (dataset.space, rids))
    else:
        connection.execute("UPDATE vector SET vector = x'' WHERE rid IN (SELECT value FROM json_each(?))", (rids,))
    return int(found[-1][0])


def _range(dataset: DatasetRow) -> dict[str, Any]:
    return {"space": dataset.space, "after": dataset.first_rid, "end": dataset.end_rid}
