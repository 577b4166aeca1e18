"""Chunks over HTTP, as the web API has them: they are named by document and chunk id alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.views.base import ANSWER, WebViewSet
from apps.core.bodies import read_required
from apps.core.errors import BadValue, DataError, LookupFailed, NotFound
from apps.core.rest import caller, http_request, web_success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.datasets.engine import doc_store
from apps.datasets.selectors import accessible_datasets, editable_datasets
from apps.documents.models import Document
from apps.documents.selectors import document_in
from apps.documents.services import chunks
from apps.documents.web import chunk_schemas as schemas
from apps.documents.web import wire
from ragflow.engine.retrieval.highlight import snippets
from ragflow.engine.types import Chunk

_FLAG: dict[str, Any] = {"type": "integer", "enum": [0, 1]}
_FIELDS: dict[str, Any] = {
    "doc_id": TEXT,
    "content_with_weight": TEXT,
    "important_kwd": TEXTS,
    "question_kwd": TEXTS,
}
_SLICE = 1000


@extend_schema(tags=["chunks (web)"], responses=ANSWER)
class WebChunkViewSet(WebViewSet):
    @extend_schema(summary="Add a chunk", request=json_body("doc_id", "content_with_weight", **_FIELDS))
    def create(self, request: Request) -> Response:
        sent = schemas.new_chunk(read_required(http_request(request), ("doc_id", "content_with_weight")))
        document = _editable(request, sent.document_id, "Document not found!")
        schemas.require_text(sent.content, sent.questions)
        added = chunks.add_chunk(
            document=document, content=sent.content, keywords=sent.keywords, questions=sent.questions
        )
        return web_success({"chunk_id": added.id})

    @extend_schema(
        summary="List chunks",
        request=json_body("doc_id", doc_id=TEXT, page={"type": "integer"}, size={"type": "integer"}, keywords=TEXT),
    )
    def list(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id",))
        window = schemas.window_of(body)
        text = schemas.keywords_of(body)
        document = document_in(accessible_datasets(caller(request)), body["doc_id"])
        if document is None:
            raise NotFound("Tenant not found!")
        available = schemas.availability_of(body)
        if available is None:
            page = doc_store().list_chunks(
                document.dataset_id, document.pk, offset=window.offset, limit=window.limit, text=text
            )
            shown, total = list(page.chunks), page.total
        else:
            matching = [chunk for chunk in _every_chunk(document, text) if chunk.available == available]
            shown, total = matching[window.offset : window.offset + window.limit], len(matching)
        marked = [
            wire.listed_chunk_to_wire(chunk, content=snippets(chunk.content, text) if text else None) for chunk in shown
        ]
        return web_success({"total": total, "chunks": marked, "doc": wire.stored_document_to_wire(document)})

    @extend_schema(summary="Show a chunk", parameters=[OpenApiParameter("chunk_id", str, required=True)])
    def show(self, request: Request) -> Response:
        if "chunk_id" not in request.query_params:
            raise BadValue("`chunk_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>")
        readable = accessible_datasets(caller(request)).order_by().values_list("pk", flat=True)
        chunk = doc_store().get([*readable], request.query_params["chunk_id"])
        if chunk is None:
            raise LookupFailed("Chunk not found", Exception)
        return web_success(wire.shown_chunk_to_wire(chunk))

    @extend_schema(
        summary="Change a chunk",
        request=json_body("doc_id", "chunk_id", "content_with_weight", chunk_id=TEXT, available_int=_FLAG, **_FIELDS),
    )
    def update(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id", "chunk_id", "content_with_weight"))
        changes = schemas.chunk_changes(body)
        document = _editable(request, body["doc_id"], "Tenant not found!")
        chunk = doc_store().get([document.dataset_id], str(body["chunk_id"]))
        if chunk is None or chunk.document_id != document.pk:
            raise LookupFailed("Chunk not found", Exception)
        schemas.require_text(changes["content"], changes.get("questions", chunk.questions))
        chunks.update_chunk(document=document, chunk=chunk, changes=changes)
        return web_success(data=True)

    @extend_schema(summary="Delete chunks", request=json_body("chunk_ids", "doc_id", chunk_ids=TEXTS, doc_id=TEXT))
    def remove(self, request: Request) -> Response:
        """Delete the named chunks. A list that is empty, or names one that is not there, takes all of the document."""
        body = read_required(http_request(request), ("chunk_ids", "doc_id"))
        ids = schemas.chunk_ids_of(body["chunk_ids"])
        document = _editable(request, body["doc_id"], "Document not found!")
        deleted = chunks.delete_chunks(document=document, ids=ids or None)
        if ids and not deleted:
            raise DataError("Index updating failure")
        if deleted < len(ids):
            chunks.delete_chunks(document=document, ids=None)
        return web_success(data=True)

    @extend_schema(
        summary="Switch chunks on or off for retrieval",
        request=json_body("chunk_ids", "available_int", "doc_id", chunk_ids=TEXTS, available_int=_FLAG, doc_id=TEXT),
    )
    def switch(self, request: Request) -> Response:
        body = read_required(http_request(request), ("chunk_ids", "available_int", "doc_id"))
        ids, available = schemas.chunk_ids_of(body["chunk_ids"]), schemas.available_of(body["available_int"])
        document = _editable(request, body["doc_id"], "Document not found!")
        if not chunks.set_available(document=document, ids=ids, available=available):
            raise DataError("Index updating failure")
        return web_success(data=True)


def _editable(request: Request, document_id: Any, refusal: str) -> Document:
    document = document_in(editable_datasets(caller(request)), document_id)
    if document is None:
        raise NotFound(refusal)
    return document


def _every_chunk(document: Document, text: str) -> Iterator[Chunk]:
    offset = 0
    place = document.dataset_id, document.pk
    while found := doc_store().list_chunks(*place, offset=offset, limit=_SLICE, text=text).chunks:
        yield from found
        offset += len(found)
