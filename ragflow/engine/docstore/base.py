"""What every document store does. The meaning of each filter and score is in FILTERS.md beside this file.

A store holds chunks and their vectors, grouped by dataset. Ids are opaque; whether the caller may see a dataset is
decided before the store is asked. Methods block; the streaming half calls them through a thread.

The vectors of one embedding model form a *space*, which has a number, 0 for the first. Mostly a dataset has one. While
it changes its model, the vectors of the next space are added beside those of the current one, and every search, read
and write says which it means; so none ever compares vectors of two models. Of the two, one number is even and one odd.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.errors import StoreError
from ragflow.engine.types import Chunk, Matrix, Vector

FIRST_SPACE: Final[Mapping[str, int]] = MappingProxyType({})
"""Vector spaces by dataset: 0 for all of them."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A hybrid search. `vector` may be None (text only); blank text means vector only."""

    dataset_ids: tuple[str, ...]
    text: str
    vector: Vector | None
    document_ids: tuple[str, ...] | None = None  # None: no restriction; (): nothing can match
    excluded_document_ids: tuple[str, ...] = ()  # none of these, whatever `document_ids` says
    top_k: int = 1024  # nearest vectors to consider
    text_limit: int = 1024  # best text hits to consider
    only_available: bool = True
    spaces: Mapping[str, int] = field(default_factory=dict)  # that `vector` lies in, by dataset; 0 where none is named


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a search found, in no particular order: entry i of every array belongs to the same chunk.

    Columns instead of objects, because a search considers up to two thousand chunks and shows ten: only those are
    loaded, by their handles. All scores are raw.
    """

    handles: NDArray[Any]  # what `DocStore.load` takes; opaque
    term: NDArray[np.float64]  # weighted share of the query's terms present in the chunk, 0..1
    bm25: NDArray[np.float64]  # the text engine's score, >= 0; 0 when the chunk did not match as text
    cosine: NDArray[np.float64]  # -1..1, exact, also for chunks found by text only; 0 without a query vector
    dataset: NDArray[np.int64]  # index into `SearchRequest.dataset_ids`
    document: NDArray[np.int64]  # index into `documents`
    parent: NDArray[np.int64]  # children of one parent share a number; 0: no parent
    documents: tuple[tuple[str, str], ...]  # (id, name)

    def __len__(self) -> int:
        return len(self.handles)

    def only(self, mask: NDArray[np.bool_]) -> Candidates:
        """Return those entries for which the mask is true."""
        return Candidates(
            handles=self.handles[mask],
            term=self.term[mask],
            bm25=self.bm25[mask],
            cosine=self.cosine[mask],
            dataset=self.dataset[mask],
            document=self.document[mask],
            parent=self.parent[mask],
            documents=self.documents,
        )


NOTHING = Candidates(
    handles=np.zeros(0, np.int64),
    term=np.zeros(0),
    bm25=np.zeros(0),
    cosine=np.zeros(0),
    dataset=np.zeros(0, np.int64),
    document=np.zeros(0, np.int64),
    parent=np.zeros(0, np.int64),
    documents=(),
)


@dataclass(frozen=True, slots=True)
class ChunkPage:
    chunks: tuple[Chunk, ...]
    total: int


@dataclass(frozen=True, slots=True)
class ChunkCount:
    chunks: int
    tokens: int


def checked(vectors: Matrix, count: int) -> Matrix:
    """Return vectors as stores keep them. Raises StoreError unless there are `count`, all finite."""
    if len(vectors) != count:
        raise StoreError(f"{count} chunks came with {len(vectors)} vectors.")
    rows: Matrix = np.ascontiguousarray(vectors, "<f4")
    if not np.isfinite(rows).all():
        raise StoreError("The embedding model returned a vector with numbers that are not finite.")
    return rows


class Versioned(NamedTuple):
    """A chunk as it was read."""

    chunk: Chunk
    version: Any  # opaque; another one when the chunk has been replaced since


class DocStore(Protocol):
    name: str  # "embedded", "elasticsearch"
    most_named_documents: int | None
    """How many document ids a search handles well: with more, a caller names those to leave out, if they are fewer.
    None: any number."""

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix, *, space: int = 0) -> None:
        """Write chunks with their vectors (row i belongs to chunk i), all or none, searchable on return.

        A chunk whose id exists in the same document is replaced, and keeps no vector but that of `space`. Raises
        DimensionMismatch when the space holds vectors of another length, StoreError when the write fails.
        """

    def get(self, dataset_ids: Sequence[str], chunk_id: str) -> Chunk | None:
        """Return a chunk by id if it lies in one of these datasets."""

    def list_chunks(self, dataset_id: str, document_id: str, *, offset: int, limit: int, text: str = "") -> ChunkPage:
        """Return a page of a document's chunks, unavailable ones included.

        Without text: parsed chunks in document order, then manual ones, newest first. With text: those that match it,
        best first.
        """

    def still_available(self, dataset_ids: Sequence[str], chunk_ids: Sequence[str]) -> set[str]:
        """Return those of the ids whose chunk, or one of whose children, retrieval considers now."""

    def available_ids(self, dataset_id: str, document_id: str) -> set[str]:
        """Return the ids of the document's chunks that retrieval considers."""

    def set_available(
        self, dataset_id: str, document_id: str, available: bool, chunk_ids: Sequence[str] | None = None
    ) -> int:
        """Switch all or some chunks of a document on or off for retrieval. Return how many there were."""

    def rename_document(self, dataset_id: str, document_id: str, name: str) -> None:
        """Give the chunks of a document a new document name, in their data and in the searchable text."""

    def delete_chunks(self, dataset_id: str, document_id: str, chunk_ids: Sequence[str]) -> ChunkCount:
        """Delete these chunks of the document; return the count and tokens of those that existed."""

    def delete_document(self, dataset_id: str, document_id: str, *, older_than: float | None = None) -> ChunkCount:
        """Delete the chunks of a document in slices. `older_than`: only those created before that Unix time."""

    def delete_dataset(self, dataset_id: str, *, unhurried: bool = False) -> int:
        """Delete a dataset's chunks in slices, so that other writers never wait long. Return how many there were.

        `unhurried`: nobody waits for it, so a store on this machine leaves the cores to others most of the time.
        """

    def count(self, dataset_id: str, document_id: str | None = None) -> ChunkCount:
        """Count the chunks (and their tokens) of a dataset or of one document."""

    def search(self, request: SearchRequest) -> Candidates:
        """Return the union of the best text hits and the nearest vectors, each with both raw scores.

        Raises DimensionMismatch when the query's vector has another length than those of a dataset, VectorsMissing
        when a chunk of a dataset has no vector in the space of the query's.
        """

    def load(self, handles: Sequence[Any]) -> list[Chunk | None]:
        """Return the chunks of these handles, in their order; None for one deleted since the search."""

    def term_weights(self, dataset_ids: Sequence[str], text: str) -> dict[str, float]:
        """Return the query's analysed terms with their weight (for highlighting and matching sentences)."""

    def vectors(
        self, dataset_ids: Sequence[str], chunk_ids: Sequence[str], *, spaces: Mapping[str, int] = FIRST_SPACE
    ) -> dict[str, Vector]:
        """Return the stored vectors of these chunks (citations compare sentences with them).

        The id of a parent gives the normalised mean of its children's vectors.
        """

    def lacking(self, dataset_id: str, space: int) -> Iterator[Versioned]:
        """Yield the chunks of a dataset that have no vector in this space.

        They are read as they are asked for, and nothing is held in between.
        """

    def count_lacking(self, dataset_id: str, space: int) -> int:
        """Count the chunks that `lacking` would yield at this moment."""

    def add_vectors(self, dataset_id: str, space: int, chunks: Sequence[Versioned], vectors: Matrix) -> int:
        """Give chunks a vector in a space, which is not 0, beside those that they have. Return how many got one.

        Those that were replaced or deleted since they were read are passed over. Raises as `upsert`.
        """

    def drop_space(self, dataset_id: str, space: int) -> None:
        """Remove the vectors of a space, in slices. Its number must not be used again for this dataset."""

    def dataset_ids(self) -> set[str]:
        """Return the datasets that have chunks here (the verify command compares them with the database)."""

    def counts_by_document(self, dataset_id: str) -> dict[str, ChunkCount]:
        """Count the chunks and tokens of every document that has chunks in the dataset."""

    def ping(self) -> str:
        """Return a short description of the backend if it answers; raise StoreError if it does not."""

    def close(self) -> None:
        """Release connections of every thread. The store may be used again afterwards."""
