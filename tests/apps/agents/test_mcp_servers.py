"""MCP servers over the API: every row of the contract's table, and the order of its rules."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import AuditEntry
from apps.agents.models import MCPServer
from tests.apps.conftest import API
from tests.tools.mcp_server import ECHO, Fault, ScriptedMCPServer

from .conftest import HTTP, SSE, ask

pytestmark = pytest.mark.django_db(transaction=True)

NOBODYS = "f" * 32
LISTED = {"id", "name", "server_type", "url", "description", "variables", "create_date", "update_date"}
RECORD = LISTED | {"tenant_id", "headers", "create_time", "update_time"}
TOKEN = "authorization_token"


def refusal(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["code"], answer["message"]


# -- create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [HTTP, SSE])
def test_a_server_is_stored_with_its_tools(api: API, server: ScriptedMCPServer, profile: str, transport: str):
    url = server.sse_url if transport == SSE else server.url
    headers, variables = {"Authorization": "Bearer ${token}"}, {"token": "t", "tools": "ours"}
    body = {"name": "T", "url": url, "server_type": transport, "headers": headers, "variables": variables}
    answer = ask(api, "create", body | {"description": "d"})
    assert (answer["status"], answer["code"], answer["message"]) == (200, 0, "success")
    record = answer["data"]
    assert set(record) == RECORD
    assert record["tenant_id"] == api.tenant.pk
    assert (record["name"], record["url"], record["server_type"]) == ("T", url, transport)
    assert (record["description"], record["headers"]) == ("d", headers)
    assert record["variables"] == {"token": "t", "tools": {"echo": ECHO}}
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer t"}
    assert ask(api, "detail", query=f"?mcp_id={record['id']}")["data"] == record


@pytest.mark.parametrize("body", [{}, {"url": "x"}, {"name": "a", "server_type": "sse"}])
def test_what_create_needs(api: API, profile: str, body: dict[str, Any]):
    missing = ",".join(name for name in ("name", "url", "server_type") if name not in body)
    answer = ask(api, "create", body)
    assert refusal(answer) == (101, f"required argument are missing: {missing}; ")
    assert answer["data"] is None


LONG = "Invalid MCP name or length is {} which is large than 255."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server_type": "stdio", "name": "", "url": ""}, "Unsupported MCP server type."),
        ({"server_type": None}, "Unsupported MCP server type."),
        ({"server_type": ["sse"]}, "Unsupported MCP server type."),
        ({"name": "", "url": ""}, LONG.format(0)),
        ({"name": "x" * 256}, LONG.format(256)),
        ({"name": "ä" * 128}, LONG.format(256)),
        ({"name": "TAKEN", "url": ""}, "Duplicated MCP server name."),
        ({"name": "taken"}, "Duplicated MCP server name."),
        *[
            ({"url": url}, "Invalid url.")
            for url in (
                *("", "x", "ftp://a.b/c", "http://", "http://[", "http://h:99999/", "http://h:0/", "http://a\0b/", 5),
                *(None, [], "http://x/" + "y" * 2048),
            )
        ],
    ],
)
def test_the_rules_of_create_in_order(api: API, add: Any, profile: str, fields: dict[str, Any], message: str):
    add("Taken")
    body = {"name": "new", "url": "http://127.0.0.1:1/mcp", "server_type": HTTP}
    answer = ask(api, "create", body | fields)
    assert refusal(answer) == (102, message)
    assert "data" not in answer
    assert MCPServer.objects.count() == 1


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "İ" * 127, "名" * 85, "🦊" * 63])
def test_long_names(api: API, add: Any, name: str):
    assert add(name)["name"] == name
    assert refusal(ask(api, "create", {"name": name, "url": "http://x", "server_type": SSE}))[0] == 102


@pytest.mark.parametrize(
    "fields",
    [
        *[{"name": value} for value in (5, ["a"], {}, "a\0b")],
        *[{"description": value} for value in (5, "a\0b")],
        *[{"headers": value} for value in ("no JSON", "[]", 5, {"X": 5}, {"X": None})],
        *[{"variables": value} for value in ("no JSON", "[]", 5, [1])],
        {"variables": {"x": "y" * 70_000}},
    ],
    ids=str,
)
def test_wrong_types_are_told(api: API, profile: str, fields: dict[str, Any]):
    body = {"name": "new", "url": "http://127.0.0.1:1/mcp", "server_type": HTTP}
    answer = ask(api, "create", body | fields)
    assert answer["code"] in (100, 101)
    assert next(iter(fields))[:-1] in answer["message"]
    assert not MCPServer.objects.exists()


def test_objects_may_come_as_text(add: Any):
    record = add(headers='{"X": "${v}"}', variables='{"v": "1", "w": "ü"}')
    assert record["headers"] == {"X": "${v}"}
    assert record["variables"] == {"v": "1", "w": "ü", "tools": {"echo": ECHO}}


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(error={"code": -1, "message": "x"}), Fault(raw="no JSON")])
def test_a_server_that_does_not_list_is_stored_without_tools(add: Any, server: ScriptedMCPServer, fault: Fault):
    server.faults["tools/list"] = fault
    assert add()["variables"] == {"tools": {}}


@pytest.mark.parametrize("headers", [{"X": "a\nB: c"}, {"Host": "x"}, {"Mcp-Session-Id": "x"}])
def test_a_server_that_can_never_be_asked_is_not_stored(
    api: API, server: ScriptedMCPServer, profile: str, headers: dict[str, str]
):
    body = {"name": "new", "url": server.url, "server_type": HTTP, "headers": headers}
    answer = ask(api, "create", body)
    assert answer["code"] == 102
    assert "header" in answer["message"]
    assert not MCPServer.objects.exists()


@pytest.mark.parametrize("timeout", [0, -1, "x", "NaN", "inf", None, [], {}, 1e400, True, "2.5"])
def test_any_timeout_is_taken(add: Any, timeout: Any):
    assert add(timeout=timeout)["variables"]["tools"] == {"echo": ECHO}


def test_two_creations_of_one_name_at_the_same_moment(api: API, server: ScriptedMCPServer):
    body = {"name": "same", "url": server.url, "server_type": HTTP}
    together = threading.Barrier(4)

    def create(name: str) -> int:
        together.wait()
        answer = ask(API(str(api.defaults["HTTP_AUTHORIZATION"])[7:]), "create", body | {"name": name})
        assert (answer["code"], answer["message"]) in [(0, "success"), (102, "Duplicated MCP server name.")]
        return answer["code"]

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(create, ["same", "Same", "SAME", "same"]))
    assert sorted(codes) == [0, 102, 102, 102]
    assert MCPServer.objects.count() == 1


# -- list and detail -----------------------------------------------------------------------------------------------


def test_lists(api: API, other: API, add: Any, profile: str):
    add("theirs", client=other)
    ids = {name: add(name)["id"] for name in ("One", "two", "ONE MORE", "100%")}
    answer = ask(api, "list")
    assert (answer["code"], answer["message"], answer["data"]["total"]) == (0, "success", 4)
    assert all(set(row) == LISTED for row in answer["data"]["mcp_servers"])

    def names(query: str = "", body: Any = None) -> list[str]:
        return [row["name"] for row in ask(api, "list", body, query)["data"]["mcp_servers"]]

    assert names() == ["100%", "ONE MORE", "two", "One"]
    assert names("?desc=False") == names("?desc=false&orderby=create_date") == names()[::-1]
    assert names("?keywords=oNe") == ["ONE MORE", "One"]
    assert names("?keywords=%25") == ["100%"]
    assert names("?keywords=%00") == []
    assert names("?orderby=name&desc=false")[0] == "100%"
    assert names("?page=2&page_size=3") == ["One"]
    assert ask(api, "list", None, "?page=2&page_size=3")["data"]["total"] == 4
    assert len(names("?page=1")) == len(names("?page_size=1")) == len(names("?page=0&page_size=1")) == 4
    assert names(body={"mcp_ids": [ids["two"], NOBODYS, "\0", "x"]}) == ["two"]
    assert names(body={"mcp_ids": []}) == names()
    assert names(body={"mcp_ids": ["\0"]}) == []
    assert names(body={"mcp_ids": [*("f" * 32 for _ in range(10_000)), ids["two"]]}) == ["two"]


@pytest.mark.parametrize("query", ["?page=x&page_size=1", "?page=-1&page_size=1", "?orderby=encrypted_headers"])
def test_lists_that_cannot_be(api: API, profile: str, query: str):
    assert ask(api, "list", None, query)["code"] == (100 if profile == "exact" else 101)


@pytest.mark.parametrize("ids", ["x", 5, [5], [None], [[]], {"a": 1}])
@pytest.mark.parametrize("operation", ["list", "rm", "export", "list_tools"])
def test_ids_that_are_none(api: API, profile: str, operation: str, ids: Any):
    answer = ask(api, operation, {"mcp_ids": ids})
    assert answer["code"] in (100, 101)
    assert "mcp_ids" in answer["message"]


def test_a_list_takes_as_many_queries_however_long_it_is(api: API, add: Any):
    counts = []
    for number in range(3):
        add(f"server {number}")
        with CaptureQueriesContext(connection) as captured:
            ask(api, "list")
        counts.append(len(captured))
    assert counts[0] == counts[2] <= 4, captured.captured_queries


def test_details(api: API, other: API, add: Any, profile: str):
    foreign = add("theirs", client=other)["id"]
    absent = refusal(ask(api, "detail"))
    assert absent == (
        (100, "<BadRequestKeyError '400: Bad Request'>") if profile == "exact" else (101, "`mcp_id` is required.")
    )
    for id_ in (foreign, NOBODYS, "x", "", "%00", foreign.upper()):
        answer = ask(api, "detail", query=f"?mcp_id={id_}")
        assert (answer["code"], answer["data"]) == (404, None)
        if profile == "exact":
            assert (answer["status"], answer["message"]) == (200, "success")


# -- update --------------------------------------------------------------------------------------------------------


def test_what_is_not_sent_stays(api: API, add: Any, server: ScriptedMCPServer, profile: str):
    made = add(headers={"X": "${v}"}, variables={"v": "1"}, description="d")
    server.tools = [ECHO | {"name": "other"}]
    changed = ask(api, "update", {"mcp_id": made["id"], "name": "new"})["data"]
    assert set(changed) == RECORD
    assert changed["variables"] == {"v": "1", "tools": {"other": ECHO | {"name": "other"}}}
    unchanged = {"id", "tenant_id", "url", "server_type", "description", "headers", "create_time", "create_date"}
    assert {key: changed[key] for key in unchanged} == {key: made[key] for key in unchanged}
    assert changed["name"] == "new"
    changed = ask(api, "update", {"mcp_id": made["id"], "headers": {}, "variables": {"w": "2"}, "description": ""})
    assert changed["data"]["headers"] == {}
    assert set(changed["data"]["variables"]) == {"w", "tools"}


def test_the_rules_of_update_in_order(api: API, other: API, add: Any, profile: str):
    foreign = add("theirs", client=other)["id"]
    mine = add()["id"]
    add("taken")
    assert refusal(ask(api, "update", {})) == (101, "required argument are missing: mcp_id; ")
    for id_ in (foreign, NOBODYS, "x", "\0", 5, None):
        message = f"Cannot find MCP server {id_} for user {api.tenant.pk}"
        assert refusal(ask(api, "update", {"mcp_id": id_, "server_type": "x"})) == (102, message)
    for fields, message in [
        ({"server_type": "x", "name": ""}, "Unsupported MCP server type."),
        ({"name": "", "url": "x"}, LONG.format(0)),
        ({"url": "x"}, "Invalid url."),
    ]:
        assert refusal(ask(api, "update", {"mcp_id": mine} | fields)) == (102, message)
    assert ask(api, "update", {"mcp_id": mine, "name": "Taken"})["data"]["name"] == "Taken"  # as the contract has it
    assert refusal(ask(api, "update", {"mcp_id": mine, "headers": {"Host": "x"}}))[0] == 102


def test_tools_that_are_known_stay_while_the_server_does_not_answer(api: API, add: Any, server: ScriptedMCPServer):
    made = add()
    server.faults["tools/list"] = Fault(status=500)
    changed = ask(api, "update", {"mcp_id": made["id"], "description": "x"})["data"]
    assert changed["variables"]["tools"] == {"echo": ECHO}
    changed = ask(api, "update", {"mcp_id": made["id"], "url": f"{server.url}/elsewhere"})["data"]
    assert changed["variables"]["tools"] == {}


def test_tools_that_are_switched_off_stay_so(api: API, add: Any):
    made = add()
    ask(api, "cache_tools", {"mcp_id": made["id"], "tools": [ECHO | {"enabled": False}]})
    changed = ask(api, "update", {"mcp_id": made["id"], "description": "x"})["data"]
    assert changed["variables"]["tools"]["echo"]["enabled"] is False


# -- rm ------------------------------------------------------------------------------------------------------------


def test_servers_are_deleted(api: API, other: API, add: Any, profile: str):
    foreign = add("theirs", client=other)["id"]
    mine = [add(name)["id"] for name in "abc"]
    assert refusal(ask(api, "rm", {})) == (101, "required argument are missing: mcp_ids; ")
    for ids in ([], [foreign], [NOBODYS], ["\0"], ["x"]):
        assert refusal(ask(api, "rm", {"mcp_ids": ids})) == (102, f"Failed to delete MCP servers {ids}")
    assert MCPServer.objects.count() == 4
    many = [f"{number:032x}" for number in range(10_000)]
    answer = ask(api, "rm", {"mcp_ids": [*many, mine[0], mine[0], foreign, mine[1]]})
    assert (answer["code"], answer["message"], answer["data"]) == (0, "success", True)
    assert set(MCPServer.objects.values_list("pk", flat=True)) == {foreign, mine[2]}
    assert sorted(AuditEntry.objects.get(action="delete", object_kind="MCP server").detail["ids"]) == sorted(mine[:2])


# -- import and export ---------------------------------------------------------------------------------------------


def test_servers_are_imported(api: API, add: Any, server: ScriptedMCPServer, profile: str):
    add("Tools")
    add("tools_0")
    entries: dict[str, Any] = {
        "tools": {"type": HTTP, "url": server.url, TOKEN: "t"},
        "new": {"type": SSE, "url": server.sse_url},
        "a": {"type": SSE},
        "b": {"url": "x"},
        "c": "x",
        "d": {"type": "x", "url": server.url},
        "e": {"type": SSE, "url": "x"},
        "": {"type": SSE, "url": server.sse_url},
        "x" * 256: {"type": SSE, "url": server.sse_url},
        "n\0": {"type": SSE, "url": server.sse_url},
        "f": {"type": SSE, "url": server.sse_url, TOKEN: 5},
    }
    answer = ask(api, "import", {"mcpServers": entries})
    assert answer["code"] == 0
    results = answer["data"]["results"]
    assert [result["server"] for result in results] == list(entries)
    renamed, new, *failed, number = results
    assert (renamed["success"], renamed["action"], renamed["new_name"]) == (True, "created", "tools_1")
    assert "tools_1" in renamed["message"]
    assert new == {"server": "new", "success": True, "action": "created", "id": new["id"], "new_name": "new"}
    messages = [result["message"] for result in failed]
    assert messages[:3] == ["Missing required fields (type or url)"] * 3
    assert messages[3:7] == ["Unsupported MCP server type.", "Invalid url.", LONG.format(0), LONG.format(256)]
    assert all(set(result) == {"server", "success", "message"} and not result["success"] for result in failed)
    assert "NUL" in messages[7]
    assert number["success"]
    stored = ask(api, "detail", query=f"?mcp_id={renamed['id']}")["data"]
    assert stored["headers"] == {"Authorization": "Bearer ${authorization_token}"}
    assert stored["variables"] == {TOKEN: "t", "tools": {"echo": ECHO}}
    assert "Bearer t" in {each.headers.get("authorization") for each in server.requests}


def test_a_taken_name_that_has_no_room_for_a_number(api: API, add: Any, server: ScriptedMCPServer):
    add("x" * 254)
    (result,) = ask(api, "import", {"mcpServers": {"x" * 254: {"type": HTTP, "url": server.url}}})["data"]["results"]
    assert not result["success"]
    assert "255 bytes" in result["message"]


def test_what_cannot_be_imported(api: API, profile: str):
    assert refusal(ask(api, "import", {})) == (101, "required argument are missing: mcpServers; ")
    for nothing in ({}, None, [], ""):
        assert refusal(ask(api, "import", {"mcpServers": nothing})) == (102, "No MCP servers provided.")
    for wrong in ([1], "x", 5):
        answer = ask(api, "import", {"mcpServers": wrong})
        assert answer["code"] in (100, 101)
        assert "mcpServers" in answer["message"]
    many = {str(number): {"type": SSE, "url": "http://x"} for number in range(101)}
    assert refusal(ask(api, "import", {"mcpServers": many}))[0] == 102
    assert not MCPServer.objects.exists()


def test_what_is_exported_can_be_imported(api: API, other: API, add: Any, server: ScriptedMCPServer, profile: str):
    foreign = add("theirs", client=other)["id"]
    entry = {"type": HTTP, "url": server.url, TOKEN: "t"}
    (imported,) = ask(api, "import", {"mcpServers": {"mine": entry}})["data"]["results"]
    assert refusal(ask(api, "export", {})) == (101, "required argument are missing: mcp_ids; ")
    assert refusal(ask(api, "export", {"mcp_ids": []})) == (102, "No MCP server IDs provided.")
    assert ask(api, "export", {"mcp_ids": [foreign, NOBODYS, "\0"]})["data"] == {"mcpServers": {}}
    exported = ask(api, "export", {"mcp_ids": [foreign, imported["id"], imported["id"]]})["data"]["mcpServers"]
    assert exported == {"mine": entry | {"name": "mine", "tools": {"echo": ECHO}}}
    (copied,) = ask(other, "import", {"mcpServers": exported})["data"]["results"]
    assert ask(other, "export", {"mcp_ids": [copied["id"]]})["data"]["mcpServers"] == exported
    plain = add("plain")["id"]
    assert ask(api, "export", {"mcp_ids": [plain]})["data"]["mcpServers"]["plain"][TOKEN] == ""


# -- tools ---------------------------------------------------------------------------------------------------------


def test_tools_are_listed(api: API, other: API, add: Any, server: ScriptedMCPServer, profile: str):
    foreign = add("theirs", client=other)["id"]
    first, second = add("a")["id"], add("b", server_type=SSE, url=server.sse_url)["id"]
    assert refusal(ask(api, "list_tools", {})) == (101, "required argument are missing: mcp_ids; ")
    assert refusal(ask(api, "list_tools", {"mcp_ids": []})) == (102, "No MCP server IDs provided.")
    assert ask(api, "list_tools", {"mcp_ids": [foreign, NOBODYS]})["data"] == {}
    ask(api, "cache_tools", {"mcp_id": second, "tools": [ECHO | {"enabled": False}]})
    answer = ask(api, "list_tools", {"mcp_ids": [first, second, foreign], "timeout": 5})
    assert answer["data"] == {first: [ECHO | {"enabled": True}], second: [ECHO | {"enabled": False}]}
    server.faults["tools/list"] = Fault(error={"code": -1, "message": "Out of order."})
    code, message = refusal(ask(api, "list_tools", {"mcp_ids": [first, second]}))
    assert code == 102
    assert message.startswith("MCP list tools error: The MCP server at ")
    assert message.endswith(": Out of order.")


def test_a_tool_is_run(api: API, other: API, add: Any, server: ScriptedMCPServer, profile: str):
    foreign, mine = add("theirs", client=other)["id"], add()["id"]
    body = {"mcp_id": mine, "tool_name": "echo", "arguments": {"text": "ü"}}
    answer = ask(api, "test_tool", body)
    assert (answer["code"], answer["data"]) == (0, 'echo {"text": "\\u00fc"}')
    missing = refusal(ask(api, "test_tool", {"mcp_id": mine}))
    assert missing == (101, "required argument are missing: tool_name,arguments; ")
    for id_ in ("", None):
        assert refusal(ask(api, "test_tool", body | {"mcp_id": id_})) == (102, "No MCP server ID provided.")
    for empty in ({"tool_name": ""}, {"arguments": {}}, {"arguments": None}, {"tool_name": None, "mcp_id": foreign}):
        assert refusal(ask(api, "test_tool", body | empty)) == (102, "Require provide tool name and arguments.")
    for id_ in (foreign, NOBODYS, "\0", 5):
        message = f"Cannot find MCP server {id_} for user {api.tenant.pk}"
        assert refusal(ask(api, "test_tool", body | {"mcp_id": id_})) == (102, message)
    for wrong in ({"tool_name": 5}, {"arguments": "x"}, {"arguments": [1]}):
        assert ask(api, "test_tool", body | wrong)["code"] in (100, 101)
    server.faults["tools/call"] = Fault(result={"content": [{"type": "text", "text": "No."}], "isError": True})
    assert ask(api, "test_tool", body)["data"] == "No."
    server.faults["tools/call"] = Fault(error={"code": -32602, "message": "Unknown tool."})
    code, message = refusal(ask(api, "test_tool", body))
    assert code == 102
    assert message.endswith(": Unknown tool.")


def test_tools_are_kept(api: API, other: API, add: Any, profile: str):
    foreign, mine = add("theirs", client=other)["id"], add(variables={"v": "1"})["id"]
    missing = refusal(ask(api, "cache_tools", {"mcp_id": mine}))
    assert missing == (101, "required argument are missing: tools; ")
    assert refusal(ask(api, "cache_tools", {"mcp_id": "", "tools": []})) == (102, "No MCP server ID provided.")
    for id_ in (foreign, NOBODYS, "\0"):
        message = f"Cannot find MCP server {id_} for user {api.tenant.pk}"
        assert refusal(ask(api, "cache_tools", {"mcp_id": id_, "tools": []})) == (102, message)
    tools = [{"name": "a", "enabled": False}, {"name": "b", "more": [1]}, {"no": "name"}, "x", {"name": 5}]
    kept = ask(api, "cache_tools", {"mcp_id": mine, "tools": tools})["data"]
    assert kept == {"a": tools[0], "b": tools[1]}
    assert ask(api, "detail", query=f"?mcp_id={mine}")["data"]["variables"] == {"v": "1", "tools": kept}
    for wrong in ({}, "x", 5, None, [{"name": "a", "x": "y" * (5 << 20)}]):
        answer = ask(api, "cache_tools", {"mcp_id": mine, "tools": wrong})
        assert answer["code"] in (100, 101)
        assert "tools" in answer["message"]


@pytest.mark.parametrize("transport", [HTTP, SSE])
def test_a_server_is_tried(api: API, server: ScriptedMCPServer, profile: str, transport: str):
    body = {
        "url": server.sse_url if transport == SSE else server.url,
        "server_type": transport,
        "headers": {"X-Key": "${k}"},
        "variables": {"k": "v"},
    }
    answer = ask(api, "test_mcp", body)
    assert (answer["code"], answer["data"]) == (0, [ECHO | {"enabled": True}])
    assert {each.headers["x-key"] for each in server.requests} == {"v"}
    assert not MCPServer.objects.exists()
    assert refusal(ask(api, "test_mcp", {})) == (101, "required argument are missing: url,server_type; ")
    assert refusal(ask(api, "test_mcp", body | {"url": "x", "server_type": "x"})) == (102, "Invalid MCP url.")
    assert refusal(ask(api, "test_mcp", body | {"server_type": "x"})) == (102, "Unsupported MCP server type.")
    server.faults["initialize"] = Fault(status=401, raw='{"error": "Who are you?"}')
    code, message = refusal(ask(api, "test_mcp", body))
    assert code == 102
    assert message.startswith("Test MCP error: The MCP server at 127.0.0.1:")
    assert message.endswith("answered with status 401: Who are you?.")
