"""What can go wrong with MCP servers, where the contract has a text or a code of its own for it."""

from __future__ import annotations

from apps.core import errors


class MCPServerUnknown(errors.NotFound):
    def __init__(self, server_id: str, tenant_id: str) -> None:
        super().__init__(f"Cannot find MCP server {server_id} for user {tenant_id}")


class NoSuchDetail(errors.NotFound):
    """The same of the record alone, to which the reference answers with the code and nothing more."""

    code = 404
    data = None

    def __init__(self) -> None:
        super().__init__("There is no such MCP server.", reference="success")


class MCPServerFailed(errors.RagflowError):
    """The other server did not do what it was asked to."""

    key, code, status = "mcp_server_failed", 102, 502
