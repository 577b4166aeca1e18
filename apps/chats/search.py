"""Datasets with the models and numbers of a search, and the web beside them, ready to be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from apps.accounts import language_models
from apps.chats.filters import NO_FILTER, MetadataFilter
from apps.chats.models import Assistant
from apps.core.errors import DataError
from apps.core.threads import in_database
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import aim, aim_again, share_a_model
from apps.documents.metadata.filtering import Restriction
from apps.documents.selectors import metadata_of
from apps.documents.tables import sheets_in
from ragflow.engine.docstore.base import DocStore
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.errors import ModelError, VectorsMissing
from ragflow.engine.generation.chat import NOTHING
from ragflow.engine.generation.citations import withdraw
from ragflow.engine.generation.matching import HybridSimilarity
from ragflow.engine.http import Endpoint
from ragflow.engine.rerank.base import Reranker
from ragflow.engine.retrieval import RetrievalRequest, aretrieve
from ragflow.engine.retrieval.web import WebSearch, documents_of
from ragflow.engine.tables.sandbox import Sheet
from ragflow.engine.types import Answer, Retrieval, Retrieve

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Search:
    """Finds passages for a text, and afterwards knows the metadata of the documents they are from."""

    store: DocStore
    embedder: Embedder
    reranker: Reranker | None
    request: RetrievalRequest
    filter: MetadataFilter = NO_FILTER
    has_tables: bool = False  # some dataset holds rows of spreadsheets
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    _allowed: dict[str, Restriction | None] = field(default_factory=dict)  # by the text that was asked with

    async def __call__(self, text: str) -> Retrieval:
        if self.request.page_size <= 0:
            return NOTHING
        request = await self._restricted(text)
        found = await self._found(request)
        if found.passages:
            found_in = {passage.chunk.document_id for passage in found.passages}
            self.metadata.update(await in_database(metadata_of, found_in))
        return found

    async def _found(self, request: RetrievalRequest) -> Retrieval:
        try:
            return await aretrieve(self.store, request, embedder=self.embedder, reranker=self.reranker)
        except VectorsMissing:
            renewed, embedder = await in_database(aim_again, request)
            return await aretrieve(self.store, renewed, embedder=embedder, reranker=self.reranker)

    async def sheets(self, text: str) -> list[Sheet]:
        """Return the rows of spreadsheets that a question may be answered from."""
        if not self.has_tables:
            return []
        request = await self._restricted(text)
        excluded = request.excluded_document_ids
        return await in_database(sheets_in, request.dataset_ids, request.document_ids, excluded_ids=excluded)

    async def confirmed(self, answer: Answer) -> Answer:
        """Return the answer without citations of what was deleted or switched off since it was found."""
        passages = answer.retrieval.passages
        stored = [passage.chunk.id for passage in passages if not passage.url]
        if not stored or answer.from_rows:
            return answer
        available = await in_database(self.store.still_available, self.request.dataset_ids, stored)
        return withdraw(answer, available | {passage.chunk.id for passage in passages if passage.url})

    async def _restricted(self, text: str) -> RetrievalRequest:
        """Return the request for a text, with the documents that the filter lets through."""
        request = replace(self.request, question=text)
        if text not in self._allowed:
            found = await self.filter.documents(request.dataset_ids, text, among_ids=request.document_ids)
            self._allowed[text] = found
        allowed = self._allowed[text]
        if allowed is None:
            return request
        return replace(request, document_ids=allowed.document_ids, excluded_document_ids=allowed.excluded_ids)

    @property
    def similarities(self) -> HybridSimilarity:
        weight = self.request.vector_weight(self.embedder.default_vector_weight)
        return HybridSimilarity(self.store, self.embedder, weight, self.request.spaces)


async def find_nothing(_text: str) -> Retrieval:
    """Stands for a search where there is no dataset, or none any more."""
    return NOTHING


def web_search(key: object) -> WebSearch | None:
    """Return what searches the web with a key that was saved with an assistant or a search app; None without one."""
    if not isinstance(key, str) or not key.strip():
        return None
    try:
        return WebSearch(Endpoint(settings.TAVILY_URL, key.strip()))
    except ModelError as error:
        logger.warning("The web cannot be searched: %s", error)
        return None


def with_web(retrieve: Retrieve, web: WebSearch | None) -> Retrieve:
    """Return a search that finds what `retrieve` finds and, after it, passages of the web."""
    if web is None:
        return retrieve

    async def both(text: str) -> Retrieval:
        pages = asyncio.create_task(web(text))
        try:
            found = await retrieve(text)
            passages = await pages
        finally:
            pages.cancel()
        return Retrieval(
            found.passages + passages, found.total + len(passages), found.documents + documents_of(passages)
        )

    return both


def search_of(
    assistant: Assistant,
    datasets: Sequence[KnowledgeBase],
    document_ids: tuple[str, ...] | None,
    metadata_filter: MetadataFilter = NO_FILTER,
) -> Search:
    """Prepare the search of an assistant. Raises DataError if its datasets do not go together, ModelNotFound."""
    numbers = RetrievalRequest(
        question="",
        document_ids=document_ids,
        page_size=assistant.top_n,
        similarity_threshold=assistant.similarity_threshold,
        vector_similarity_weight=assistant.vector_similarity_weight,
        top_k=max(assistant.top_k, 1),
    )
    return search_in(
        datasets,
        numbers,
        metadata_filter=metadata_filter,
        rerank_model=assistant.rerank_model,
        tenant_id=assistant.tenant_id,
    )


def for_research(search: Search) -> Search:
    """Return the same search with the numbers of deep research, where passages are collected over several rounds."""
    numbers = replace(search.request, similarity_threshold=0.2, vector_similarity_weight=0.3)
    return replace(search, request=numbers)


def search_in(
    datasets: Sequence[KnowledgeBase],
    numbers: RetrievalRequest,
    *,
    metadata_filter: MetadataFilter = NO_FILTER,
    rerank_model: str = "",
    tenant_id: str,
) -> Search:
    """Prepare a search of these datasets, at least one, with the numbers of a request and a tenant's rerank model.

    Raises as `search_of`.
    """
    if not share_a_model(datasets):
        raise DataError("Knowledge bases use different embedding models.")
    request, embedder = aim(numbers, datasets)
    return Search(
        store=doc_store(),
        embedder=embedder,
        reranker=language_models.reranker_for(rerank_model, datasets[0].tenant_id) if rerank_model else None,
        request=request,
        filter=metadata_filter,
        has_tables=any(dataset.parser_config.get("field_map") for dataset in datasets),
    )
