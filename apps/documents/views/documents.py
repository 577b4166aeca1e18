"""Documents of a dataset over HTTP, and the parsing of them."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.bodies import read_object
from apps.core.errors import DataError, InvalidArgument, NotFound
from apps.core.paging import page_of
from apps.core.rest import ResourceViewSet, caller, http_request, success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.core.uploads import accept_files
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_dataset, editable_dataset, owned_dataset
from apps.documents.errors import PartlyRefused
from apps.documents.metadata_schemas import condition_of
from apps.documents.schemas import (
    document_filter,
    id_list,
    order_of,
    partial_success,
    required_document_ids,
)
from apps.documents.selectors import DocumentFilter, document_of, documents_of, existing_ids, listed_documents
from apps.documents.services import adding, deleting, parsing, updating
from apps.documents.views.downloads import attachment
from apps.documents.wire import document_to_wire, listed_to_wire, uploaded_to_wire

_UPLOAD = {
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "required": ["file"],
    }
}
_UPDATE = json_body(
    name=TEXT,
    meta_fields={"type": "object"},
    chunk_method={"type": "string", "enum": sorted(updating.CHUNK_METHODS)},
    parser_config={"type": "object"},
    enabled={"type": "integer", "enum": [0, 1]},
)
_LIST_PARAMETERS = [
    OpenApiParameter("id", str),
    OpenApiParameter("name", str),
    OpenApiParameter("keywords", str, description="Part of the name."),
    OpenApiParameter("page", int),
    OpenApiParameter("page_size", int),
    OpenApiParameter("orderby", str),
    OpenApiParameter("desc", bool),
    OpenApiParameter("suffix", str, many=True),
    OpenApiParameter("run", str, many=True),
    OpenApiParameter("metadata_condition", str, description="JSON: `logic` and `conditions`."),
    OpenApiParameter("create_time_from", int, description="Unix time in milliseconds; 0: no restriction."),
    OpenApiParameter("create_time_to", int, description="Unix time in milliseconds; 0: no restriction."),
]


@extend_schema(tags=["documents"])
class DocumentViewSet(ResourceViewSet):
    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        accept_files(request)
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(summary="Upload documents", request=_UPLOAD)
    def upload(self, request: Request, dataset_id: str) -> Response:
        files = http_request(request).FILES.getlist("file")
        if not files:
            raise InvalidArgument("No file part!")
        added = adding.add_documents(principal=caller(request), dataset_id=dataset_id, files=files)
        if added.refusals:
            raise PartlyRefused("\n".join(added.refusals))
        return success([uploaded_to_wire(document) for document in added.documents])

    @extend_schema(summary="List documents", parameters=_LIST_PARAMETERS)
    def list(self, request: Request, dataset_id: str) -> Response:
        dataset = _readable(request, dataset_id, f"You don't own the dataset {dataset_id}. ")
        query = request.query_params
        id_, name = query.get("id", ""), query.get("name", "")
        _require_document(dataset, DocumentFilter(id=id_), id_)
        _require_document(dataset, DocumentFilter(name=name), name)
        page = page_of(query)
        wanted = document_filter(query)
        condition = condition_of(query)
        order = ("" if query.get("desc", "").strip().lower() == "false" else "-") + order_of(query)
        conditions = [condition] if condition and condition.comparisons else []
        rows, total = listed_documents(dataset, wanted, conditions)
        documents = [listed_to_wire(document) for document in page.read(rows.order_by(order, "pk"), total)]
        return success({"total": total, "docs": documents})

    @extend_schema(
        summary="Download a document",
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The file as it was sent.")},
    )
    def download(self, request: Request, dataset_id: str, document_id: str) -> FileResponse:
        dataset = owned_dataset(caller(request), dataset_id)
        if dataset is None:
            raise NotFound(f"You do not own the dataset {dataset_id}.")
        document = document_of(dataset, document_id)
        if document is None:
            raise NotFound(f"The dataset not own the document {document_id}.")
        location = document.location if document.size else ""
        response = attachment(location, name=document.name, content_type="application/octet-stream")
        if response is None:
            raise DataError("This file is empty.")
        return response

    @extend_schema(summary="Update a document", request=_UPDATE)
    def update(self, request: Request, dataset_id: str, document_id: str) -> Response:
        changes = read_object(http_request(request))
        dataset = owned_dataset(caller(request), dataset_id)
        if dataset is None:
            raise NotFound("You don't own the dataset.")
        document = document_of(dataset, document_id)
        if document is None:
            raise NotFound("The dataset doesn't own the document.")
        return success(document_to_wire(updating.update_document(document=document, changes=changes)))

    @extend_schema(summary="Delete documents", request=json_body(ids=TEXTS))
    def destroy(self, request: Request, dataset_id: str) -> Response:
        dataset = _editable(request, dataset_id, f"You don't own the dataset {dataset_id}. ")
        sent = read_object(http_request(request)).get("ids")
        if sent is None or sent == []:
            deleting.delete_documents(dataset=dataset, ids=None)
            return success()
        wanted = id_list("ids", sent, kind="document")
        known = existing_ids(dataset, wanted.ids)
        deleted = deleting.delete_documents(dataset=dataset, ids=[id_ for id_ in wanted.ids if id_ in known])
        _require_all_found([id_ for id_ in wanted.ids if id_ not in known])
        return success(partial_success(deleted, wanted.repeated))

    @extend_schema(summary="Parse documents", request=json_body(document_ids=TEXTS))
    def parse(self, request: Request, dataset_id: str) -> Response:
        dataset = _editable(request, dataset_id, f"You don't own the dataset {dataset_id}.")
        wanted = required_document_ids(read_object(http_request(request)))
        unknown = parsing.start_parsing(dataset=dataset, ids=wanted.ids)
        _require_all_found(unknown)
        return success(partial_success(len(wanted.ids), wanted.repeated))

    @extend_schema(summary="Stop parsing documents", request=json_body(document_ids=TEXTS))
    def stop(self, request: Request, dataset_id: str) -> Response:
        dataset = _editable(request, dataset_id, f"You don't own the dataset {dataset_id}.")
        wanted = required_document_ids(read_object(http_request(request)))
        parsing.stop_parsing(dataset=dataset, ids=wanted.ids)
        return success(partial_success(len(wanted.ids), wanted.repeated))


def _readable(request: Request, dataset_id: str, refusal: str) -> KnowledgeBase:
    dataset = accessible_dataset(caller(request), dataset_id)
    if dataset is None:
        raise NotFound(refusal)
    return dataset


def _editable(request: Request, dataset_id: str, refusal: str) -> KnowledgeBase:
    dataset = editable_dataset(caller(request), dataset_id)
    if dataset is None:
        raise NotFound(refusal)
    return dataset


def _require_document(dataset: KnowledgeBase, wanted: DocumentFilter, shown: str) -> None:
    if shown and not wanted.apply(documents_of(dataset)).exists():
        raise NotFound(f"You don't own the document {shown}.")


def _require_all_found(unknown: list[str]) -> None:
    if unknown:
        raise NotFound(f"Documents not found: {unknown}")
