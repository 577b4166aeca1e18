"""Documents over HTTP, as the web API has them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.errors import NotYours
from apps.accounts.selectors import can_edit, owners_of
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.core.bodies import read_object, read_required
from apps.core.errors import BadValue, InvalidArgument, LookupFailed, NotFound, OperationRefused
from apps.core.paging import web_descending, web_rows
from apps.core.rest import caller, http_request, web_success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.core.uploads import accept_files
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_dataset, accessible_datasets, editable_dataset, editable_datasets
from apps.documents.errors import PartlyRefused
from apps.documents.models import Document
from apps.documents.schemas import order_of
from apps.documents.selectors import document_in, documents_in, documents_of, listed_documents
from apps.documents.services import adding
from apps.documents.services.auditing import note_document
from apps.documents.services.metadata import set_metadata
from apps.documents.web import schemas, services, wire

_STATUS: dict[str, Any] = {"type": "string", "enum": ["0", "1"]}
_RUN: dict[str, Any] = {"type": "string", "enum": [schemas.START, schemas.CANCEL]}
_UPLOAD = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"kb_id": TEXT, "file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "required": ["kb_id", "file"],
    }
}
_KB_ID = OpenApiParameter("kb_id", str, required=True)
_PAGING = [
    OpenApiParameter(name, type_)
    for name, type_ in {"page": int, "page_size": int, "orderby": str, "desc": bool, "keywords": str}.items()
]
_FILTERS: dict[str, Any] = {"run_status": TEXTS, "types": TEXTS, "suffix": TEXTS}


@extend_schema(tags=["documents (web)"], responses=ANSWER)
class WebDocumentViewSet(WebViewSet):
    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        accept_files(request)
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(summary="Upload documents", request=_UPLOAD)
    def upload(self, request: Request) -> Response:
        body = read_required(http_request(request), ("kb_id",))
        kb_id = _kb_id(body)
        files = http_request(request).FILES.getlist("file")
        if not files:
            raise InvalidArgument("No file part!", data=False)
        adding.check_names(files)
        dataset = accessible_dataset(caller(request), kb_id)
        if dataset is None:
            raise LookupFailed("Can't find this dataset!")
        if not can_edit(caller(request), dataset.tenant_id):
            raise NotYours
        added = adding.add_to(dataset=dataset, principal=caller(request), files=files)
        stored = [wire.uploaded_document_to_wire(document) for document in added.documents]
        if added.refusals:
            raise PartlyRefused("\n".join(added.refusals), data=stored)
        return web_success(stored)

    @extend_schema(summary="Add a document without content", request=json_body("name", "kb_id", name=TEXT, kb_id=TEXT))
    def create(self, request: Request) -> Response:
        body = read_required(http_request(request), ("name", "kb_id"))
        kb_id, name = _kb_id(body), schemas.new_name(body["name"])
        dataset = editable_dataset(caller(request), kb_id)
        if dataset is None:
            raise NotFound("Can't find this dataset!")
        document = adding.add_empty(dataset=dataset, principal=caller(request), name=name)
        return web_success(wire.stored_document_to_wire(document))

    @extend_schema(summary="List documents", parameters=[_KB_ID, *_PAGING], request=json_body(**_FILTERS))
    def list(self, request: Request) -> Response:
        query, body = request.query_params, read_object(http_request(request))
        dataset = _readable(request, query)
        rows, total = listed_documents(dataset, schemas.filter_of(query, body), schemas.metadata_conditions(body))
        if schemas.wants_empty_metadata(body):
            rows = rows.filter(meta_fields={})
            total = rows.count()
        sign = "-" if web_descending(query) else ""
        documents, total = web_rows(rows.order_by(sign + order_of(query), f"{sign}pk"), query, total)
        creators = owners_of([document.created_by for document in documents])
        shown = [wire.listed_document_to_wire(document, creators.get(document.created_by)) for document in documents]
        return web_success({"total": total, "docs": shown})

    @extend_schema(summary="Count documents by filter", request=json_body("kb_id", kb_id=TEXT, **_FILTERS))
    def filter(self, request: Request) -> Response:
        body = read_object(http_request(request))
        dataset = _readable(request, body)
        query = request.query_params.copy()
        query["keywords"] = str(body.get("keywords") or "")
        rows = schemas.filter_of(query, body).apply(documents_of(dataset))
        filtered = rows.values_list("suffix", "state", "meta_fields").iterator(chunk_size=1000)
        return web_success(wire.filters_to_wire(filtered))

    @extend_schema(summary="Show documents", request=json_body("doc_ids", doc_ids=TEXTS))
    def infos(self, request: Request) -> Response:
        body = read_object(http_request(request))
        if "doc_ids" not in body:
            raise BadValue("`doc_ids` is required.", reference=repr(KeyError("doc_ids")))
        ids = schemas.ids_of(body["doc_ids"], "doc_ids")
        found = documents_in(accessible_datasets(caller(request))).in_bulk(ids)
        if any(id_ not in found for id_ in ids):
            raise NotYours
        return web_success([wire.stored_document_to_wire(found[id_]) for id_ in ids])

    @extend_schema(
        summary="Start or cancel parsing",
        request=json_body("doc_ids", "run", doc_ids=TEXTS, run=_RUN, delete={"type": "boolean"}),
    )
    def run(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_ids", "run"))
        ids = schemas.ids_of(body["doc_ids"], "doc_ids")
        if schemas.run_of(body["run"]) == schemas.CANCEL:
            services.stop_parsing(principal=caller(request), ids=ids)
        else:
            anew, as_dataset = bool(body.get("delete")), bool(body.get("apply_kb"))
            services.start_parsing(principal=caller(request), ids=ids, anew=anew, as_dataset=as_dataset)
        return web_success(data=True)

    @extend_schema(summary="Delete documents", request=json_body("doc_id", doc_id={"oneOf": [TEXT, TEXTS]}))
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id",))
        services.delete_documents(principal=caller(request), ids=schemas.ids_of(body["doc_id"], "doc_id"))
        return web_success(data=True)

    @extend_schema(
        summary="Switch documents on or off for retrieval",
        request=json_body("doc_ids", "status", doc_ids=TEXTS, status=_STATUS),
    )
    def change_status(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_ids", "status"))
        enabled = schemas.status_of(body["status"])
        ids = schemas.ids_of(body["doc_ids"], "doc_ids")
        problems = services.set_enabled(principal=caller(request), ids=ids, enabled=enabled)
        status = {"status": str(int(enabled))}
        outcome = {id_: {"error": problems[id_]} if id_ in problems else status for id_ in ids}
        if problems:
            raise PartlyRefused("Partial failure", data=outcome)
        return web_success(outcome)

    @extend_schema(summary="Rename a document", request=json_body("doc_id", "name", doc_id=TEXT, name=TEXT))
    def rename(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id", "name"))
        services.rename_document(document=_editable(request, body["doc_id"]), name=body["name"])
        return web_success(data=True)

    @extend_schema(
        summary="Replace a document's metadata",
        request=json_body("doc_id", "meta", doc_id=TEXT, meta=TEXT | {"description": "JSON text."}),
    )
    def set_meta(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id", "meta"))
        document = _editable(request, body["doc_id"])
        set_metadata(document=document, fields=schemas.metadata_of(body["meta"]))
        note_document("update", document, fields=["meta_fields"])
        return web_success(data=True)

    @extend_schema(
        summary="Describe the metadata of a document",
        request=json_body("doc_id", "metadata", doc_id=TEXT, metadata={"type": "object"}),
    )
    def describe_metadata(self, request: Request) -> Response:
        body = read_required(http_request(request), ("doc_id", "metadata"))
        document = services.describe_metadata(document=_editable(request, body["doc_id"]), metadata=body["metadata"])
        return web_success(wire.stored_document_to_wire(document))


def _kb_id(sent: Any) -> str:
    kb_id = str(sent.get("kb_id") or "")
    if not kb_id:
        raise InvalidArgument('Lack of "KB ID"', data=False)
    return kb_id


def _readable(request: Request, sent: Any) -> KnowledgeBase:
    dataset = accessible_dataset(caller(request), _kb_id(sent))
    if dataset is None:
        raise OperationRefused("Only owner of dataset authorized for this operation.", data=False)
    return dataset


def _editable(request: Request, document_id: Any) -> Document:
    document = document_in(editable_datasets(caller(request)), document_id)
    if document is None:
        raise NotYours
    return document
