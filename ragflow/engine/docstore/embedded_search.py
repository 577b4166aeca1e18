"""The ranking half of the embedded store: BM25 from the full-text index, cosine from the cached vectors."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.docstore.analysis import query_terms, term_weight
from ragflow.engine.docstore.base import NOTHING, Candidates, SearchRequest
from ragflow.engine.docstore.embedded_cache import ROWS_PER_DATASET, Columns, DatasetRow, VectorCache
from ragflow.engine.errors import DimensionMismatch, VectorsMissing

BM25 = "bm25(text, 5, 15, 10, 1)"
"""Column weights of name, keywords, questions and content: 10 : 30 : 20 : 2, as the contract boosts them."""

SMALL_FILTER = 4096
"""A restriction to at most this many rows is handed to SQLite; a larger one is cheaper to apply afterwards."""

POSTINGS_BUDGET = 60_000
"""Postings that a search scores in full; see `_split_by_cost`."""

Numbers = NDArray[np.float64]
Cosines = NDArray[np.float32]
Mask = NDArray[np.bool_]


SCALE = -1_000_000_000_000
"""FTS5's scores are negative and may be as small as 1e-6; times this they are whole numbers of enough digits."""

# One row per term with all its chunks as "rowid,score,rowid,score,...". A row per chunk would cost a Python object and
# a release of the interpreter lock each; a third of the time, and far more while other threads are searching.
# The rowids count from the first of the scope. LIMIT -1 keeps SQLite from merging the inner query into the aggregate,
# where bm25() is not available.
_POSTINGS = f"""
    SELECT query.key, (
        SELECT group_concat((id - ?) || ',' || CAST(score * ? AS INTEGER))
        FROM (
            SELECT rowid AS id, {BM25} AS score FROM text
            WHERE text MATCH query.value AND rowid BETWEEN ? AND ? {{restriction}} LIMIT -1
        )
    )
    FROM json_each(?) AS query
"""  # noqa: S608 - constants


class TermStatistics:
    """In how many chunks of the store each term occurs. Remembered until the searchable text changes.

    Threads share it, each with a snapshot of its own: what one counted must not be taken for another revision's.
    """

    LIMIT = 50_000

    def __init__(self) -> None:
        self._known: tuple[int, dict[str, int]] = (-1, {})  # revision, and the counts of that revision alone

    def read(self, connection: sqlite3.Connection, terms: Sequence[str]) -> tuple[int, list[int]]:
        """Return the number of chunks in the store, and for each term how many of them hold it."""
        revision, total = connection.execute("SELECT revision, chunks FROM state").fetchone()
        known, counts = self._known
        if revision != known or len(counts) > self.LIMIT:
            counts = {}
            self._known = revision, counts
        missing = [term for term in terms if term not in counts]
        if missing:
            found = dict(
                connection.execute(
                    "SELECT term, doc FROM json_each(?) CROSS JOIN term ON term.term = json_each.value",
                    (json.dumps(missing),),
                ).fetchall()
            )
            counts.update((term, found.get(term, 0)) for term in missing)
        return total, [counts[term] for term in terms]


def idf_correction(total: int, count: int) -> float:
    """What FTS5's score for a single term is multiplied with to give BM25 with Lucene's idf.

    FTS5 uses ln((N - n + 0.5) / (n + 0.5)) and replaces values <= 0 by 1e-6, so that a word in more than half of the
    chunks, hence nearly every word of a first small document, counts for nothing. Lucene adds 1 before the logarithm.
    """
    odds = max(total - count + 0.5, 0.5) / (count + 0.5)
    fts5 = math.log(odds)
    return -math.log1p(odds) / (fts5 if fts5 > 0 else 1e-6)


class _Postings(NamedTuple):
    """Occurrences of query terms, column by column."""

    term: NDArray[np.int64]  # number of the term in the query
    position: NDArray[np.int64]  # of the chunk in the scope
    score: Numbers  # FTS5's, negative

    def followed_by(self, other: _Postings, offset: int) -> _Postings:
        return _Postings(
            np.concatenate([self.term, other.term + offset]),
            np.concatenate([self.position, other.position]),
            np.concatenate([self.score, other.score]),
        )


@dataclass(slots=True, eq=False)
class _Scope:
    """The columns of all searched datasets in a row, and which of their chunks may be found."""

    columns: Columns
    ends: NDArray[np.int64]  # position after the last chunk of each dataset
    places: list[int]  # of the datasets in the request
    numbers: list[int]  # of the datasets, ascending
    allowed: Mask | None  # None: all
    cosine: Cosines


