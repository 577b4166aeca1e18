"""Retrieval over HTTP: from a question to chunks of several datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asgiref.sync import async_to_sync
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.language_models import chat_model_for, reranker_for
from apps.core.bodies import read_object
from apps.core.errors import BadValue, DataError, NotFound
from apps.core.rest import ResourceViewSet, caller, http_request, success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import retrieve_from, share_a_model
from apps.datasets.selectors import datasets_by_id
from apps.documents.metadata.filtering import Restriction, matching_documents
from apps.documents.schemas import (
    MOST_CANDIDATES,
    NO_NEGATIVE_SLICES,
    RetrievalQuestion,
    RetrievalScope,
    retrieval_question,
    retrieval_scope,
)
from apps.documents.selectors import foreign_document
from apps.documents.wire import matched_to_wire, nothing_asked, nothing_satisfies, retrieval_to_wire
from ragflow.engine.generation.conversation import name_keywords, translate
from ragflow.engine.retrieval import RetrievalRequest

_BODY = json_body(
    "dataset_ids",
    "question",
    dataset_ids=TEXTS,
    question=TEXT,
    document_ids=TEXTS,
    page={"type": "integer", "default": 1},
    page_size={"type": "integer", "default": 30},
    similarity_threshold={"type": "number", "default": 0.2},
    vector_similarity_weight={"type": "number", "default": 0.3},
    top_k={"type": "integer", "default": 1024},
    rerank_id=TEXT,
    highlight={"type": "boolean", "default": True},
    keyword={"type": "boolean", "default": False},
    cross_languages=TEXTS,
    metadata_condition={"type": "object"},
)


@extend_schema(tags=["retrieval"])
class RetrievalViewSet(ResourceViewSet):
    @extend_schema(summary="Retrieve chunks", request=_BODY)
    def retrieve(self, request: Request) -> Response:
        payload = read_object(http_request(request))
        datasets = _datasets(request, payload)
        scope = retrieval_scope(payload)
        ids = [dataset.pk for dataset in datasets]
        foreign = foreign_document(ids, scope.document_ids)
        if foreign is not None:
            raise NotFound(f"The datasets don't own the document {foreign}")
        question = retrieval_question(payload)
        _check_ranges(scope, question)
        if not question.text.strip():
            return success(nothing_asked())
        restriction = _restriction(ids, question)
        if restriction and not restriction.matched:
            return success(nothing_satisfies())
        text = _helped(question, datasets[0])
        found = retrieve_from(
            datasets,
            RetrievalRequest(
                question=text,
                document_ids=restriction.document_ids if restriction else tuple(scope.document_ids) or None,
                excluded_document_ids=restriction.excluded_ids if restriction else (),
                page=scope.page,
                page_size=scope.page_size,
                similarity_threshold=question.similarity_threshold,
                vector_similarity_weight=question.vector_similarity_weight,
                top_k=question.top_k,
                highlight=question.highlight,
            ),
            reranker=reranker_for(question.rerank_id, datasets[0].tenant_id) if question.rerank_id else None,
        )
        counted = matched_to_wire(restriction.matched) if restriction else {}
        return success(retrieval_to_wire(found) | counted)


def _datasets(request: Request, payload: Mapping[str, Any]) -> Sequence[KnowledgeBase]:
    """Return the datasets to search, which have to share one embedding model."""
    sent = payload.get("dataset_ids")
    if not sent:
        raise DataError("`dataset_ids` is required.")
    if not isinstance(sent, list):
        raise DataError("`dataset_ids` should be a list")
    known = datasets_by_id(caller(request), [id_ for id_ in sent if isinstance(id_, str)])
    for id_ in sent:
        if not isinstance(id_, str) or id_ not in known:
            raise NotFound(f"You don't own the dataset {id_}.")
    datasets = list(known.values())
    if not share_a_model(datasets):
        raise DataError('Datasets use different embedding models."')
    return datasets


def _restriction(dataset_ids: Sequence[str], question: RetrievalQuestion) -> Restriction | None:
    if question.condition is None or not question.condition.restricts:
        return None
    return matching_documents(dataset_ids, question.condition)


def _check_ranges(scope: RetrievalScope, question: RetrievalQuestion) -> None:
    if question.top_k <= 0:
        raise BadValue("`top_k` must be greater than 0.")
    if question.top_k > MOST_CANDIDATES:
        raise BadValue(f"`top_k` must not exceed {MOST_CANDIDATES}.")
    if question.text.strip() and min(scope.page, scope.page_size) <= 0:
        raise BadValue("`page` and `page_size` must be at least 1.", reference=repr(ValueError(NO_NEGATIVE_SLICES)))


def _helped(question: RetrievalQuestion, dataset: KnowledgeBase) -> str:
    """Return the question, translated and with keywords where that was asked for and the chat model can do it."""
    text = question.text
    if not question.keyword and not question.cross_languages:
        return text
    model = chat_model_for(dataset.tenant)
    if not model.can_instruct:
        return text
    if question.cross_languages:
        text = async_to_sync(translate)(model, text, question.cross_languages)
    if question.keyword:
        text = f"{text} {async_to_sync(name_keywords)(model, text)}".strip()
    return text
