"""Dialogs over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.selectors import owners_of, tenant_or_none
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.chats import api_schema, selectors
from apps.chats.web import schemas, services, wire
from apps.core.bodies import read_object, read_required
from apps.core.errors import BadValue, DataError, NotFound
from apps.core.many import among
from apps.core.names import named_like
from apps.core.paging import owner_ids_of, web_descending, web_rows
from apps.core.rest import caller, http_request, web_success


@extend_schema(tags=["chats (web)"], responses=ANSWER)
class WebDialogViewSet(WebViewSet):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action == "save":  # the contract looks at the body before the credentials
            read_required(http_request(request), ("prompt_config",))
        super().initial(request, *args, **kwargs)

    @extend_schema(summary="Create a chat, or change the one that `dialog_id` names", request=api_schema.DIALOG)
    def save(self, request: Request) -> Response:
        body, principal = read_required(http_request(request), ("prompt_config",)), caller(request)
        if body.get("dialog_id"):
            changes = schemas.dialog_changes(body)
            changed = services.update_dialog(principal=principal, dialog_id=str(body["dialog_id"]), data=changes)
            datasets = selectors.datasets_of(principal, [changed]).get(changed.pk, ())
            return web_success(wire.dialog_to_wire(changed, datasets, with_key=True))
        data = schemas.new_dialog(body)
        tenant = tenant_or_none(principal)
        if tenant is None:
            raise DataError("Tenant not found!")
        made = services.create_dialog(principal=principal, tenant=tenant, data=data)
        return web_success(wire.created_dialog_to_wire(made, named=data.dataset_ids or []))

    @extend_schema(summary="Show a chat", parameters=api_schema.DIALOG_ID)
    def show(self, request: Request) -> Response:
        if "dialog_id" not in request.query_params:
            raise BadValue("`dialog_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>")
        principal = caller(request)
        found = selectors.all_assistants_of(principal).filter(pk=request.query_params["dialog_id"]).first()
        if found is None:
            raise NotFound("Dialog not found!")
        datasets = selectors.datasets_of(principal, [found]).get(found.pk, ())
        return web_success(wire.dialog_to_wire(found, datasets, with_key=principal.sees_keys))

    @extend_schema(summary="List all chats")
    def list(self, request: Request) -> Response:
        principal = caller(request)
        rows = list(selectors.assistants_of(principal))
        datasets = selectors.datasets_of(principal, rows)
        with_key = principal.sees_keys
        return web_success([wire.dialog_to_wire(row, datasets.get(row.pk, ()), with_key=with_key) for row in rows])

    @extend_schema(summary="List chats by pages", request=api_schema.OWNERS, parameters=api_schema.DIALOG_FILTERS)
    def page(self, request: Request) -> Response:
        query, principal = request.query_params, caller(request)
        rows = named_like(selectors.assistants_of(principal), query.get("keywords", ""))
        if owner_ids := owner_ids_of(read_object(http_request(request))):
            rows = rows.filter(among("tenant_id", owner_ids))
        ordering = selectors.order_assistants(query.get("orderby") or "create_time", descending=web_descending(query))
        dialogs, total = web_rows(rows.order_by(*ordering), query)
        datasets = selectors.datasets_of(principal, dialogs)
        owners = owners_of([row.tenant_id for row in dialogs])
        shown = [
            wire.paged_dialog_to_wire(
                row, datasets.get(row.pk, ()), owners.get(row.tenant_id), with_key=principal.sees_keys
            )
            for row in dialogs
        ]
        return web_success({"dialogs": shown, "total": total})

    @extend_schema(summary="Delete chats", request=api_schema.DIALOG_IDS)
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("dialog_ids",))
        services.delete_dialogs(principal=caller(request), ids=schemas.dialog_ids_of(body["dialog_ids"]))
        return web_success(data=True)