def search(
    connection: sqlite3.Connection,
    cache: VectorCache,
    statistics: TermStatistics,
    rows: Sequence[tuple[int, DatasetRow]],
    request: SearchRequest,
) -> Candidates:
    """Rank the chunks of these datasets, given as (index in the request, row) in ascending order of their numbers."""
    if not rows:
        return NOTHING
    scope = _scope(connection, cache, rows, request)
    terms = query_terms(request.text) if request.text else []
    nearest = _nearest(scope, request)
    if not terms:
        nothing = np.zeros(len(nearest))
        return _candidates(scope, nearest, nothing, nothing)

    total, counts = statistics.read(connection, terms)
    order = sorted((i for i, count in enumerate(counts) if count), key=lambda i: counts[i])
    driving, refining = _split_by_cost(order, counts, len(scope.columns))

    postings = _postings(connection, scope, [terms[i] for i in driving], _small(scope))
    if refining:
        found = np.union1d(postings.position, nearest)
        extra = _postings(connection, scope, [terms[i] for i in refining], scope.columns.rids[found])
        postings = postings.followed_by(extra, len(driving))

    bm25, term = _scores(postings, total, counts, driving + refining, len(scope.columns))
    picked = _union(_matched(bm25, scope, request.text_limit), nearest, len(scope.columns))
    return _candidates(scope, picked, bm25[picked], term[picked])


def _candidates(scope: _Scope, picked: NDArray[np.int64], bm25: Numbers, term: Numbers) -> Candidates:
    columns = scope.columns
    return Candidates(
        handles=columns.rids[picked],
        term=term,
        bm25=bm25,
        cosine=scope.cosine[picked].clip(-1.0, 1.0).astype(np.float64),
        dataset=np.array(scope.places)[np.searchsorted(scope.ends, picked, side="right")],
        document=columns.document[picked],
        parent=columns.parent[picked],
        documents=columns.documents,
    )


def _scores(
    postings: _Postings, total: int, counts: Sequence[int], used: Sequence[int], size: int
) -> tuple[Numbers, Numbers]:
    """Return BM25 and term similarity of every chunk in the scope. `used[n]` is the index in `counts` of term n."""
    if not len(postings.position):
        return np.zeros(size), np.zeros(size)
    weights = np.array([term_weight(total, count) for count in counts])
    corrections = np.array([idf_correction(total, counts[i]) for i in used])
    scores: Numbers = postings.score * corrections[postings.term]
    bm25 = np.bincount(postings.position, scores, minlength=size).astype(np.float64)
    present = np.bincount(postings.position, weights[used][postings.term], minlength=size).astype(np.float64)
    return bm25, np.minimum(present / weights.sum(), 1.0)


def _scope(
    connection: sqlite3.Connection,
    cache: VectorCache,
    rows: Sequence[tuple[int, DatasetRow]],
    request: SearchRequest,
) -> _Scope:
    parts = [cache.columns(connection, row) for _, row in rows]
    cosines = [_cosine(part, request) for part in parts]
    ends = np.cumsum([len(part) for part in parts])
    columns = parts[0] if len(parts) == 1 else _concatenate(parts)
    cosine = cosines[0] if len(cosines) == 1 else np.concatenate(cosines)
    return _Scope(
        columns, ends, [index for index, _ in rows], [row.no for _, row in rows], _allowed(columns, request), cosine
    )


def _cosine(columns: Columns, request: SearchRequest) -> Cosines:
    if request.vector is None:
        return np.zeros(len(columns), np.float32)
    if not len(columns):
        return np.zeros(0, np.float32)
    if not columns.vectors.shape[1]:
        raise VectorsMissing
    if len(request.vector) != columns.vectors.shape[1]:
        raise DimensionMismatch(
            f"The question's vector has {len(request.vector)} numbers, those of the dataset {columns.vectors.shape[1]}."
            " The dataset was made with another embedding model."
        )
    cosine: Cosines = columns.vectors @ request.vector
    if np.isnan(cosine.sum()):
        raise VectorsMissing
    return cosine


def _concatenate(parts: Sequence[Columns]) -> Columns:
    """Join the columns of datasets; the vectors, already used by now, are left out."""
    offsets = np.cumsum([0, *(len(part.documents) for part in parts)])
    return Columns(
        rids=np.concatenate([part.rids for part in parts]),
        document=np.concatenate([part.document + offset for part, offset in zip(parts, offsets, strict=False)]),
        parent=np.concatenate([part.parent for part in parts]),
        available=np.concatenate([part.available for part in parts]),
        vectors=np.empty((0, 0), np.float32),
        documents=tuple(chain.from_iterable(part.documents for part in parts)),
    )


