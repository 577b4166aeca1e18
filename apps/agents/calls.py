"""Asking MCP servers, on the event loop: meanwhile neither a thread nor a connection to the database is held."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.http import HttpRequest

from apps.accounts import throttles
from apps.accounts.authentication import principal_of_login_or_key
from apps.agents.errors import MCPServerFailed
from apps.core.bodies import DEEPEST, is_deeper
from apps.core.errors import TooManyRequests
from apps.core.http import client_address
from apps.core.principal import Principal
from apps.core.wire_profile import profile
from ragflow.engine.errors import MCPError
from ragflow.engine.mcp import MCPServer as Target
from ragflow.engine.mcp import Tool, ToolResult, call_tool, filled_headers, list_tools
from ragflow.engine.registry import must_be_public
from ragflow.engine.side_by_side import side_by_side

REQUESTS_AT_ONCE = 8  # of a caller, in a process
SERVERS_AT_ONCE = 4  # of a request

_under_way: Counter[str] = Counter()
_T = TypeVar("_T")
_R = TypeVar("_R")


class Described(Protocol):
    """A stored server, or one that is to be."""

    @property
    def url(self) -> str: ...
    @property
    def transport(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, Any]: ...
    @property
    def variables(self) -> Mapping[str, Any]: ...


def admitted(request: HttpRequest) -> Principal:
    """Return who makes a request that asks MCP servers. Raises Unauthorized, LacksScope and TooManyRequests."""
    principal = principal_of_login_or_key(request)
    throttles.hit(throttles.MCP_REQUESTS_OF_CALLER, principal.tenant_id)
    return principal


def admitted_to_test(request: HttpRequest) -> str:
    """Return for whom a server is tested: the caller's tenant, or where nobody has to log in a network address.

    Raises as `admitted`.
    """
    if not profile().anybody_tests_mcp_servers:
        return admitted(request).tenant_id
    address = client_address(request)
    throttles.hit(throttles.MCP_REQUESTS_OF_CALLER, address)
    return address


@contextmanager
def place_for(subject: str) -> Iterator[None]:
    """Run one of a caller's requests. Raises TooManyRequests while as many as there may be are under way."""
    if _under_way[subject] >= REQUESTS_AT_ONCE:
        raise TooManyRequests(1)
    _under_way[subject] += 1
    try:
        yield
    finally:
        _under_way[subject] -= 1
        if not _under_way[subject]:
            del _under_way[subject]


async def tools_of(server: Described, seconds: float) -> list[Tool]:
    """Return what a server offers. Raises MCPError."""
    tools = await list_tools(_target(server), seconds)
    if is_deeper(tools, DEEPEST):
        raise MCPError(f"The description of a tool is nested deeper than {DEEPEST} levels.")
    return tools


async def tools_if_it_answers(server: Described, seconds: float) -> list[Tool] | None:
    """The same; None of a server that does not answer now. Raises MCPServerFailed for one that can never be asked."""
    try:
        return await tools_of(server, seconds)
    except MCPError as error:
        if error.final:
            raise MCPServerFailed(str(error)) from error
        return None


async def result_of(server: Described, name: str, arguments: Mapping[str, Any], seconds: float) -> ToolResult:
    """Run a tool. Raises MCPError."""
    return await call_tool(_target(server), name, arguments, seconds)


async def of_each(ask: Callable[[_T], Awaitable[_R]], items: Sequence[_T]) -> list[_R]:
    """Ask about several, a few at a time, and return the results in order. Raises the first exception."""
    places = asyncio.Semaphore(SERVERS_AT_ONCE)

    async def one(item: _T) -> _R:
        async with places:
            return await ask(item)

    return await side_by_side(one(item) for item in items)


def _target(server: Described) -> Target:
    headers = filled_headers(server.headers, server.variables)
    guarded = must_be_public(server.url, settings.PRIVATE_MCP_HOSTS)
    return Target(server.url, server.transport, headers, guarded)
