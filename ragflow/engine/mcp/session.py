"""Sessions with MCP servers, held by the `mcp` library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import httpx2
from mcp.client import Client, Transport
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, ContentBlock, Implementation

from ragflow.engine.errors import MCPError, ModelError
from ragflow.engine.http import CONNECT_TIMEOUT, USER_AGENT, Endpoint, async_client
from ragflow.engine.mcp.failures import in_words
from ragflow.engine.mcp.network import Network
from ragflow.engine.mcp.server import SSE, MCPServer, Tool, ToolResult

MOST_TOOLS = 1000
MOST_PAGES = 100
MOST_REDIRECTS = 3

_T = TypeVar("_T")


async def list_tools(server: MCPServer, seconds: float) -> list[Tool]:
    async def ask(client: Client) -> list[Tool]:
        tools: list[Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += [tool.model_dump(mode="json", by_alias=True, exclude_unset=True) for tool in page.tools]
            if len(tools) > MOST_TOOLS:
                raise MCPError(f"The MCP server at {server.host} has more than {MOST_TOOLS} tools.")
            cursor = page.next_cursor
            if not cursor:
                return [{"description": None, **tool} for tool in tools]
        raise MCPError(f"The list of tools of the MCP server at {server.host} does not end.")

    return await _asked(server, seconds, ask)


async def call_tool(server: MCPServer, name: str, arguments: Mapping[str, Any], seconds: float) -> ToolResult:
    async def ask(client: Client) -> ToolResult:
        params = CallToolRequestParams(name=name, arguments=dict(arguments))
        # Not `client.call_tool`: it checks the result by a JSON schema of the server's, whose regular expressions
        # could keep the event loop busy for ever.
        result = await client.session.send_request(CallToolRequest(params=params), CallToolResult)
        return ToolResult(_text_of(name, result), is_error=bool(result.is_error))

    return await _asked(server, seconds, ask)


async def _asked(server: MCPServer, seconds: float, ask: Callable[[Client], Awaitable[_T]]) -> _T:
    """Connect to a server, ask, and leave, all within some seconds. Raises MCPError."""
    try:
        endpoint = Endpoint(server.url, guarded=server.guarded)
    except ModelError as error:
        raise MCPError(f"{server.url[:200]!r} is not the address of an MCP server.", final=True) from error
    limit = asyncio.timeout(seconds)
    network = Network(await async_client(endpoint), server, limit)
    try:
        async with limit, _connected(server, network) as client:
            return await ask(client)
    except Exception as error:
        cause = _innermost(error)
        if network.failure:
            raise network.failure from error
        if isinstance(cause, TimeoutError):
            raise MCPError(f"The MCP server at {server.host} did not answer within {seconds:g} seconds.") from error
        raise in_words(server, cause) from error


@asynccontextmanager
async def _connected(server: MCPServer, network: Network) -> AsyncIterator[Client]:
    async def note(message: object) -> None:
        if isinstance(message, Exception):  # the library goes on waiting
            network.give_up(in_words(server, message))

    def session(transport: Transport, mode: Literal["legacy", "auto"]) -> Client:
        info = Implementation(name=USER_AGENT, version="1")
        return Client(transport, mode=mode, client_info=info, message_handler=note, cache=None)

    http = httpx2.AsyncClient(
        transport=network,
        headers=dict(server.headers),
        timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
        max_redirects=MOST_REDIRECTS,
    )
    if server.transport == SSE:  # the later versions of the protocol, without a greeting, do not have it
        events = sse_client(server.url, httpx_client_factory=lambda headers=None, timeout=None, auth=None: http)
        async with session(events, "legacy") as client:
            yield client
    else:
        async with http, session(streamable_http_client(server.url, http_client=http), "auto") as client:
            yield client


def _innermost(error: Exception) -> Exception:
    """Return the first exception of the library's task groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _text_of(name: str, result: CallToolResult) -> str:
    texts = [text for text in map(_text_of_block, result.content) if text is not None]
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if result.content and not texts:
        raise MCPError(f"The result of the tool {name!r} holds no text.")
    return "\n".join(texts)


def _text_of_block(block: ContentBlock) -> str | None:
    """Return the text of a block of content: its own, or that of a file within; None of pictures and sound."""
    source = block.resource if block.type == "resource" else block
    text = getattr(source, "text", None)
    return text if isinstance(text, str) else None
