"""Every route of the web API for datasets, documents, chunks and dialogs against every kind of caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from apps.accounts import services as accounts
from apps.accounts.models import Membership, Tenant, User
from apps.accounts.services.sessions import start_session
from apps.chats.models import Assistant
from apps.chats.streams.trials import router as trials
from apps.chats.urls import urlpatterns as chat_routes
from apps.core.principal import Scope
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.urls import urlpatterns as dataset_routes
from apps.documents.models import Document
from apps.documents.urls import urlpatterns as document_routes
from tests.apps.accounts.conftest import Web
from tests.apps.conftest import API, BOUNDARY, form

pytestmark = pytest.mark.django_db(transaction=True)

READ, WRITE = Scope.READ, Scope.WRITE
FILE = b"file"  # stands for a form with a file

# Requests about somebody's `{dataset}`, `{document}`, `{chunk}` and `{dialog}`.
ROUTES: dict[tuple[str, str], tuple[Scope, str, Any]] = {
    ("POST", "kb/create"): (WRITE, "", {"name": "made"}),
    ("POST", "kb/update"): (WRITE, "", {"kb_id": "{dataset}", "name": "x", "description": "", "parser_id": "naive"}),
    ("POST", "kb/list"): (READ, "", None),
    ("GET", "kb/detail"): (READ, "?kb_id={dataset}", None),
    ("POST", "kb/rm"): (WRITE, "", {"kb_id": "{dataset}"}),
    ("POST", "kb/update_metadata_setting"): (WRITE, "", {"kb_id": "{dataset}", "metadata": {}}),
    ("POST", "document/upload"): (WRITE, "", FILE),
    ("POST", "document/create"): (WRITE, "", {"kb_id": "{dataset}", "name": "made.txt"}),
    ("POST", "document/list"): (READ, "?kb_id={dataset}", None),
    ("POST", "document/filter"): (READ, "", {"kb_id": "{dataset}"}),
    ("POST", "document/infos"): (READ, "", {"doc_ids": ["{document}"]}),
    ("POST", "document/run"): (WRITE, "", {"doc_ids": ["{document}"], "run": "1"}),
    ("POST", "document/rm"): (WRITE, "", {"doc_id": ["{document}"]}),
    ("POST", "document/change_status"): (WRITE, "", {"doc_ids": ["{document}"], "status": "0"}),
    ("POST", "document/rename"): (WRITE, "", {"doc_id": "{document}", "name": "x.txt"}),
    ("POST", "document/set_meta"): (WRITE, "", {"doc_id": "{document}", "meta": "{{}}"}),
    ("POST", "document/update_metadata_setting"): (WRITE, "", {"doc_id": "{document}", "metadata": {}}),
    ("POST", "chunk/create"): (WRITE, "", {"doc_id": "{document}", "content_with_weight": "made"}),
    ("POST", "chunk/list"): (READ, "", {"doc_id": "{document}"}),
    ("GET", "chunk/get"): (READ, "?chunk_id={chunk}", None),
    ("POST", "chunk/set"): (WRITE, "", {"doc_id": "{document}", "chunk_id": "{chunk}", "content_with_weight": "x"}),
    ("POST", "chunk/rm"): (WRITE, "", {"doc_id": "{document}", "chunk_ids": ["{chunk}"]}),
    ("POST", "chunk/switch"): (WRITE, "", {"doc_id": "{document}", "chunk_ids": ["{chunk}"], "available_int": 0}),
    ("POST", "chunk/retrieval_test"): (READ, "", {"kb_id": ["{dataset}"], "question": "secret"}),
    ("POST", "dialog/set"): (WRITE, "", {"dialog_id": "{dialog}", "prompt_config": {"system": "x"}}),
    ("GET", "dialog/get"): (READ, "?dialog_id={dialog}", None),
    ("GET", "dialog/list"): (READ, "", None),
    ("POST", "dialog/next"): (READ, "", None),
    ("POST", "dialog/rm"): (WRITE, "", {"dialog_ids": ["{dialog}"]}),
}
ABOUT_NOBODY = {("POST", "kb/create"), ("POST", "kb/list"), ("GET", "dialog/list"), ("POST", "dialog/next")}
ABOUT_THE_OWNER = {route for route in ROUTES if route[1].startswith(("dialog/", "kb/")) and ROUTES[route][0] is WRITE}


def filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    if isinstance(value, dict):
        return {key: filled_in(item, names) for key, item in value.items()}
    return value


class Caller(Web):
    """Somebody with a whole `Authorization` header, or none."""

    def request_of(self, route: tuple[str, str], names: dict[str, str], *, empty: bool = False) -> dict[str, Any]:
        method, path = route
        _, query, body = ROUTES[route]
        type_ = "application/json"
        content = b"" if empty or body is None or body is FILE else orjson.dumps(filled_in(body, names))
        if body is FILE and not empty:
            content = form(("file", "a.txt", b"x"), ("kb_id", None, names["dataset"].encode()))
            type_ = f"multipart/form-data; boundary={BOUNDARY}"
        response = self.send(method, f"/v1/{path}{query.format(**names)}", content, type_)
        return orjson.loads(response.content) | {"status": response.status_code}


@dataclass
class World:
    owner: API
    names: dict[str, str]

    def snapshot(self) -> list[Any]:
        place = self.names["dataset"], self.names["document"]
        return [
            list(KnowledgeBase.objects.filter(pk=place[0]).values()),
            list(Document.objects.filter(dataset=place[0]).values()),
            doc_store().list_chunks(*place, offset=0, limit=9),
            list(Assistant.objects.filter(pk=self.names["dialog"]).values()),
        ]


@pytest.fixture
def world(api: API, run_tasks: Callable[[], int]) -> World:
    dataset = api.create_dataset("theirs")["id"]
    (document,) = (row["id"] for row in api.upload(dataset, ("f.txt", b"The secret fox.")))
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document]})
    run_tasks()
    chunk = doc_store().list_chunks(dataset, document, offset=0, limit=1).chunks[0].id
    made = {"name": "theirs", "kb_ids": [dataset], "prompt_config": {"system": "x"}}
    dialog = api.call("POST", "/v1/dialog/set", made)["data"]["id"]
    return World(api, {"dataset": dataset, "document": document, "chunk": chunk, "dialog": dialog})


def session_of(tenant: Tenant | None) -> str:
    assert tenant is not None
    return start_session(user=User.objects.get(pk=tenant.pk)).token


def test_no_route_is_missing_here():
    routed = {
        (method.upper(), str(pattern.pattern).removeprefix("v1/"))
        for pattern in (*dataset_routes, *document_routes, *chat_routes)
        for method in pattern.callback.actions
        if (pattern.name or "").startswith("web-") and method != "head"
    }
    trial = {("POST", path.removeprefix("/v1/")) for path in trials.path_operations}
    assert routed | trial == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_nobody_enters_without_good_credentials(world: World, profile: str, route):
    before = world.snapshot()
    revoked = accounts.create_token(tenant=world.owner.tenant)
    accounts.revoke_token(token=revoked.token)
    for header in ("", "unknown", "Bearer unknown", "Bearer ", f"Bearer {revoked.secret}"):
        answers = [Caller(header).request_of(route, world.names)]
        if route != ("POST", "dialog/set"):  # which looks at the body first
            answers.append(Caller(header).request_of(route, world.names, empty=True))
        for answer in answers:
            assert (answer["status"], answer["code"], answer["data"]) == (401, 401, None), header
            assert answer["message"] == "<Unauthorized '401: Unauthorized'>"
    assert world.snapshot() == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
@pytest.mark.parametrize("kind", ["session", "token"])
def test_the_owner_may_do_everything(world: World, route, kind):
    header = session_of(world.owner.tenant) if kind == "session" else world.owner.defaults["HTTP_AUTHORIZATION"]
    answer = Caller(header).request_of(route, world.names)
    assert (answer["code"], answer["status"], answer["message"]) == (0, 200, "success")


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in ABOUT_NOBODY], ids=lambda route: route[1])
def test_other_tenants_reach_nothing(world: World, other: API, profile: str, route):
    before = world.snapshot()
    answer = Caller(session_of(other.tenant)).request_of(route, world.names)
    assert answer["code"] != 0
    assert "secret" not in str(answer)
    nobodys = {name: "f" * len(id_) for name, id_ in world.names.items()}
    unknown = Caller(session_of(other.tenant)).request_of(route, nobodys)
    shown = {id_: "f" * len(id_) for id_ in world.names.values()}
    assert unknown == {key: _replaced(value, shown) for key, value in answer.items()}  # told apart by nothing
    assert world.snapshot() == before


def _replaced(value: Any, shown: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_replaced(key, shown): _replaced(item, shown) for key, item in value.items()}
    if isinstance(value, str):
        for id_, other_id in shown.items():
            value = value.replace(id_, other_id)
    return value


@pytest.mark.parametrize("route", sorted(ABOUT_NOBODY), ids=lambda route: route[1])
def test_lists_hold_nothing_of_other_tenants(world: World, other: API, route):
    answer = Caller(session_of(other.tenant)).request_of(route, world.names)
    assert answer["code"] == 0
    assert world.names["dataset"] not in str(answer)
    assert world.names["dialog"] not in str(answer)


@pytest.mark.parametrize("role", ["viewer", "editor"])
@pytest.mark.parametrize("route", [route for route in ROUTES if route not in ABOUT_NOBODY], ids=lambda route: route[1])
def test_members_of_a_team(world: World, other: API, role, route):
    """Members read what is shared; editors change documents and chunks; datasets and dialogs are their owner's."""
    Membership.objects.create(tenant=world.owner.tenant, user_id=other.tenant.pk, role=role)
    before = world.snapshot()
    answer = Caller(session_of(other.tenant)).request_of(route, world.names)
    may = not route[1].startswith("dialog/") and (
        ROUTES[route][0] is READ or (role == "editor" and route not in ABOUT_THE_OWNER)
    )
    assert (answer["code"] == 0) is may, answer
    if not may or ROUTES[route][0] is READ:
        assert world.snapshot() == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
