"""What waits for an MCP server. It lives on the event loop, so that a slow server holds nothing up.

Each route reads and checks first, in one visit to the database, then asks, then writes in another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from apps.agents import api_schema, calls, schemas, selectors, services
from apps.agents.errors import MCPServerFailed, MCPServerUnknown
from apps.agents.models import TOOLS, MCPServer
from apps.agents.wire import mcp_server_to_wire, tool_to_wire
from apps.core.bodies import read_required
from apps.core.errors import RagflowError
from apps.core.http import success_response
from apps.core.limits import whole
from apps.core.principal import Principal
from apps.core.threads import in_database
from ragflow.engine.errors import MCPError
from ragflow.engine.mcp import Tool

router = Router(tags=["MCP servers"], auth=None)


@router.post("/v1/mcp_server/create", summary="Add an MCP server", openapi_extra=api_schema.CREATE)
async def create(request: HttpRequest) -> HttpResponseBase:
    """The server is asked for its tools; one that does not answer now is stored without."""
    principal = await in_database(calls.admitted, request)
    body = read_required(request, ("name", "url", "server_type"))
    data = await in_database(_new, principal, body)
    with calls.place_for(principal.tenant_id):
        tools = await calls.tools_if_it_answers(data, schemas.seconds_of(body))
    stored = await in_database(services.create_mcp_server, principal=principal, data=data, tools=tools or ())
    return success_response(mcp_server_to_wire(stored))


@router.post("/v1/mcp_server/update", summary="Change an MCP server", openapi_extra=api_schema.UPDATE)
async def update(request: HttpRequest) -> HttpResponseBase:
    """What is not sent stays. The server is asked for its tools again."""
    principal = await in_database(calls.admitted, request)
    body = read_required(request, ("mcp_id",))
    server_id = str(body["mcp_id"])
    data = await in_database(_changed, principal, server_id, body)
    with calls.place_for(principal.tenant_id):
        tools = await calls.tools_if_it_answers(data, schemas.seconds_of(body))
    changed = await in_database(
        services.update_mcp_server,
        principal=principal,
        server_id=server_id,
        data=data,
        changed=schemas.changed_fields(body),
        tools=tools,
    )
    return success_response(mcp_server_to_wire(changed))


@router.post("/v1/mcp_server/import", summary="Import MCP servers", openapi_extra=api_schema.IMPORT)
async def import_(request: HttpRequest) -> HttpResponseBase:
    """Each entry is added by itself; the answer tells which were, and under which names."""
    principal = await in_database(calls.admitted, request)
    body = read_required(request, ("mcpServers",))
    entries, seconds = schemas.imports_of(body), schemas.seconds_of(body)

    async def add(entry: tuple[str, Any]) -> dict[str, Any]:
        return await _import(principal, *entry, seconds)

    with calls.place_for(principal.tenant_id):
        results = await whole(calls.of_each(add, list(entries.items())))
    return success_response({"results": results})


@router.post("/v1/mcp_server/list_tools", summary="List the tools of MCP servers", openapi_extra=api_schema.LIST_TOOLS)
async def list_tools(request: HttpRequest) -> HttpResponseBase:
    principal = await in_database(calls.admitted, request)
    body = read_required(request, ("mcp_ids",))
    servers = await in_database(selectors.named_mcp_servers, principal, schemas.named_ids_of(body))
    seconds = schemas.seconds_of(body)

    async def tools_of(server: MCPServer) -> list[Tool]:
        known = server.variables.get(TOOLS, {})
        return [tool_to_wire(tool, known) for tool in await calls.tools_of(server, seconds)]

    with calls.place_for(principal.tenant_id):
        try:
            tools = await whole(calls.of_each(tools_of, servers))
        except MCPError as error:
            raise MCPServerFailed(f"MCP list tools error: {error}") from error
    return success_response({server.pk: found for server, found in zip(servers, tools, strict=True)})


@router.post("/v1/mcp_server/test_tool", summary="Run a tool of an MCP server", openapi_extra=api_schema.TEST_TOOL)
async def test_tool(request: HttpRequest) -> HttpResponseBase:
    """The text of the result; a tool that failed says so in it."""
    principal = await in_database(calls.admitted, request)
    body = read_required(request, ("mcp_id", "tool_name", "arguments"))
    server_id = schemas.server_id_of(body)
    name, arguments = schemas.tool_call_of(body)
    server = await in_database(_known, principal, server_id)
    with calls.place_for(principal.tenant_id):
        try:
            result = await calls.result_of(server, name, arguments, schemas.seconds_of(body))
        except MCPError as error:
            raise MCPServerFailed(str(error)) from error
    return success_response(result.text)


@router.post("/v1/mcp_server/test_mcp", summary="Try an MCP server", openapi_extra=api_schema.TEST_SERVER)
async def test_mcp(request: HttpRequest) -> HttpResponseBase:
    """List the tools of a server that is not stored."""
    subject = await in_database(calls.admitted_to_test, request)
    body = read_required(request, ("url", "server_type"))
    data = schemas.tried_mcp_server(body)
    with calls.place_for(subject):
        try:
            tools = await calls.tools_of(data, schemas.seconds_of(body))
        except MCPError as error:
            raise MCPServerFailed(f"Test MCP error: {error}") from error
    return success_response([tool_to_wire(tool, {}) for tool in tools])


def _new(principal: Principal, body: Mapping[str, Any]) -> schemas.MCPServerData:
    return schemas.mcp_server(body, lambda name: selectors.has_mcp_server_named(principal, name))


def _changed(principal: Principal, server_id: str, body: Mapping[str, Any]) -> schemas.MCPServerData:
    return schemas.changed_mcp_server(body, _known(principal, server_id))


def _known(principal: Principal, server_id: str) -> MCPServer:
    server = selectors.mcp_server(principal, server_id)
    if server is None:
        raise MCPServerUnknown(server_id, principal.tenant_id)
    return server


async def _import(principal: Principal, name: str, described: Any, seconds: float) -> dict[str, Any]:
    try:
        data = schemas.imported_mcp_server(name, described)
        tools = await calls.tools_if_it_answers(data, seconds)
        stored = await in_database(services.import_mcp_server, principal=principal, data=data, tools=tools or ())
    except RagflowError as error:
        return {"server": name, "success": False, "message": error.message}
    result = {"server": name, "success": True, "action": "created", "id": stored.pk, "new_name": stored.name}
    if stored.name == name:
        return result
    return {**result, "message": f"Renamed from '{name}' to '{stored.name}', as there is a server of that name."}
