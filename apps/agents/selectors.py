"""Reading MCP servers. They are their tenant's own; teams do not share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import models

from apps.agents.models import MCPServer
from apps.core.ids import is_id
from apps.core.many import among
from apps.core.names import name_key, named_like
from apps.core.paging import ordering
from apps.core.principal import Principal

_COLUMNS: Mapping[str, str] = {
    "create_time": "created_at",
    "create_date": "created_at",
    "update_time": "updated_at",
    "update_date": "updated_at",
    "id": "id",
    "tenant_id": "tenant_id",
    "name": "name",
    "url": "url",
    "server_type": "transport",
    "description": "description",
}


def mcp_servers_of(principal: Principal, *, keywords: str = "", ids: Sequence[str] = ()) -> models.QuerySet[MCPServer]:
    """Return the caller's servers, as a list narrows them. Empty means any."""
    servers = MCPServer.objects.filter(tenant_id=principal.tenant_id)
    servers = named_like(servers, keywords)
    if ids:
        servers = servers.filter(among("pk", [id_ for id_ in ids if is_id(id_)]))
    return servers


def mcp_server(principal: Principal, server_id: str) -> MCPServer | None:
    return mcp_servers_of(principal).filter(pk=server_id).first() if is_id(server_id) else None


def named_mcp_servers(principal: Principal, ids: Sequence[str]) -> list[MCPServer]:
    """Return those of the caller's servers that are named, in the order they are named."""
    found = mcp_servers_of(principal, ids=ids).in_bulk()
    return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]


def has_mcp_server_named(principal: Principal, name: str) -> bool:
    return mcp_servers_of(principal).filter(name_key=name_key(name)).exists()


def order_mcp_servers(column: str, *, descending: bool) -> list[str]:
    """Translate `orderby`. Raises BadValue for an unknown column."""
    return ordering(_COLUMNS, column, descending=descending, table="MCPServer")
