"""MCP servers over HTTP, as far as nothing has to be asked of them; see `streams` for the rest."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.views.base import ANSWER, WebViewSet
from apps.agents import api_schema, schemas, selectors, services, wire
from apps.agents.errors import NoSuchDetail
from apps.core.bodies import read_object, read_required
from apps.core.errors import BadValue
from apps.core.paging import web_descending, web_rows
from apps.core.rest import caller, http_request, web_success


@extend_schema(tags=["MCP servers"], responses=ANSWER)
class MCPServerViewSet(WebViewSet):
    @extend_schema(summary="List MCP servers", request=api_schema.SOME_IDS, parameters=api_schema.FILTERS)
    def list(self, request: Request) -> Response:
        query, ids = request.query_params, schemas.ids_of(read_object(http_request(request)))
        servers = selectors.mcp_servers_of(caller(request), keywords=query.get("keywords", ""), ids=ids)
        descending = web_descending(query)
        ordering = selectors.order_mcp_servers(query.get("orderby") or "create_time", descending=descending)
        rows, total = web_rows(servers.order_by(*ordering), query)
        return web_success({"mcp_servers": [wire.listed_mcp_server_to_wire(row) for row in rows], "total": total})

    @extend_schema(summary="Show an MCP server", parameters=api_schema.SERVER_ID)
    def show(self, request: Request) -> Response:
        if "mcp_id" not in request.query_params:
            raise BadValue("`mcp_id` is required.", reference="<BadRequestKeyError '400: Bad Request'>")
        server = selectors.mcp_server(caller(request), request.query_params["mcp_id"])
        if server is None:
            raise NoSuchDetail
        return web_success(wire.mcp_server_to_wire(server))

    @extend_schema(summary="Delete MCP servers", request=api_schema.IDS)
    def remove(self, request: Request) -> Response:
        body = read_required(http_request(request), ("mcp_ids",))
        services.delete_mcp_servers(principal=caller(request), ids=schemas.ids_of(body))
        return web_success(data=True)

    @extend_schema(summary="Export MCP servers", request=api_schema.IDS)
    def export(self, request: Request) -> Response:
        """What is exported can be imported elsewhere. It holds the tokens."""
        body = read_required(http_request(request), ("mcp_ids",))
        servers = selectors.named_mcp_servers(caller(request), schemas.named_ids_of(body))
        exported = {server.name: wire.exported_mcp_server_to_wire(server) for server in servers}
        return web_success({"mcpServers": exported})

    @extend_schema(summary="Store the tools of an MCP server", request=api_schema.TOOLS)
    def cache_tools(self, request: Request) -> Response:
        """`enabled` of a tool says whether agents may use it."""
        body = read_required(http_request(request), ("mcp_id", "tools"))
        server_id, tools = schemas.server_id_of(body), schemas.tools_of(body)
        services.keep_tools(principal=caller(request), server_id=server_id, tools=tools)
        return web_success(tools)
