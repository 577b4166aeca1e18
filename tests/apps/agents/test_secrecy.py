"""Headers, variables and tokens for MCP servers are readable nowhere but by their owner."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts import services
from apps.accounts.models import AuditEntry
from apps.agents.models import MCPServer
from tests.apps.accounts.test_secrecy import dump, everything_logged
from tests.apps.conftest import API
from tests.tools.mcp_server import Fault, ScriptedMCPServer

from .conftest import HTTP, SSE, ask

pytestmark = pytest.mark.django_db(transaction=True)

PLANTED = "planted-secret-of-a-server"

__all__ = ["everything_logged"]


def test_a_secret_is_in_no_log_or_table_or_failure(
    api: API, add: Any, server: ScriptedMCPServer, everything_logged: pytest.LogCaptureFixture, profile: str
):
    headers, variables = {"Authorization": "Bearer ${key}", "X-Plain": f"{PLANTED}-2"}, {"key": PLANTED}
    id_ = add(headers=headers, variables=variables)["id"]
    add("events", server_type=SSE, url=server.sse_url, headers=headers, variables=variables)
    entry = {"type": HTTP, "url": server.url, "authorization_token": PLANTED}
    ask(api, "import", {"mcpServers": {"imported": entry}})
    said = []
    for words in (f"The key Bearer {PLANTED} is wrong", f"{PLANTED}-2 is wrong"):
        for fault in (Fault(status=401, raw=words), Fault(error={"code": -1, "message": words})):
            server.faults = {"tools/list": fault, "tools/call": fault}
            said.append(ask(api, "list_tools", {"mcp_ids": [id_]}))
            said.append(ask(api, "test_tool", {"mcp_id": id_, "tool_name": "echo", "arguments": {"a": 1}}))
            ask(api, "update", {"mcp_id": id_, "name": "renamed"})
    server.faults = {"tools/list": Fault(raw="no JSON")}
    said.append(ask(api, "list_tools", {"mcp_ids": [id_]}))
    ask(api, "update", {"mcp_id": id_, "headers": {"X": f"{PLANTED}\n"}})
    ask(api, "cache_tools", {"mcp_id": id_, "tools": []})
    ask(api, "rm", {"mcp_ids": [id_]})
    assert f"Bearer {PLANTED}" in {each.headers.get("authorization") for each in server.requests}
    everywhere = str(said) + dump() + everything_logged.text + repr(list(MCPServer.objects.all()))
    assert "is wrong" in everywhere
    assert PLANTED not in everywhere
    actions = AuditEntry.objects.filter(object_kind="MCP server").values_list("action", flat=True)
    assert set(actions) == {"create", "update", "delete"}


def test_secrets_survive_a_new_secret_key(api: API, add: Any, settings: Any):
    made = add(headers={"X": "${v}"}, variables={"v": PLANTED})
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the new secret key of this installation"
    call_command("rotate_keys", stdout=StringIO())
    settings.SECRET_KEY_FALLBACKS = []
    row = MCPServer.objects.get()
    assert (row.headers, row.variables) == (made["headers"], made["variables"])


def test_secrets_that_cannot_be_read_any_more_are_none(api: API, add: Any, settings: Any):
    made = add(headers={"X": "${v}"}, variables={"v": PLANTED})
    settings.SECRET_KEY = "another secret key"
    token = services.create_token(tenant=api.tenant).secret
    shown = ask(API(token), "detail", query=f"?mcp_id={made['id']}")["data"]
    assert (shown["headers"], shown["variables"]) == ({}, {})


class TestAdminPages:
    PATH = "/admin/agents/mcpserver/"

    @pytest.fixture
    def browser(self, db: None) -> Client:
        browser = Client()
        browser.force_login(services.create_account(email="operator@example.org", password="x", is_operator=True))
        return browser

    def test_they_name_what_there_is_and_show_no_secret(self, browser: Client, add: Any, server: ScriptedMCPServer):
        url = f"http://user:{PLANTED}@127.0.0.1:{server.port}/mcp?key={PLANTED}"
        id_ = add("weather", url=url, headers={"X-Key": PLANTED}, variables={"region": PLANTED})["id"]
        pages = [browser.get(f"{self.PATH}{rest}") for rest in ("", "?q=weath", f"{id_}/change/", f"{id_}/history/")]
        pages.append(browser.get(f"{self.PATH}{id_}/delete/"))
        for page in pages:
            assert page.status_code == 200
            assert "weather" in page.content.decode()
            assert PLANTED not in page.content.decode()
        shown = pages[2].content.decode()
        for text in (f"http://127.0.0.1:{server.port}/mcp", "X-Key", "region", "echo", HTTP):
            assert text in shown

    def test_servers_are_looked_at_and_deleted_there(self, browser: Client, add: Any):
        id_ = add()["id"]
        assert browser.get(f"{self.PATH}add/").status_code == 403
        assert browser.post(f"{self.PATH}{id_}/change/", {"name": "forged"}).status_code == 403
        assert browser.post(f"{self.PATH}{id_}/delete/", {"post": "yes"}).status_code == 302
        assert not MCPServer.objects.exists()
        assert AuditEntry.objects.filter(action="delete", object_kind="MCP server", object_id=id_).exists()

    def test_a_list_costs_the_same_queries_for_any_number(self, browser: Client, add: Any):
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                assert browser.get(self.PATH).status_code == 200
            return len(captured)

        add("one")
        queries()
        few = queries()
        for number in range(4):
            add(str(number))
        assert queries() == few <= 12