@pytest.mark.parametrize("scope", [READ, WRITE])
def test_a_scope_opens_what_needs_it(world: World, route, scope):
    token = accounts.create_token(tenant=world.owner.tenant, scopes=[scope]).secret
    answer = Caller(f"Bearer {token}").request_of(route, world.names)
    if scope is ROUTES[route][0]:
        assert answer["code"] == 0
    else:
        assert (answer["code"], answer["status"]) == (108, 403)


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in ABOUT_NOBODY], ids=lambda route: route[1])
@pytest.mark.parametrize("limit", ["dataset_ids", "assistant_ids"])
def test_a_narrowed_token_reaches_what_it_names(world: World, route, limit):
    dataset = world.owner.create_dataset("named")["id"]
    dialog = world.owner.call("POST", "/v1/dialog/set", {"name": "named", "prompt_config": {}})["data"]["id"]
    limits = {"dataset_ids": [dataset], "assistant_ids": [dialog]}
    token = accounts.create_token(tenant=world.owner.tenant, **{limit: limits[limit]}).secret
    before = world.snapshot()
    assert Caller(f"Bearer {token}").request_of(route, world.names)["code"] != 0
    assert world.snapshot() == before


@pytest.mark.parametrize("route", sorted(ABOUT_NOBODY), ids=lambda route: route[1])
@pytest.mark.parametrize("limits", [{"dataset_ids": ["f" * 32]}, {"assistant_ids": ["f" * 32]}], ids=str)
def test_lists_hold_nothing_that_a_token_does_not_reach(world: World, route, limits):
    token = accounts.create_token(tenant=world.owner.tenant, **limits).secret
    answer = str(Caller(f"Bearer {token}").request_of(route, world.names))
    assert world.names["dataset"] not in answer
    assert world.names["dialog"] not in answer


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_wrong_methods_and_options(world: World, route):
    caller, path = Caller(), f"/v1/{route[1]}"
    refused = orjson.loads(caller.send("PATCH", path).content)
    assert refused["message"] == "<MethodNotAllowed '405: Method Not Allowed'>"
    options = caller.send("OPTIONS", path)
    assert (options.status_code, options.content) == (200, b"")
    assert route[0] in options.headers["Allow"]
