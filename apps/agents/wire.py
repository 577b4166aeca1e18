"""MCP servers and their tools by the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.models import TOOLS, MCPServer
from apps.agents.schemas import TOKEN
from apps.core.clock import timestamps
from ragflow.engine.mcp import Tool

_LISTED = ("id", "name", "server_type", "url", "description", "variables", "create_date", "update_date")


def mcp_server_to_wire(server: MCPServer) -> dict[str, Any]:
    """Return the whole record, secrets included: it is its owner's."""
    return {
        "id": server.pk,
        "tenant_id": server.tenant_id,
        "name": server.name,
        "url": server.url,
        "server_type": server.transport,
        "description": server.description,
        "headers": server.headers,
        "variables": server.variables,
        **timestamps(server.created_at, server.updated_at),
    }


def listed_mcp_server_to_wire(server: MCPServer) -> dict[str, Any]:
    record = mcp_server_to_wire(server)
    return {name: record[name] for name in _LISTED}


def exported_mcp_server_to_wire(server: MCPServer) -> dict[str, Any]:
    variables = server.variables
    return {
        "type": server.transport,
        "url": server.url,
        "name": server.name,
        "authorization_token": variables.get(TOKEN, ""),
        "tools": variables.get(TOOLS, {}),
    }


def tool_to_wire(tool: Tool, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool as its server describes it, and whether agents may use it, as far as that is known."""
    kept = known.get(tool["name"])
    return {**tool, "enabled": kept.get("enabled", True) if isinstance(kept, dict) else True}
