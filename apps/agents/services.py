"""Writing MCP servers. What they offer was asked before; see `calls`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, count
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import Tenant
from apps.agents.errors import MCPServerUnknown
from apps.agents.models import NAME_BYTES, TOOLS, MCPServer
from apps.agents.schemas import MCPServerData, by_name
from apps.agents.selectors import has_mcp_server_named, mcp_servers_of
from apps.core.errors import Conflict, DataError
from apps.core.ids import is_id
from apps.core.names import name_key
from apps.core.principal import Principal
from ragflow.engine.mcp import Tool


@transaction.atomic
def create_mcp_server(*, principal: Principal, data: MCPServerData, tools: Sequence[Tool]) -> MCPServer:
    """Store a new server. Raises DataError without a tenant, Conflict for a name that has been taken meanwhile."""
    tenant = _locked_tenant(principal)
    if has_mcp_server_named(principal, data.name):
        raise Conflict("Duplicated MCP server name.")
    return _insert(tenant, data, data.name, tools)


@transaction.atomic
def import_mcp_server(*, principal: Principal, data: MCPServerData, tools: Sequence[Tool]) -> MCPServer:
    """The same; when the name is taken, under the first of `name_0`, `name_1`... that is not. Raises DataError."""
    tenant = _locked_tenant(principal)
    similar = mcp_servers_of(principal).filter(name_key__startswith=name_key(data.name))
    taken = set(similar.values_list("name_key", flat=True))
    candidates = chain([data.name], (f"{data.name}_{number}" for number in count()))
    name = next(name for name in candidates if name_key(name) not in taken)
    if len(name.encode()) > NAME_BYTES:
        raise DataError(f"The name is taken, and with a number it has more than {NAME_BYTES} bytes.")
    return _insert(tenant, data, name, tools)


@transaction.atomic
def update_mcp_server(
    *,
    principal: Principal,
    server_id: str,
    data: MCPServerData,
    changed: Collection[str],
    tools: Sequence[Tool] | None,
) -> MCPServer:
    """Write the fields that are `changed`, and the tools, which keep whether agents may use them.

    Without tools (the server did not answer) those known stay, unless the address is another. Raises MCPServerUnknown.
    """
    server = _locked(principal, server_id)
    known = server.variables.get(TOOLS, {})
    if tools is not None:
        known = {name: _with_switch(tool, known.get(name)) for name, tool in by_name(tools).items()}
    elif (server.url, server.transport) != (data.url, data.transport):
        known = {}
    for field in changed:
        setattr(server, field, getattr(data, field))
    server.variables = {**server.variables, TOOLS: known}
    server.save()
    audit.record("update", "MCP server", id=server.pk, name=server.name, tenant_id=server.tenant_id)
    return server


@transaction.atomic
def keep_tools(*, principal: Principal, server_id: str, tools: Mapping[str, Tool]) -> None:
    """Store the tools of a server as a client knows them. Raises MCPServerUnknown."""
    server = _locked(principal, server_id)
    server.variables = {**server.variables, TOOLS: dict(tools)}
    server.save()
    audit.record("update", "MCP server", id=server.pk, name=server.name, tenant_id=server.tenant_id)


@transaction.atomic
def delete_mcp_servers(*, principal: Principal, ids: Sequence[str]) -> None:
    """Delete those of the caller's servers that are named. Raises DataError if there is none."""
    found = mcp_servers_of(principal, ids=ids) if ids else MCPServer.objects.none()
    deleted = list(found.select_for_update().values_list("pk", flat=True))
    if not deleted:
        raise DataError(f"Failed to delete MCP servers {ids}")
    MCPServer.objects.filter(pk__in=deleted).delete()
    audit.record("delete", "MCP server", ids=deleted, tenant_id=principal.tenant_id)


def _locked_tenant(principal: Principal) -> Tenant:
    """Return the tenant; until the transaction ends no other one gives its servers names."""
    tenant = Tenant.objects.select_for_update().filter(pk=principal.tenant_id).first()
    if tenant is None:
        raise DataError("Tenant not found.")
    return tenant


def _locked(principal: Principal, server_id: str) -> MCPServer:
    servers = mcp_servers_of(principal).select_for_update()
    server = servers.filter(pk=server_id).first() if is_id(server_id) else None
    if server is None:
        raise MCPServerUnknown(server_id, principal.tenant_id)
    return server


def _insert(tenant: Tenant, data: MCPServerData, name: str, tools: Sequence[Tool]) -> MCPServer:
    server = MCPServer(tenant=tenant, name=name, url=data.url, transport=data.transport, description=data.description)
    server.headers = data.headers
    server.variables = {**data.variables, TOOLS: by_name(tools)}
    server.save(force_insert=True)
    audit.record("create", "MCP server", id=server.pk, name=server.name, tenant_id=server.tenant_id)
    return server


def _with_switch(tool: Tool, known: Any) -> Tool:
    return {**tool, "enabled": known["enabled"]} if isinstance(known, dict) and "enabled" in known else tool
