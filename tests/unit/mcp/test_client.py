"""The MCP client against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ragflow.engine.errors import MCPError
from ragflow.engine.mcp import MCPServer, ToolResult, call_tool, filled_headers, list_tools, network, session
from ragflow.engine.mcp.server import SSE, STREAMABLE_HTTP
from tests.tools.mcp_server import ECHO, SESSION, Fault, ScriptedMCPServer

PICTURE = {"type": "image", "data": "", "mimeType": "image/png"}
BOTH = pytest.mark.parametrize("transport", [SSE, STREAMABLE_HTTP])


@pytest.fixture
def server() -> Iterator[ScriptedMCPServer]:
    with ScriptedMCPServer() as server:
        yield server


def at(server: ScriptedMCPServer, transport: str = STREAMABLE_HTTP, **headers: str) -> MCPServer:
    url = server.sse_url if transport == SSE else server.url
    return MCPServer(url, transport, headers, guarded=False)


async def tools_of(target: MCPServer, seconds: float = 10) -> list[dict]:
    return await list_tools(target, seconds)


async def call(target: MCPServer, **arguments: object) -> ToolResult:
    return await call_tool(target, "echo", arguments, 10)


@BOTH
async def test_tools_are_listed_and_called(server: ScriptedMCPServer, transport: str) -> None:
    assert await tools_of(at(server, transport)) == [ECHO]
    assert await call(at(server, transport), text="ü") == ToolResult('echo {"text": "\\u00fc"}', is_error=False)


@BOTH
async def test_the_greeting(server: ScriptedMCPServer, transport: str) -> None:
    await tools_of(at(server, transport, Authorization="Bearer t"))
    assert server.asked("initialize")[0]["params"]["protocolVersion"] >= "2025-06-18"
    assert [each.body["method"] for each in server.requests if each.body][-3:] == [
        "initialize",
        "notifications/initialized",
        "tools/list",
    ]
    assert {each.headers.get("authorization") for each in server.requests} == {"Bearer t"}


async def test_a_server_of_the_protocol_without_greetings(server: ScriptedMCPServer) -> None:
    server.modern = True
    assert await tools_of(at(server)) == [ECHO]
    assert (await call(at(server), text="a")).text == 'echo {"text": "a"}'
    assert not server.asked("initialize")


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_servers_that_refuse_what_comes_before_the_greeting(server: ScriptedMCPServer, status: int) -> None:
    server.faults["server/discover"] = Fault(status=status, raw="What?")
    assert await tools_of(at(server)) == [ECHO]


async def test_a_session_is_named_and_ended(server: ScriptedMCPServer) -> None:
    server.version = "2025-03-26"
    await tools_of(at(server))
    _discovery, first, *others = server.requests
    assert "mcp-session-id" not in first.headers
    assert {each.headers["mcp-session-id"] for each in others} == {SESSION}
    assert {each.headers["mcp-protocol-version"] for each in others} == {"2025-03-26"}
    assert server.requests[-1].method == "DELETE"


async def test_a_session_that_cannot_be_ended_is_no_failure(server: ScriptedMCPServer) -> None:
    server.faults["DELETE"] = Fault(status=405)
    assert await tools_of(at(server)) == [ECHO]


async def test_answers_that_are_streams(server: ScriptedMCPServer) -> None:
    server.streams = True
    server.before = [
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 0.5}},
        {"jsonrpc": "2.0", "id": "theirs", "method": "ping"},
        {"jsonrpc": "2.0", "id": "more", "method": "sampling/createMessage", "params": {}},
    ]
    assert await tools_of(at(server)) == [ECHO]
    replies = [each.body for each in server.requests if each.body and "method" not in each.body]
    assert {"jsonrpc": "2.0", "id": "theirs", "result": {}} in replies
    assert any("error" in reply for reply in replies if reply["id"] == "more")


@BOTH
async def test_a_list_of_several_pages(server: ScriptedMCPServer, transport: str) -> None:
    server.tools = [{"name": str(number), "inputSchema": {"type": "object"}} for number in range(5)]
    server.page_size = 2
    tools = await tools_of(at(server, transport))
    assert [tool["name"] for tool in tools] == list("01234")
    assert tools[0] == {"name": "0", "description": None, "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(("limit", "message"), [("MOST_PAGES", "does not end"), ("MOST_TOOLS", "more than 2 tools")])
async def test_lists_are_limited(
    server: ScriptedMCPServer, monkeypatch: pytest.MonkeyPatch, limit: str, message: str
) -> None:
    monkeypatch.setattr(session, limit, 2)
    server.tools, server.page_size = [ECHO] * 9, 1
    with pytest.raises(MCPError, match=message):
        await tools_of(at(server))


@BOTH
async def test_the_size_is_limited(server: ScriptedMCPServer, monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    monkeypatch.setattr(network, "LONGEST_ANSWERS", 1000)
    server.tools = [{"name": "x" * 1000}]
    with pytest.raises(MCPError, match="more than 1000 bytes"):
        await tools_of(at(server, transport))


@BOTH
@pytest.mark.parametrize(
    ("method", "fault", "message"),
    [
        ("tools/list", Fault(error={"code": -1, "message": "Out of order."}), "reported an error: Out of order.$"),
        ("tools/list", Fault(error="x"), "no message of the protocol"),
        ("tools/list", Fault(result=[]), "no message of the protocol"),
        ("tools/list", Fault(result={}), "no message of the protocol"),
        ("tools/list", Fault(result={"tools": ["x"]}), "no message of the protocol"),
        ("tools/list", Fault(result={"tools": [{"name": 5}]}), "no message of the protocol"),
        (
            "initialize",
            Fault(result={"protocolVersion": "1999-01-01"}),
            "no message of the protocol",
        ),
        ("initialize", Fault(status=401, raw='{"error": {"message": "No token."}}'), "status 401: No token.$"),
        ("initialize", Fault(status=503, raw="<html>"), "status 503.$"),
    ],
)
async def test_bad_answers(server: ScriptedMCPServer, transport: str, method: str, fault: Fault, message: str) -> None:
    server.faults[method] = fault
    with pytest.raises(MCPError, match=message):
        await tools_of(at(server, transport))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(raw="no JSON"), "no message of the protocol"),
        (Fault(raw="[5]"), "no message of the protocol"),
        (Fault(raw="{}", type="text/html"), "Unexpected content type: text/html"),
        (Fault(raw="", type="text/event-stream"), "before it had answered"),
        (Fault(raw="data: {\n\n", type="text/event-stream"), "no message of the protocol"),
    ],
)
async def test_answers_that_are_none(server: ScriptedMCPServer, fault: Fault, message: str) -> None:
    server.faults["initialize"] = fault
    with pytest.raises(MCPError, match=message):
        await tools_of(at(server))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(raw="{}"), "no message of the protocol|failed"),
        (Fault(raw="data: x\n\n", type="text/event-stream"), "did not answer within"),
        (Fault(status=404), "status 404"),
    ],
)
async def test_streams_that_are_none(server: ScriptedMCPServer, fault: Fault, message: str) -> None:
    server.faults["GET"] = fault
    with pytest.raises(MCPError, match=message):
        await tools_of(at(server, SSE), seconds=0.5)


async def test_messages_go_to_no_other_server(server: ScriptedMCPServer) -> None:
    with ScriptedMCPServer() as elsewhere:
        server.endpoint = f"http://localhost:{elsewhere.port}/messages"
        with pytest.raises(MCPError, match="did not answer within"):
            await tools_of(at(server, SSE), seconds=0.5)
        assert not elsewhere.requests


@BOTH
@pytest.mark.parametrize("method", ["initialize", "tools/list"])
async def test_a_server_that_hangs(server: ScriptedMCPServer, transport: str, method: str) -> None:
    server.faults[method] = Fault(hang=True)
    with pytest.raises(MCPError, match=r"did not answer within 0\.3 seconds"):
        await tools_of(at(server, transport), seconds=0.3)


@BOTH
async def test_nobody_listens(transport: str) -> None:
    with pytest.raises(MCPError, match=r"The connection to the MCP server at 127.0.0.1:1 failed") as caught:
        await tools_of(MCPServer("http://127.0.0.1:1/mcp", transport, guarded=False))
    assert not caught.value.final


async def test_redirects_within_the_server_are_followed(server: ScriptedMCPServer) -> None:
    server.faults["initialize"] = Fault(status=307, headers={"Location": "/mcp/"}, once=True)
    assert await tools_of(at(server, Authorization="Bearer t")) == [ECHO]
    followed = next(each for each in server.requests if each.path == "/mcp/")
    assert (followed.body["method"], followed.headers["authorization"]) == ("initialize", "Bearer t")


@pytest.mark.parametrize(
    ("location", "message"),
    [("http://localhost:1/elsewhere", "Name that address"), ("/mcp", "redirects to /mcp")],
)
async def test_other_redirects_are_not(server: ScriptedMCPServer, location: str, message: str) -> None:
    server.faults["initialize"] = Fault(status=307, headers={"Location": location})
    with pytest.raises(MCPError, match=message):
        await tools_of(at(server, STREAMABLE_HTTP, Authorization="secret"))


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_private_addresses_are_not_reached(server: ScriptedMCPServer, transport: str, host: str) -> None:
    target = MCPServer(f"http://{host}:{server.port}/mcp", transport, guarded=True)
    with pytest.raises(MCPError, match="RAGFLOW_PRIVATE_MCP_HOSTS") as caught:
        await tools_of(target)
    assert caught.value.final
    assert server.connections == 0


async def test_no_way_leads_around_the_guard_by_a_redirect(server: ScriptedMCPServer) -> None:
    server.faults["GET"] = Fault(status=302, headers={"Location": "http://169.254.169.254/latest"})
    with pytest.raises(MCPError, match="Name that address"):
        await tools_of(at(server, SSE))


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "nothing"])
async def test_what_is_no_address(url: str) -> None:
    with pytest.raises(MCPError, match="is not the address of an MCP server") as caught:
        await tools_of(MCPServer(url, STREAMABLE_HTTP))
    assert caught.value.final


async def test_leaving_ends_the_session(server: ScriptedMCPServer) -> None:
    """Whoever asks may be cancelled: the server is told, and nothing stays open."""
    server.faults["tools/list"] = Fault(hang=True)
    task = asyncio.create_task(tools_of(at(server)))
    while not server.asked("tools/list"):  # noqa: ASYNC110 -- it is another thread's
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.requests[-1].method == "DELETE"


# -- results of tools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, PICTURE, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": [{"type": "resource", "resource": {"uri": "x", "text": "file"}}]}, "file"),
        ({"content": [], "structuredContent": {"a": "ü"}}, '{"a": "ü"}'),
        ({"content": []}, ""),
    ],
)  # fmt: skip
async def test_the_text_of_a_result(server: ScriptedMCPServer, result: dict, text: str) -> None:
    server.faults["tools/call"] = Fault(result=result)
    assert await call(at(server)) == ToolResult(text, is_error=False)


async def test_a_tool_that_failed(server: ScriptedMCPServer) -> None:
    server.faults["tools/call"] = Fault(result={"content": [{"type": "text", "text": "no"}], "isError": True})
    assert await call(at(server)) == ToolResult("no", is_error=True)


@pytest.mark.parametrize("content", [[PICTURE], ["x"], "x"])
async def test_a_result_without_text(server: ScriptedMCPServer, content: object) -> None:
    server.faults["tools/call"] = Fault(result={"content": content})
    with pytest.raises(MCPError, match=r"holds no text|no message of the protocol"):
        await call(at(server))


# -- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "variables", "filled"),
    [
        ({"Authorization": "Bearer ${token}"}, {"token": "t"}, {"Authorization": "Bearer t"}),
        ({"X-${name}": "${a}-${b}"}, {"name": "Key", "a": 1, "b": "${a}"}, {"X-Key": "1-${a}"}),
        ({"Authorization": "Bearer ${token}"}, {"token": ""}, {}),
        ({"X": "${unknown} $a"}, {"a": "b", "unknown": {}}, {"X": "${unknown} $a"}),
        ({"": "x", "Y": " "}, {}, {}),
    ],
)
def test_placeholders(headers: dict, variables: dict, filled: dict) -> None:
    assert filled_headers(headers, variables) == filled


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nB: c"}, {"X Y": "a"}, {"X": "ü"}, {"host": "x"}, {"Mcp-Session-Id": "x"}, {"X:": "a"}]
)
def test_headers_that_cannot_be_sent(headers: dict) -> None:
    with pytest.raises(MCPError) as caught:
        filled_headers(headers, {})
    assert caught.value.final


def test_headers_stay_out_of_repr() -> None:
    assert "secret" not in repr(MCPServer("http://x", SSE, {"Authorization": "secret"}))
