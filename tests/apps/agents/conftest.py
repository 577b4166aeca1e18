"""What tests of MCP servers share: scripted servers, reachable ones, and a client that adds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.apps.conftest import API
from tests.tools.mcp_server import ScriptedMCPServer

HTTP, SSE = "streamable-http", "sse"


@pytest.fixture(autouse=True)
def reachable(settings: Any) -> None:
    """Tests run on loopback, which servers that many people use do not reach."""
    settings.PRIVATE_MCP_HOSTS = frozenset({"*"})


@pytest.fixture
def server() -> Iterator[ScriptedMCPServer]:
    with ScriptedMCPServer() as server:
        yield server


@pytest.fixture
def add(api: API, server: ScriptedMCPServer) -> Callable[..., dict[str, Any]]:
    """Return a function that stores a server over the API."""

    def make(name: str = "tools", client: API = api, **fields: Any) -> dict[str, Any]:
        body = {"name": name, "url": server.url, "server_type": HTTP} | fields
        answer = ask(client, "create", body)
        assert answer["code"] == 0, answer
        return answer["data"]

    return make


def ask(client: API, operation: str, body: Any = None, query: str = "") -> dict[str, Any]:
    method = "GET" if operation == "detail" else "POST"
    return client.call(method, f"/v1/mcp_server/{operation}{query}", body)
