"""Every route of MCP servers against every kind of caller."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import Membership, User
from apps.accounts.services.sessions import start_session
from apps.agents.models import MCPServer
from apps.agents.streams import router
from apps.agents.urls import urlpatterns
from apps.core.principal import Scope
from tests.apps.accounts.conftest import Web
from tests.apps.conftest import API
from tests.tools.mcp_server import ScriptedMCPServer

from .conftest import HTTP

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a secret variable"
TRIAL = ("POST", "test_mcp")

# Requests about somebody's `{id}`, at `{url}`.
ROUTES: dict[tuple[str, str], Any] = {
    ("POST", "list"): {"mcp_ids": ["{id}"]},
    ("GET", "detail"): None,
    ("POST", "create"): {"name": "made", "url": "{url}", "server_type": HTTP},
    ("POST", "update"): {"mcp_id": "{id}", "name": "changed"},
    ("POST", "rm"): {"mcp_ids": ["{id}"]},
    ("POST", "import"): {"mcpServers": {"made": {"type": HTTP, "url": "{url}"}}},
    ("POST", "export"): {"mcp_ids": ["{id}"]},
    ("POST", "list_tools"): {"mcp_ids": ["{id}"]},
    ("POST", "test_tool"): {"mcp_id": "{id}", "tool_name": "echo", "arguments": {"a": 1}},
    ("POST", "cache_tools"): {"mcp_id": "{id}", "tools": []},
    TRIAL: {"url": "{url}", "server_type": HTTP},
}
NAMES_NOBODY = {("POST", "create"), ("POST", "import"), TRIAL}
HAS_NOTHING = {("POST", "list"), ("POST", "export"), ("POST", "list_tools")}  # answers, with nothing of other tenants


@pytest.fixture
def names(add: Any, server: ScriptedMCPServer) -> dict[str, str]:
    id_ = add("theirs", variables={"v": SECRET})["id"]
    server.requests.clear()
    return {"id": id_, "url": server.url}


def send(authorization: str, route: tuple[str, str], names: dict[str, str]) -> dict[str, Any]:
    method, operation = route
    body = orjson.dumps(ROUTES[route]).decode()
    for name, value in names.items():
        body = body.replace(f"{{{name}}}", value)
    query = f"?mcp_id={names['id']}" if operation == "detail" else ""
    response = Web(authorization).send(method, f"/v1/mcp_server/{operation}{query}", body.encode())
    return orjson.loads(response.content) | {"status": response.status_code}


def snapshot() -> list[Any]:
    return list(MCPServer.objects.order_by("pk").values())


def login_of(client: API) -> str:
    return start_session(user=User.objects.get(pk=client.tenant.pk)).token


def test_no_route_is_missing_here():
    ordinary = {
        (method.upper(), str(pattern.pattern).removeprefix("v1/mcp_server/"))
        for pattern in urlpatterns
        for method in pattern.callback.actions
        if method != "head"
    }
    asking = {("POST", path.removeprefix("/v1/mcp_server/")) for path in router.path_operations}
    assert ordinary | asking == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_nobody_enters_without_good_credentials(api: API, server: ScriptedMCPServer, names: Any, profile: str, route):
    before = snapshot()
    revoked = accounts.create_token(tenant=api.tenant)
    accounts.revoke_token(token=revoked.token)
    expired = accounts.create_token(tenant=api.tenant, expires_at=timezone.now() - timedelta(seconds=1)).secret
    for header in ("", "unknown", "Bearer unknown", f"Bearer {revoked.secret}", f"Bearer {expired}"):
        answer = send(header, route, names)
        if route == TRIAL and profile == "exact":  # as the contract has it
            assert answer["code"] == 0
        else:
            assert (answer["status"], answer["code"], answer["data"]) == (401, 401, None), header
            assert answer["message"] == "<Unauthorized '401: Unauthorized'>"
            assert not server.requests
    assert snapshot() == before


@pytest.mark.parametrize("kind", ["login", "token"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_the_owner_may_do_everything(api: API, names: Any, profile: str, route, kind: str):
    answer = send(login_of(api) if kind == "login" else api.defaults["HTTP_AUTHORIZATION"], route, names)
    assert (answer["status"], answer["code"], answer["message"]) == (200, 0, "success")


@pytest.mark.parametrize("role", ["", "viewer", "editor"])
@pytest.mark.parametrize("route", set(ROUTES) - NAMES_NOBODY, ids=lambda route: route[1])
def test_servers_are_their_tenants_alone(
    api: API, other: API, server: ScriptedMCPServer, names: Any, profile: str, route, role: str
):
    """Also for the members of its team."""
    if role:
        Membership.objects.create(tenant=api.tenant, user_id=other.tenant.pk, role=role)
    before = snapshot()
    answer = send(login_of(other), route, names)
    assert (answer["code"] == 0) is (route in HAS_NOTHING)
    unknown = send(login_of(other), route, names | {"id": "f" * 32})
    assert answer == orjson.loads(orjson.dumps(unknown).replace(b"f" * 32, names["id"].encode()))
    assert SECRET not in str(answer)
    assert snapshot() == before
    assert not server.requests


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_tokens_need_the_scope_of_administrators(api: API, server: ScriptedMCPServer, names: Any, route):
    """Servers hold credentials, and what is asked of them goes out from within the network of this server."""
    before = snapshot()
    few = accounts.create_token(tenant=api.tenant, scopes=set(Scope) - {Scope.ADMIN}).secret
    answer = send(f"Bearer {few}", route, names)
    assert (answer["status"], answer["code"]) == (403, 108)
    assert snapshot() == before
    assert not server.requests
    enough = accounts.create_token(tenant=api.tenant, scopes=[Scope.ADMIN]).secret
    assert send(f"Bearer {enough}", route, names)["code"] == 0


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_wrong_methods_and_options(db: None, route):
    path = f"/v1/mcp_server/{route[1]}"
    refused = orjson.loads(Web().send("PATCH", path).content)
    assert refused["message"] == "<MethodNotAllowed '405: Method Not Allowed'>"
    options = Web().send("OPTIONS", path)
    assert (options.status_code, options.content) == (200, b"")
    assert route[0] in options.headers["Allow"]
