"""What goes wrong with MCP servers, in words."""

from __future__ import annotations

import httpx2
from mcp import MCPError as ReportedError
from mcp.types import CONNECTION_CLOSED, PARSE_ERROR
from pydantic import ValidationError

from ragflow.engine.errors import MCPError, ModelError
from ragflow.engine.guard import PrivateAddress
from ragflow.engine.http import own_words
from ragflow.engine.mcp.server import MCPServer


def in_words(server: MCPServer, error: Exception) -> MCPError:
    """Return the error for what the guard, the HTTP client and the library raise."""
    host = server.host
    match error:
        case MCPError():
            return error
        case PrivateAddress():
            message = f"{error.host} is an address within this server's own network."
            return MCPError(f"{message} Its operator can allow it with RAGFLOW_PRIVATE_MCP_HOSTS.", final=True)
        case ModelError():
            return MCPError(f"The MCP server at {host} cannot be asked: {error}")
        case ReportedError(code=code) if code == CONNECTION_CLOSED:
            return MCPError(f"The MCP server at {host} ended the connection before it had answered.")
        case ReportedError(code=code) if code != PARSE_ERROR:
            detail = server.scrub(error.message) or "it does not say what"
            return MCPError(f"The MCP server at {host} reported an error: {detail}.")
        case ReportedError() | ValidationError() | httpx2.SSEError():
            return MCPError(f"The MCP server at {host} sent what is no message of the protocol.")
        case _:
            detail = server.scrub(str(error)) or type(error).__name__
            return MCPError(f"The connection to the MCP server at {host} failed: {detail}.")


def refusal(server: MCPServer, response: httpx2.Response, body: bytes) -> MCPError:
    """Return the error for an HTTP answer without success."""
    if response.has_redirect_location:
        target = response.headers["location"][:200]
        return MCPError(f"The MCP server at {server.host} redirects to {target}. Name that address.")
    detail = server.scrub(own_words(body.decode("utf-8", "replace")))
    message = f"The MCP server at {server.host} answered with status {response.status_code}"
    return MCPError(f"{message}: {detail}." if detail else f"{message}.")
