"""MCP servers that are slow, die, send too much or lead elsewhere, and callers that leave."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from apps.accounts import throttles
from apps.agents import calls
from apps.agents.models import MCPServer
from ragflow.engine.mcp import network
from tests.apps.conftest import API
from tests.tools.asgi import Exchange
from tests.tools.mcp_server import ECHO, Fault, ScriptedMCPServer

from .conftest import HTTP, SSE, ask

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = pytest.mark.parametrize("transport", [HTTP, SSE])


def trial(server: ScriptedMCPServer, transport: str = HTTP, **fields: Any) -> dict[str, Any]:
    url = server.sse_url if transport == SSE else server.url
    return {"url": url, "server_type": transport, "timeout": 10} | fields


def exchange(client: API, operation: str, body: Any = None) -> Exchange:
    from ragflow.asgi import application

    headers = {"Authorization": str(client.defaults["HTTP_AUTHORIZATION"]), "Content-Type": "application/json"}
    path = f"/v1/mcp_server/{operation}"
    return Exchange(application, path, method="POST", headers=headers, body=(orjson.dumps(body or {}),)).start()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- it is another thread's
            await asyncio.sleep(0.01)


@BOTH
@pytest.mark.parametrize("method", ["initialize", "tools/list"])
def test_a_slow_server_has_the_time_that_the_caller_says(
    api: API, server: ScriptedMCPServer, profile: str, transport: str, method: str
):
    server.faults[method] = Fault(silent=True)
    answer = ask(api, "test_mcp", trial(server, transport, timeout=0.3))
    assert answer["code"] == 102
    assert answer["status"] == (200 if profile == "exact" else 502)
    assert answer["message"].endswith("did not answer within 0.3 seconds.")
    created = ask(api, "create", trial(server, transport, timeout="0.3", name="slow"))
    assert created["data"]["variables"] == {"tools": {}}


async def test_slow_servers_hold_nothing_up(api: API, other: API, server: ScriptedMCPServer):
    """Not their tenant's other requests, nor anybody's; one tenant has a limited number of them under way."""
    server.faults["tools/list"] = Fault(hang=True)
    slow = [exchange(api, "test_mcp", trial(server)) for _ in range(calls.REQUESTS_AT_ONCE)]
    await until(lambda: len(server.asked("tools/list")) == calls.REQUESTS_AT_ONCE)
    assert (await exchange(api, "list").finish()).status == 200
    assert (await exchange(api, "test_mcp", trial(server)).finish()).status == 429
    with ScriptedMCPServer() as quick:
        assert (await exchange(other, "test_mcp", trial(quick)).finish()).status == 200
    for each in slow:
        each.leave()
        await each.finish()
    assert (await exchange(api, "list_tools", {"mcp_ids": ["f" * 32]}).finish()).status == 200


@BOTH
async def test_nothing_is_asked_for_a_caller_who_left(api: API, server: ScriptedMCPServer, transport: str):
    server.faults["tools/list"] = Fault(silent=True)
    asking = exchange(api, "test_mcp", trial(server, transport))
    await until(lambda: server.asked("tools/list"))
    asking.leave()
    await asking.finish()
    await until(lambda: server.open_streams == 0 if transport == SSE else server.requests[-1].method == "DELETE")
    assert not calls._under_way


async def test_updates_at_the_same_moment_lose_nothing_of_each_other(api: API, server: ScriptedMCPServer):
    made = orjson.loads((await exchange(api, "create", trial(server, name="old")).finish()).content)["data"]
    server.faults["tools/list"] = Fault(silent=True)
    slow = exchange(api, "update", {"mcp_id": made["id"], "timeout": 2, "description": "new"})
    await until(lambda: len(server.asked("tools/list")) == 2)
    server.faults.clear()
    changes = {"name": "new", "headers": {"X": "1"}, "variables": {"v": "1"}}
    await exchange(api, "update", {"mcp_id": made["id"]} | changes).finish()
    changed = orjson.loads((await slow.finish()).content)["data"]
    assert (changed["description"], changed["name"], changed["headers"]) == ("new", "new", {"X": "1"})
    assert changed["variables"] == {"v": "1", "tools": {"echo": ECHO}}


@BOTH
def test_a_server_that_dies(api: API, server: ScriptedMCPServer, profile: str, transport: str):
    server.faults["tools/list"] = Fault(dies=True)
    answer = ask(api, "test_mcp", trial(server, transport))
    assert answer["code"] == 102
    assert "connection" in answer["message"]
    server.faults.clear()
    assert ask(api, "test_mcp", trial(server, transport))["data"] == [ECHO | {"enabled": True}]


@BOTH
def test_an_answer_without_end(api: API, server: ScriptedMCPServer, transport: str):
    server.tools = [{"name": "x" * 500_000, "inputSchema": {"type": "object"}} for _ in range(10)]
    server.page_size = 1
    answer = ask(api, "test_mcp", trial(server, transport))
    assert answer["code"] == 102
    assert f"more than {network.LONGEST_ANSWERS} bytes" in answer["message"]


def test_a_description_without_end(api: API, server: ScriptedMCPServer):
    deep: Any = {}
    for _ in range(150):
        deep = {"a": deep}
    server.tools = [ECHO | {"inputSchema": {"type": "object", "properties": deep}}]
    assert "nested deeper" in ask(api, "test_mcp", trial(server))["message"]
    assert ask(api, "create", trial(server, name="deep"))["data"]["variables"] == {"tools": {}}


def test_redirects_lead_to_no_other_server(api: API, server: ScriptedMCPServer):
    with ScriptedMCPServer() as elsewhere:
        location = {"Location": f"http://localhost:{elsewhere.port}/mcp"}
        for transport, method in ((HTTP, "initialize"), (SSE, "GET")):
            server.faults[method] = Fault(status=307, headers=location)
            answer = ask(api, "test_mcp", trial(server, transport, headers={"Authorization": "Bearer secret"}))
            assert "Name that address" in answer["message"]
        assert not elsewhere.connections


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]"])
def test_addresses_within_the_network_are_refused(
    api: API, server: ScriptedMCPServer, settings: Any, profile: str, transport: str, host: str
):
    settings.PRIVATE_MCP_HOSTS = frozenset({"elsewhere", f"127.0.0.1:{server.port + 1}"})
    body = trial(server, transport, url=f"http://{host}:{server.port}/sse", name="n")
    for operation in ("test_mcp", "create"):
        answer = ask(api, operation, body)
        assert answer["code"] == 102
        assert "RAGFLOW_PRIVATE_MCP_HOSTS" in answer["message"]
    imported = ask(api, "import", {"mcpServers": {"n": {"type": transport, "url": body["url"]}}})
    assert "RAGFLOW_PRIVATE_MCP_HOSTS" in imported["data"]["results"][0]["message"]
    assert not MCPServer.objects.exists()
    assert not server.connections


def test_an_operator_can_allow_hosts(api: API, server: ScriptedMCPServer, settings: Any):
    settings.PRIVATE_MCP_HOSTS = frozenset({f"127.0.0.1:{server.port}"})
    assert ask(api, "test_mcp", trial(server))["code"] == 0


def test_requests_are_limited(api: API, other: API, server: ScriptedMCPServer, profile: str, monkeypatch):
    monkeypatch.setattr(throttles, "MCP_REQUESTS_OF_CALLER", throttles.Limit("mcp", 1, 60))
    stranger = API(None) if profile == "exact" else api
    assert ask(stranger, "test_mcp", trial(server))["code"] == 0
    assert ask(stranger, "test_mcp", trial(server))["status"] == 429
    assert ask(other, "create", trial(server, name="n"))["code"] == 0
