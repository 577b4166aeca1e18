"""From a question to a page of passages. API, chat and command line all come through here.

embed the question -> search the store -> fuse -> (rerank the best) -> threshold -> parents -> page -> highlight
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ragflow.engine.docstore.base import Candidates, DocStore, SearchRequest
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.errors import ModelError
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.retrieval.fusion import Indexes, Numbers, Ranking, best_first, fuse, fuse_reranked
from ragflow.engine.retrieval.highlight import mark
from ragflow.engine.retrieval.query import RetrievalRequest
from ragflow.engine.threads import in_thread
from ragflow.engine.types import Chunk, DocumentCount, Passage, Retrieval, Vector

RERANK_DEPTH = 64
"""Candidates that a rerank model sees: it costs milliseconds or money for each."""

TEXT_LIMIT = 100_000
"""Text hits that count towards `total`. Only those of the page are ever loaded."""

EMBEDDED_CHARACTERS = 4000
"""Of a question. Local models take a second for 10 000, in which other questions wait; text search reads all of it."""

ROUNDING = 1e-9
"""A similarity that equals the threshold but for the last bits passes it."""

EMPTY = Retrieval(passages=(), total=0, documents=())


def retrieve(
    store: DocStore, request: RetrievalRequest, *, embedder: Embedder, reranker: Reranker | None = None
) -> Retrieval:
    """Answer a question with a page of passages. Raises InvalidQuery, ModelError, StoreError. Blocking."""
    request.validate()
    if _hopeless(request):
        return EMPTY
    vector = embedder.embed_query(request.question[:EMBEDDED_CHARACTERS])
    return _answer(store, request, vector, embedder, reranker)


async def aretrieve(
    store: DocStore, request: RetrievalRequest, *, embedder: Embedder, reranker: Reranker | None = None
) -> Retrieval:
    """The same from the event loop."""
    request.validate()
    if _hopeless(request):
        return EMPTY
    vector = await embedder.aembed_query(request.question[:EMBEDDED_CHARACTERS])
    return await in_thread(_answer, store, request, vector, embedder, reranker)


def _answer(
    store: DocStore, request: RetrievalRequest, vector: Vector, embedder: Embedder, reranker: Reranker | None
) -> Retrieval:
    found = _find(store, request, vector, request.vector_weight(embedder.default_vector_weight))
    if reranker is not None:
        found = _rerank(store, found, reranker)
    return _page(store, found)


def _hopeless(request: RetrievalRequest) -> bool:
    return not request.question.strip() or not request.dataset_ids or request.document_ids == ()


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    request: RetrievalRequest
    weight: float
    candidates: Candidates
    boost: Numbers  # pagerank of each candidate's dataset
    ranking: Ranking


def _find(store: DocStore, request: RetrievalRequest, vector: Vector, weight: float) -> _Found:
    candidates = store.search(
        SearchRequest(
            dataset_ids=request.dataset_ids,
            text=request.text,
            vector=vector,
            document_ids=request.document_ids,
            excluded_document_ids=request.excluded_document_ids,
            top_k=request.top_k,
            text_limit=TEXT_LIMIT,
            spaces=request.spaces,
        )
    )
    if request.candidates == "text_first" and candidates.bm25.any():
        candidates = candidates.only(candidates.bm25 > 0)
    pageranks = np.array([request.pageranks.get(dataset_id, 0) for dataset_id in request.dataset_ids], np.float64)
    boost = pageranks[candidates.dataset]
    return _Found(request, weight, candidates, boost, fuse(candidates, weight=weight, boost=boost))


def _rerank(store: DocStore, found: _Found, reranker: Reranker) -> _Found:
    candidates, ranking = found.candidates, found.ranking
    chosen = best_first(ranking, np.arange(len(candidates)))[:RERANK_DEPTH]
    chunks = store.load(list(candidates.handles[chosen]))
    present = np.array([chunk is not None for chunk in chunks], np.bool_)
    texts = [chunk.content for chunk in chunks if chunk is not None]
    if not texts:
        return found
    scores = reranker.rerank(found.request.question, texts)
    if len(scores) != len(texts):
        raise ModelError(f"The rerank model returned {len(scores)} scores for {len(texts)} texts.", code="MODEL_ERROR")
    reranked = fuse_reranked(candidates, ranking, chosen[present], scores, weight=found.weight, boost=found.boost)
    return replace(found, ranking=reranked)


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """The results, best first, column by column: chunks, or parents that stand for their children."""

    child: Indexes  # candidate to show, the best child of a parent
    similarity: Numbers
    vector: Numbers
    term: Numbers


def _page(store: DocStore, found: _Found) -> Retrieval:
    request, candidates = found.request, found.candidates
    similar = np.flatnonzero(found.ranking.similarity >= request.similarity_threshold - ROUNDING)
    entries = _entries(candidates, found.ranking, best_first(found.ranking, similar))
    start = (request.page - 1) * request.page_size
    shown = range(start, min(start + request.page_size, len(entries.child)))
    chunks = store.load([candidates.handles[entries.child[index]] for index in shown])
    passages = [
        _passage(chunk, entries, index, request)
        for index, chunk in zip(shown, chunks, strict=True)
        if chunk is not None  # deleted since the search
    ]
    return Retrieval(tuple(passages), len(entries.child), _document_counts(candidates, entries.child))


def _entries(candidates: Candidates, ranking: Ranking, ordered: Indexes) -> _Entries:
    """Replace children by their parent, which scores the mean of its children found."""
    parents = candidates.parent[ordered]
    if not parents.any():
        return _Entries(ordered, ranking.similarity[ordered], ranking.vector[ordered], candidates.term[ordered])
    _, best, group = np.unique(np.where(parents > 0, parents, -1 - ordered), return_index=True, return_inverse=True)
    sizes = np.bincount(group)

    def mean(scores: Numbers) -> Numbers:
        means: Numbers = np.bincount(group, scores[ordered]) / sizes
        return means

    child = ordered[best]
    means = Ranking(mean(ranking.similarity), mean(ranking.vector), mean(ranking.order), ranking.tier[child])
    order = best_first(means, np.arange(len(child)))
    return _Entries(child[order], means.similarity[order], means.vector[order], mean(candidates.term)[order])


def _passage(chunk: Chunk, entries: _Entries, index: int, request: RetrievalRequest) -> Passage:
    if chunk.parent_id:
        chunk = replace(chunk, id=chunk.parent_id, content=chunk.parent_content)
    return Passage(
        chunk=chunk,
        similarity=float(entries.similarity[index]),
        term_similarity=float(entries.term[index]),
        vector_similarity=float(entries.vector[index]),
        highlight=mark(chunk.content, request.text) or chunk.content if request.highlight else None,
    )


def _document_counts(candidates: Candidates, found: Indexes) -> tuple[DocumentCount, ...]:
    """Count results by document, most first; among equals the one with the better result first."""
    documents, first, counts = np.unique(candidates.document[found], return_index=True, return_counts=True)
    ranked = np.lexsort((first, -counts))
    named = ((candidates.documents[documents[index]], int(counts[index])) for index in ranked)
    return tuple(DocumentCount(document_id, name, count) for (document_id, name), count in named)
