"""A client of the Model Context Protocol (MCP): the tools of other people's servers.

`list_tools` and `call_tool` connect, ask and leave, on the event loop and within the given time. Whatever goes wrong is
an MCPError. The protocol itself is spoken by the `mcp` library, which is loaded when a server is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ragflow.engine.mcp.server import TRANSPORTS, MCPServer, Tool, ToolResult, filled_headers

__all__ = ["TRANSPORTS", "MCPServer", "Tool", "ToolResult", "call_tool", "filled_headers", "list_tools"]


async def list_tools(server: MCPServer, seconds: float) -> list[Tool]:
    """Return all tools of a server, page after page. Raises MCPError."""
    await _load()
    from ragflow.engine.mcp import session

    return await session.list_tools(server, seconds)


async def call_tool(server: MCPServer, name: str, arguments: Mapping[str, Any], seconds: float) -> ToolResult:
    """Run a tool. Raises MCPError when the server does not run it; that it failed is a result."""
    await _load()
    from ragflow.engine.mcp import session

    return await session.call_tool(server, name, arguments, seconds)


async def _load() -> None:
    """Load the library beside the event loop: that takes a third of a second, once."""
    await asyncio.to_thread(import_module, "ragflow.engine.mcp.session")