def _allowed(columns: Columns, request: SearchRequest) -> Mask | None:
    mask = columns.available if request.only_available and not columns.available.all() else None
    if request.document_ids is None and not request.excluded_document_ids:
        return mask
    unwanted = set(request.excluded_document_ids)
    wanted = None if request.document_ids is None else set(request.document_ids) - unwanted
    if wanted is None:
        chosen = [document_id not in unwanted for document_id, _ in columns.documents]
    else:
        chosen = [document_id in wanted for document_id, _ in columns.documents]
    restricted = np.array(chosen, np.bool_)[columns.document]
    return restricted if mask is None else restricted & mask


def _small(scope: _Scope) -> NDArray[np.int64] | None:
    """Return the rows to restrict the full-text query to, if handing them over pays."""
    if scope.allowed is None:
        return None
    count = int(np.count_nonzero(scope.allowed))
    if count > SMALL_FILTER or count * 2 > len(scope.allowed):
        return None
    return scope.columns.rids[scope.allowed]


def _split_by_cost(order: list[int], counts: list[int], size: int) -> tuple[list[int], list[int]]:
    """Split terms, rarest first, into those that find chunks and those that only refine the score of found ones.

    A word in most of 100,000 chunks costs as much as the rest of the question and hardly changes the order. Once the
    rarer words have found enough, the commonest are looked up only in what was found.
    """
    read = 0
    for position, index in enumerate(order):
        rows = min(counts[index], size)
        if read + rows > POSTINGS_BUDGET and read > SMALL_FILTER:
            return order[:position], order[position:]
        read += rows
    return order, []


def _postings(
    connection: sqlite3.Connection, scope: _Scope, terms: Sequence[str], only: NDArray[np.int64] | None
) -> _Postings:
    """Look the terms up in the chunks of the scope, or in `only` these (rowids)."""
    empty = _Postings(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    if not terms or not len(scope.columns) or (only is not None and not len(only)):
        return empty
    rids = scope.columns.rids
    first = int(rids[0])
    restriction = ""
    arguments: list[int | str] = [first, SCALE, first, int(rids[-1])]
    if only is not None:
        restriction = "AND +rowid IN (SELECT value FROM json_each(?))"
        arguments.append(str(only.tolist()))
    elif len(scope.numbers) > 1:
        restriction = "AND rowid / ? IN (SELECT value FROM json_each(?))"
        arguments += [ROWS_PER_DATASET, str(scope.numbers)]
    rows = connection.execute(
        _POSTINGS.format(restriction=restriction), (*arguments, json.dumps([f'"{term}"' for term in terms]))
    ).fetchall()
    found = [(number, np.fromstring(text, np.int64, sep=",")) for number, text in rows if text]
    if not found:
        return empty
    pairs = np.concatenate([numbers for _, numbers in found]).reshape(-1, 2)
    term = np.repeat([number for number, _ in found], [len(numbers) // 2 for _, numbers in found])
    return _Postings(term, np.searchsorted(rids, pairs[:, 0] + first), pairs[:, 1] / SCALE)


def _matched(bm25: Numbers, scope: _Scope, limit: int) -> NDArray[np.int64]:
    return _best(bm25, np.flatnonzero(bm25 if scope.allowed is None else bm25 * scope.allowed), limit)


def _nearest(scope: _Scope, request: SearchRequest) -> NDArray[np.int64]:
    if request.vector is None:
        return np.zeros(0, np.int64)
    if scope.allowed is None:
        return _best(scope.cosine, None, request.top_k)
    return _best(scope.cosine, np.flatnonzero(scope.allowed), request.top_k)


def _best(scores: Numbers | Cosines, among: NDArray[np.int64] | None, limit: int) -> NDArray[np.int64]:
    """Return the positions of the `limit` highest scores."""
    count = len(scores) if among is None else len(among)
    if count <= limit:
        return np.arange(count) if among is None else among
    top = np.argpartition(scores if among is None else scores[among], count - limit)[count - limit :]
    return top if among is None else among[top]


def _union(first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if not len(second):
        return first
    if not len(first):
        return second
    chosen = np.zeros(size, np.bool_)
    chosen[first] = True
    chosen[second] = True
    return np.flatnonzero(chosen)
