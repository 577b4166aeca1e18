"""Chunks of a document over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.bodies import read_object
from apps.core.errors import ChunkNotFound, NotFound
from apps.core.rest import ResourceViewSet, caller, http_request, success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_dataset, accessible_datasets, editable_dataset
from apps.documents.chunk_schemas import chunk_changes, chunk_window, new_chunk, page_and_size
from apps.documents.models import Document
from apps.documents.schemas import id_list, partial_success
from apps.documents.selectors import document_of
from apps.documents.services import chunks
from apps.documents.services.chunks import chunk_not_found, document_not_found
from apps.documents.wire import added_chunk_to_wire, chunk_to_wire, document_to_wire
from ragflow.engine.retrieval.highlight import snippets
from ragflow.engine.types import Chunk

_FIELDS: dict[str, Any] = {"content": TEXT, "important_keywords": TEXTS, "questions": TEXTS}
_POSITIONS = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
_CHANGES = _FIELDS | {"available": {"type": "boolean"}, "positions": _POSITIONS}


@extend_schema(tags=["chunks"])
class ChunkViewSet(ResourceViewSet):
    @extend_schema(summary="Add a chunk", request=json_body("content", **_FIELDS))
    def create(self, request: Request, dataset_id: str, document_id: str) -> Response:
        dataset = _found(editable_dataset(caller(request), dataset_id), dataset_id)
        document = _document(dataset, document_id)
        sent = new_chunk(read_object(http_request(request)))
        added = chunks.add_chunk(
            document=document, content=sent.content, keywords=sent.keywords, questions=sent.questions
        )
        return success({"chunk": added_chunk_to_wire(added)})

    @extend_schema(
        summary="List chunks",
        parameters=[
            OpenApiParameter("keywords", str, description="Only chunks that match this text, best first."),
            OpenApiParameter("id", str),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
    )
    def list(self, request: Request, dataset_id: str, document_id: str) -> Response:
        document = _document(_found(accessible_dataset(caller(request), dataset_id), dataset_id), document_id)
        query = request.query_params
        page, size = page_and_size(query)
        if chunk_id := query.get("id"):
            chunk = doc_store().get([dataset_id], chunk_id)
            if chunk is None:
                raise ChunkNotFound(f"Chunk not found: {dataset_id}/{chunk_id}")
            return success({"total": 1, "chunks": [chunk_to_wire(chunk)], "doc": document_to_wire(document)})
        window, text = chunk_window(page, size), query.get("keywords", "")
        found = doc_store().list_chunks(dataset_id, document_id, offset=window.offset, limit=window.limit, text=text)
        shown = [
            chunk_to_wire(chunk, content=snippets(chunk.content, text) if text else None) for chunk in found.chunks
        ]
        return success({"total": found.total, "chunks": shown, "doc": document_to_wire(document)})

    @extend_schema(summary="Delete chunks", request=json_body(chunk_ids=TEXTS))
    def destroy(self, request: Request, dataset_id: str, document_id: str) -> Response:
        dataset = _found(editable_dataset(caller(request), dataset_id), dataset_id)
        document = document_of(dataset, document_id)
        if document is None:
            raise document_not_found(document_id)
        sent = read_object(http_request(request)).get("chunk_ids", [])
        if sent == []:
            chunks.delete_chunks(document=document, ids=None)
            return success()
        wanted = id_list("chunk_ids", sent, kind="chunk")
        deleted = chunks.delete_chunks(document=document, ids=wanted.ids)
        if deleted != len(wanted.ids):
            raise NotFound(f"rm_chunk deleted chunks {deleted}, expect {len(wanted.ids)}")
        return success(partial_success(deleted, wanted.repeated))

    @extend_schema(summary="Update a chunk", request=json_body(**_CHANGES))
    def update(self, request: Request, dataset_id: str, document_id: str, chunk_id: str) -> Response:
        chunk = _chunk(request, dataset_id, chunk_id)
        dataset = _found(editable_dataset(caller(request), dataset_id), dataset_id)
        document = _document(dataset, document_id)
        changes = chunk_changes(read_object(http_request(request)))
        if (chunk.dataset_id, chunk.document_id) != (dataset.pk, document.pk):
            raise chunk_not_found(chunk_id)
        chunks.update_chunk(document=document, chunk=chunk, changes=changes)
        return success()


def _found(dataset: KnowledgeBase | None, dataset_id: str) -> KnowledgeBase:
    if dataset is None:
        raise NotFound(f"You don't own the dataset {dataset_id}.")
    return dataset


def _document(dataset: KnowledgeBase, document_id: str) -> Document:
    document = document_of(dataset, document_id)
    if document is None:
        raise NotFound(f"You don't own the document {document_id}.")
    document.dataset = dataset
    return document


def _chunk(request: Request, dataset_id: str, chunk_id: str) -> Chunk:
    """Look a chunk up where the path says, else in all that the caller may read: the contract names it first."""
    here = accessible_dataset(caller(request), dataset_id)
    chunk = doc_store().get([here.pk], chunk_id) if here is not None else None
    if chunk is None:
        everywhere = accessible_datasets(caller(request)).order_by().values_list("pk", flat=True)
        chunk = doc_store().get([*everywhere], chunk_id)
    if chunk is None:
        raise chunk_not_found(chunk_id)
    return chunk
