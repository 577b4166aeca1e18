"""Datasets over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.selectors import tenant_of
from apps.core.bodies import read_validated_payload
from apps.core.errors import LacksPermission
from apps.core.paging import Page
from apps.core.rest import ResourceViewSet, caller, http_request, success
from apps.core.validation import validate
from apps.datasets import selectors, services
from apps.datasets.schemas import CreateDataset, DeleteDatasets, ListDatasets, UpdateDataset
from apps.datasets.wire import dataset_to_wire

_ORDER = {"create_time": "created_at", "update_time": "updated_at"}


@extend_schema(tags=["datasets"])
class DatasetViewSet(ResourceViewSet):
    @extend_schema(summary="Create a dataset", request=CreateDataset)
    def create(self, request: Request) -> Response:
        data = validate(CreateDataset, read_validated_payload(http_request(request)))
        dataset = services.create_dataset(owner=tenant_of(caller(request)), data=data)
        return success(dataset_to_wire(dataset))

    @extend_schema(
        summary="List datasets",
        parameters=[
            OpenApiParameter(name, type_)
            for name, type_ in [
                ("id", str),
                ("name", str),
                ("page", int),
                ("page_size", int),
                ("orderby", str),
                ("desc", bool),
            ]
        ],
    )
    def list(self, request: Request) -> Response:
        sent = {name: values[0] for name, values in request.query_params.lists()}
        query = validate(ListDatasets, sent)
        principal = caller(request)
        rows = selectors.listed_datasets(principal)
        if query.id is not None:
            if selectors.accessible_dataset(principal, query.id) is None:
                raise _lacks_permission(principal.tenant_id, query.id)
            rows = rows.filter(pk=query.id)
        if query.name:
            if not selectors.named(selectors.accessible_datasets(principal), query.name).exists():
                raise _lacks_permission(principal.tenant_id, query.name)
            rows = selectors.named(rows, query.name)
        order = ("-" if query.desc else "") + _ORDER[query.orderby]
        rows, total = selectors.counted(principal, rows)
        page = Page(query.page, query.page_size).read(rows.order_by(order, "pk"), total)
        return success([dataset_to_wire(dataset) for dataset in page], total_datasets=total)

    @extend_schema(summary="Update a dataset", request=UpdateDataset)
    def update(self, request: Request, dataset_id: str) -> Response:
        payload = read_validated_payload(http_request(request)) | {"dataset_id": dataset_id}
        data = validate(UpdateDataset, payload)
        return success(dataset_to_wire(services.update_dataset(principal=caller(request), data=data)))

    @extend_schema(summary="Delete datasets", request=DeleteDatasets)
    def destroy(self, request: Request) -> Response:
        data = validate(DeleteDatasets, read_validated_payload(http_request(request)))
        services.delete_datasets(principal=caller(request), ids=data.ids)
        return success()


def _lacks_permission(tenant_id: str, dataset: str) -> LacksPermission:
    return LacksPermission(f"User '{tenant_id}' lacks permission for dataset '{dataset}'")
