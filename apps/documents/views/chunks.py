"""Chunks of a document over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import ChunkNotFound, NotFound
from apps.core.rest import ResourceViewSet, caller, success
from apps.datasets.engine import doc_store
from apps.datasets.selectors import accessible_dataset
from apps.documents.models import Document
from apps.documents.schemas import chunk_window
from apps.documents.selectors import document_of
from apps.documents.wire import chunk_to_wire, document_to_wire
from ragflow.engine.retrieval.highlight import snippets


@extend_schema(tags=["chunks"])
class ChunkViewSet(ResourceViewSet):
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
        document = _document(request, dataset_id, document_id)
        query = request.query_params
        window = chunk_window(query)
        if chunk_id := query.get("id"):
            chunk = doc_store().get([dataset_id], chunk_id)
            if chunk is None:
                raise ChunkNotFound(f"Chunk not found: {dataset_id}/{chunk_id}")
            return success({"total": 1, "chunks": [chunk_to_wire(chunk)], "doc": document_to_wire(document)})
        text = query.get("keywords", "")
        page = doc_store().list_chunks(dataset_id, document_id, offset=window.offset, limit=window.limit, text=text)
        chunks = [
            chunk_to_wire(chunk, content=snippets(chunk.content, text) if text else None) for chunk in page.chunks
        ]
        return success({"total": page.total, "chunks": chunks, "doc": document_to_wire(document)})


def _document(request: Request, dataset_id: str, document_id: str) -> Document:
    dataset = accessible_dataset(caller(request), dataset_id)
    if dataset is None:
        raise NotFound(f"You don't own the dataset {dataset_id}.")
    document = document_of(dataset, document_id)
    if document is None:
        raise NotFound(f"You don't own the document {document_id}.")
    return document
