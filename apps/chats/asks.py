"""Questions to datasets without an assistant: asks, mind maps, trial searches. Nothing of them is kept.

As in `turns`, the functions that open one do all reads and checks, and no database connection is held once they return.
Those named after pages serve share tokens: a request there may name datasets of the token's own tenant, a search app
those that its owner chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.accounts import language_models
from apps.accounts.models import Tenant
from apps.accounts.selectors import langfuse_of, tenant_of
from apps.chats import selectors
from apps.chats.filters import read_filter
from apps.chats.questions import question_of
from apps.chats.search import Search, search_in, web_search
from apps.chats.search_config import SearchSettings, read_settings, texts
from apps.chats.turns import OpenTurn
from apps.core.errors import BadValue, DataError, NotFound, OperationRefused
from apps.core.principal import Principal
from apps.core.validation import integer
from apps.datasets.models import KnowledgeBase
from ragflow.engine.generation.conversation import search_text
from ragflow.engine.generation.mind_map import Node, mind_map
from ragflow.engine.generation.related import OPTIONS as INVENTIVE
from ragflow.engine.generation.related import related
from ragflow.engine.generation.turn import Turn
from ragflow.engine.generation.wording import SUMMARY
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.retrieval import RetrievalRequest
from ragflow.engine.types import Retrieval

PASSAGES = 12
NOTHING_FOUND = "Sorry! No relevant content was found in the knowledge base!"
ASK_SETTINGS = SearchSettings(similarity_threshold=0.1)
ASK_OPTIONS: Mapping[str, Any] = {"temperature": 0.1}


# -- asks ----------------------------------------------------------------------------------------------------------


def open_ask(principal: Principal, body: Mapping[str, Any]) -> OpenTurn:
    """Read and check a question to datasets. Raises NotFound, DataError and BadValue."""
    question = question_of(body)
    if not question:
        raise DataError("`question` is required.")
    ids = body.get("dataset_ids")
    if not ids:
        raise DataError("`dataset_ids` is required.")
    if not isinstance(ids, list):
        raise DataError("`dataset_ids` should be a list.")
    known = selectors.askable_datasets(principal, [id_ for id_ in ids if isinstance(id_, str)])
    for id_ in ids:
        dataset = known.get(id_) if isinstance(id_, str) else None
        if dataset is None:
            raise NotFound(f"You don't own the dataset {id_}.")
        if not dataset.chunk_count:
            raise DataError(f"The dataset {id_} doesn't own parsed file")
    return _ask(question, list(known.values()), ASK_SETTINGS, tenant_of(principal))


def open_page_ask(principal: Principal, body: Mapping[str, Any]) -> OpenTurn:
    """The same on a page that embeds a search."""
    settings, datasets = _page_search(principal, body, ASK_SETTINGS)
    if not datasets:
        raise DataError("`kb_ids` is required.")
    return _ask(question_of(body), datasets, settings, tenant_of(principal))


def _ask(question: str, datasets: Sequence[KnowledgeBase], settings: SearchSettings, tenant: Tenant) -> OpenTurn:
    model = language_models.chat_model_for(tenant, settings.chat_model)
    search = _search(datasets, settings, tenant, model)
    turn = Turn(
        question=question,
        system=SUMMARY,
        metadata=search.metadata,
        empty_response=NOTHING_FOUND,
        options=settings.options or ASK_OPTIONS,
        keyword=settings.keyword,
        cross_languages=settings.cross_languages,
    )
    web = web_search(settings.web_search_key)
    return OpenTurn(turn=turn, model=model, search=search, web=web, langfuse=langfuse_of(tenant))


# -- related searches ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenRelated:
    """What to propose further searches for."""

    model: ChatModel
    text: str
    options: Mapping[str, Any]
    industry: str = ""

    async def terms(self) -> list[str]:
        return await related(self.model, self.text, kind="terms", industry=self.industry, options=self.options)

    async def questions(self) -> list[str]:
        return await related(self.model, self.text, kind="questions", options=self.options)


def open_related(principal: Principal, body: Mapping[str, Any]) -> OpenRelated:
    """Read and check a request for further search terms. Raises DataError and BadValue."""
    question = question_of(body)
    if not question:
        raise DataError("`question` is required.")
    industry = body.get("industry") or ""
    if not isinstance(industry, str):
        raise BadValue(f"`industry` must be text, not {industry!r}.")
    return OpenRelated(language_models.chat_model_for(tenant_of(principal)), question, INVENTIVE, industry)


def open_page_related(principal: Principal, body: Mapping[str, Any]) -> OpenRelated:
    """The same on a page that embeds a search, whose search app may choose model and options."""
    settings = _saved_settings(principal, body) or SearchSettings()
    model = language_models.chat_model_for(tenant_of(principal), settings.chat_model)
    return OpenRelated(model, question_of(body), settings.options or INVENTIVE)


# -- mind maps -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenMindMap:
    """What to draw a mind map of."""

    topic: str
    model: ChatModel
    search: Search

    async def draw(self) -> Node:
        """Raises ModelError and StoreError."""
        found = await self.search(self.topic)
        return await mind_map(self.model, self.topic, found.passages)


def open_page_mind_map(principal: Principal, body: Mapping[str, Any]) -> OpenMindMap:
    """Read and check a request for a mind map. Raises NotFound, DataError and BadValue."""
    settings, datasets = _page_search(principal, body, SearchSettings())
    if not datasets:
        raise BadValue("No KB selected", reference="ValueError('No KB selected')")
    tenant = tenant_of(principal)
    model = language_models.chat_model_for(tenant, settings.chat_model)
    return OpenMindMap(question_of(body), model, _search(datasets, settings, tenant, model))


# -- trial searches ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A search whose passages are shown as they are."""

    turn: Turn
    model: ChatModel
    search: Search

    async def find(self) -> Retrieval:
        """Raises ModelError, InvalidQuery and StoreError."""
        return await self.search(await search_text(self.turn, self.model))


