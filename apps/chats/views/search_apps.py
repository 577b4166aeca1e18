"""Search apps, as the web API has them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.selectors import owners_of
from apps.accounts.views.base import ANSWER, WebViewSet
from apps.chats import api_schema, schemas, selectors, services, wire
from apps.core.bodies import deny, read_object, read_required
from apps.core.errors import BadValue, OperationRefused
from apps.core.paging import owner_ids_of, web_rows
from apps.core.rest import caller, http_request, web_success

_FIXED = ("id", "created_by", "create_time", "update_time", "create_date", "update_date")


@extend_schema(tags=["search apps"])
class SearchAppViewSet(WebViewSet):
    @extend_schema(summary="Create a search app", request=api_schema.NEW_SEARCH_APP, responses=ANSWER)
    def create(self, request: Request) -> Response:
        body = read_required(http_request(request), ("name",))
        app = services.create_search_app(principal=caller(request), data=schemas.create_search_app(body))
        return web_success({"search_id": app.pk})

    @extend_schema(summary="Change a search app", request=api_schema.SEARCH_APP, responses=ANSWER)
    def update(self, request: Request) -> Response:
        body = read_required(http_request(request), ("search_id", "name", "search_config", "tenant_id"))
        deny(body, _FIXED)
        app = services.update_search_app(
            principal=caller(request),
            search_id=str(body["search_id"]),
            tenant_id=str(body["tenant_id"]),
            data=schemas.update_search_app(body),
        )
        return web_success(wire.stored_search_app_to_wire(app))

    @extend_schema(summary="Show a search app", parameters=api_schema.SEARCH_ID, responses=ANSWER)
    def show(self, request: Request) -> Response:
        search_id = search_id_of(request)
        app = selectors.visible_search_apps(caller(request)).filter(pk=search_id).first()
        if app is None:
            raise OperationRefused("Has no permission for this operation.", data=False)
        owner = owners_of([app.tenant_id]).get(app.tenant_id)
        is_own = app.tenant_id == caller(request).tenant_id
        shown = wire.search_app_to_wire(app, with_key=is_own and caller(request).sees_keys)
        return web_success({**shown, **wire.owner_to_wire(owner)})

    @extend_schema(
        summary="List search apps",
        request=api_schema.OWNERS,
        parameters=api_schema.SEARCH_APP_FILTERS,
        responses=ANSWER,
    )
    def list(self, request: Request) -> Response:
        query = request.query_params
        apps = selectors.visible_search_apps(
            caller(request),
            keywords=query.get("keywords", ""),
            owner_ids=owner_ids_of(read_object(http_request(request))),
        )
        upwards = query.get("desc", "true").strip().lower() == "false"
        ordering = selectors.order_search_apps(query.get("orderby") or "create_time", descending=not upwards)
        rows, total = web_rows(apps.order_by(*ordering), query)
        owners = owners_of([app.tenant_id for app in rows])
        shown = [wire.listed_search_app_to_wire(app, owners.get(app.tenant_id)) for app in rows]
        return web_success({"search_apps": shown, "total": total})

    @extend_schema(summary="Delete a search app", request=api_schema.SEARCH_APP_ID, responses=ANSWER)
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("search_id",))
        services.delete_search_app(principal=caller(request), search_id=str(body["search_id"]))
        return web_success(data=True)


def search_id_of(request: Request) -> str:
    if "search_id" not in request.query_params:
        raise BadValue("`search_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>")
    return str(request.query_params["search_id"])
