"""Datasets over HTTP, as the web API has them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.selectors import owners_of, tenant_or_none
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.core.bodies import deny, read_object, read_required
from apps.core.errors import BadValue, DataError, OperationRefused
from apps.core.many import among
from apps.core.names import named_like
from apps.core.paging import owner_ids_of, web_descending, web_rows
from apps.core.rest import caller, http_request, web_success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.datasets.selectors import accessible_dataset, counted, listed_datasets, size_of
from apps.datasets.web import schemas, services, wire

_FIELDS: dict[str, Any] = {
    "name": TEXT,
    "description": TEXT,
    "embd_id": TEXT,
    "parser_id": {"type": "string", "enum": sorted(schemas.CHUNK_METHODS)},
    "parser_config": {"type": "object"},
    "permission": {"type": "string", "enum": ["me", "team"]},
}
_PAGING = [
    OpenApiParameter(name, type_)
    for name, type_ in {"page": int, "page_size": int, "orderby": str, "desc": bool, "keywords": str}.items()
]


@extend_schema(tags=["datasets (web)"], responses=ANSWER)
class WebDatasetViewSet(WebViewSet):
    @extend_schema(summary="Create a dataset", request=json_body("name", **_FIELDS))
    def create(self, request: Request) -> Response:
        body = read_required(http_request(request), ("name",))
        owner = tenant_or_none(caller(request))
        data = schemas.create_dataset(body)
        if owner is None:
            raise DataError("Tenant not found.")
        return web_success({"kb_id": services.create_dataset(owner=owner, data=data).pk})

    @extend_schema(
        summary="Change a dataset",
        request=json_body("kb_id", "name", "description", "parser_id", kb_id=TEXT, **_FIELDS),
    )
    def update(self, request: Request) -> Response:
        body = read_required(http_request(request), ("kb_id", "name", "description", "parser_id"))
        deny(body, schemas.FIXED)
        data = schemas.update_dataset(body)
        dataset = services.update_dataset(principal=caller(request), dataset_id=str(body["kb_id"]), data=data)
        return web_success({**wire.stored_dataset_to_wire(dataset), "connectors": []})

    @extend_schema(
        summary="List datasets",
        request=json_body(owner_ids=TEXTS),
        parameters=[*_PAGING, OpenApiParameter("parser_id", str)],
    )
    def list(self, request: Request) -> Response:
        query = request.query_params
        rows = named_like(listed_datasets(caller(request)), query.get("keywords", ""))
        if owner_ids := owner_ids_of(read_object(http_request(request))):
            rows = rows.filter(among("tenant_id", owner_ids))
        if method := query.get("parser_id"):
            rows = rows.filter(chunk_method=method)
        rows, total = counted(caller(request), rows)
        sign = "-" if web_descending(query) else ""
        datasets, total = web_rows(rows.order_by(sign + schemas.order_of(query), f"{sign}pk"), query, total)
        owners = owners_of([dataset.tenant_id for dataset in datasets])
        shown = [wire.listed_dataset_to_wire(dataset, owners.get(dataset.tenant_id)) for dataset in datasets]
        return web_success({"kbs": shown, "total": total})

    @extend_schema(summary="Show a dataset", parameters=[OpenApiParameter("kb_id", str, required=True)])
    def show(self, request: Request) -> Response:
        if "kb_id" not in request.query_params:
            raise BadValue("`kb_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>")
        dataset = accessible_dataset(caller(request), request.query_params["kb_id"])
        if dataset is None:
            raise OperationRefused("Only owner of dataset authorized for this operation.", data=False)
        return web_success(wire.shown_dataset_to_wire(dataset, size=size_of(dataset)))

    @extend_schema(summary="Delete a dataset", request=json_body("kb_id", kb_id=TEXT))
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("kb_id",))
        services.delete_dataset(principal=caller(request), dataset_id=str(body["kb_id"]))
        return web_success(data=True)

    @extend_schema(
        summary="Describe the metadata of a dataset's documents",
        request=json_body(
            "kb_id", "metadata", kb_id=TEXT, metadata={"type": "object"}, enable_metadata={"type": "boolean"}
        ),
    )
    def describe_metadata(self, request: Request) -> Response:
        body = read_required(http_request(request), ("kb_id", "metadata"))
        dataset = services.describe_metadata(
            principal=caller(request),
            dataset_id=str(body["kb_id"]),
            metadata=body["metadata"],
            enabled=bool(body.get("enable_metadata", True)),
        )
        return web_success(wire.stored_dataset_to_wire(dataset))