def open_trial(
    principal: Principal, body: Mapping[str, Any], *, of_own_tenant: bool = False, highlight: bool = False
) -> OpenTrial:
    """Read and check a trial search. What a request leaves out comes from its search app, if it names one.

    Raises NotFound, DataError, OperationRefused and BadValue.
    """
    ids = texts("kb_id", body["kb_id"] or [])
    if not ids:
        raise DataError("Please specify dataset firstly.", data=False)
    saved = _saved_settings(principal, body)
    known = selectors.askable_datasets(principal, ids, of_own_tenant=of_own_tenant)
    if len(known) < len(ids):
        raise OperationRefused("Only owner of dataset authorized for this operation.", data=False)
    settings = _trial_settings(body, saved or SearchSettings(similarity_threshold=0.0))
    tenant = tenant_of(principal)
    model = language_models.chat_model_for(tenant, settings.chat_model)
    search = _search(list(known.values()), settings, tenant, model)
    request = replace(
        search.request,
        page=integer("page", body.get("page") or 1),
        page_size=integer("size", body.get("size") or 30),
        highlight=highlight,
    )
    return OpenTrial(
        Turn(question=question_of(body), keyword=settings.keyword, cross_languages=settings.cross_languages),
        model,
        replace(search, request=request),
    )


def open_page_trial(principal: Principal, body: Mapping[str, Any]) -> OpenTrial:
    """The same on a page that embeds a search."""
    return open_trial(principal, body, of_own_tenant=True, highlight=bool(body.get("highlight")))


def _trial_settings(body: Mapping[str, Any], saved: SearchSettings) -> SearchSettings:
    """Return the saved settings with those that the request gives. Raises BadValue."""
    given = read_settings({key: value for key, value in body.items() if value or key == "top_k"})
    chosen = {
        "similarity_threshold": "similarity_threshold",
        "vector_similarity_weight": "vector_similarity_weight",
        "top_k": "top_k",
        "rerank_id": "rerank_model",
        "meta_data_filter": "metadata_filter",
        "doc_ids": "document_ids",
        "keyword": "keyword",
        "cross_languages": "cross_languages",
    }
    return replace(saved, **{name: getattr(given, name) for key, name in chosen.items() if body.get(key)})


# -- what all have in common ---------------------------------------------------------------------------------------


def _search(datasets: Sequence[KnowledgeBase], settings: SearchSettings, tenant: Tenant, model: ChatModel) -> Search:
    """Prepare a search; the model derives metadata conditions where the settings ask for that. Raises DataError."""
    numbers = RetrievalRequest(
        question="",
        document_ids=settings.document_ids,
        page_size=PASSAGES,
        similarity_threshold=settings.similarity_threshold,
        vector_similarity_weight=settings.vector_similarity_weight,
        top_k=settings.top_k,
    )
    return search_in(
        datasets,
        numbers,
        metadata_filter=read_filter(settings.metadata_filter or {}, model),
        rerank_model=settings.rerank_model,
        tenant_id=tenant.pk,
    )


def _page_search(
    principal: Principal, body: Mapping[str, Any], otherwise: SearchSettings
) -> tuple[SearchSettings, list[KnowledgeBase]]:
    """Return how to search, and the datasets: those of the search app, or else those that the request names.

    Raises NotFound for a search app or dataset that is not there.
    """
    settings = _saved_settings(principal, body)
    if settings is None:
        settings = replace(otherwise, document_ids=texts("doc_ids", body.get("doc_ids") or []) or None)
    ids = settings.dataset_ids or texts("kb_ids", body["kb_ids"] or [])
    known = selectors.askable_datasets(principal, ids, of_own_tenant=not settings.dataset_ids)
    for id_ in ids:
        if id_ not in known:
            raise NotFound(f"You don't own the dataset {id_}.")
    return settings, list(known.values())


def _saved_settings(principal: Principal, body: Mapping[str, Any]) -> SearchSettings | None:
    """Return the settings of the search app that the request names, None if it names none. Raises NotFound."""
    search_id = body.get("search_id")
    if not search_id:
        return None
    app = selectors.own_search_apps(principal).filter(pk=str(search_id)).first()
    if app is None:
        raise NotFound("Can't find this Search App!")
    return read_settings(app.search_config)
