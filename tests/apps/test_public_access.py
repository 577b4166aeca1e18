"""Every route of the public API (`/api/v1/...`) that takes API tokens against every kind of caller.

What the answers to strangers look like is pinned elsewhere; here nobody gets in who must not, and nothing changes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import Membership, User
from apps.accounts.services.sessions import start_session
from apps.chats.models import Assistant, Session
from apps.chats.urls import urlpatterns as chat_routes
from apps.core.principal import Scope
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.urls import urlpatterns as dataset_routes
from apps.documents.models import Document, File
from apps.documents.urls import urlpatterns as document_routes
from ragflow.streaming import ROUTERS, STREAMING_PATHS
from tests.apps.accounts.conftest import Web
from tests.apps.conftest import API, BOUNDARY, form
from tests.tools.asgi import Exchange

pytestmark = pytest.mark.django_db(transaction=True)

READ, WRITE, CHAT = Scope.READ, Scope.WRITE, Scope.CHAT
UPLOAD = b""  # stands for a form with a file
SECRET = "the secret fox"
BY_SHARE_TOKEN = ("api/v1/chatbots/", "api/v1/searchbots/")
DATASET, DOCUMENT = "api/v1/datasets/{dataset}", "api/v1/datasets/{dataset}/documents/{document}"
ASKED = {"model": "{chat}", "messages": [{"role": "user", "content": "fox"}], "stream": False}

# Requests about `{dataset}`, `{document}`, `{chunk}`, `{file}`, `{chat}` and `{session}` of the owner.
ROUTES: dict[tuple[str, str], tuple[Scope, str, Any]] = {
    ("GET", "api/v1/datasets"): (READ, "?id={dataset}", None),
    ("POST", "api/v1/datasets"): (WRITE, "", {"name": "made"}),
    ("DELETE", "api/v1/datasets"): (WRITE, "", {"ids": ["{dataset}"]}),
    ("PUT", DATASET): (WRITE, "", {"name": "changed"}),
    ("GET", f"{DATASET}/documents"): (READ, "", None),
    ("POST", f"{DATASET}/documents"): (WRITE, "", UPLOAD),
    ("DELETE", f"{DATASET}/documents"): (WRITE, "", {"ids": ["{document}"]}),
    ("GET", DOCUMENT): (READ, "", None),
    ("PUT", DOCUMENT): (WRITE, "", {"name": "changed.txt"}),
    ("POST", f"{DATASET}/chunks"): (WRITE, "", {"document_ids": ["{document}"]}),
    ("DELETE", f"{DATASET}/chunks"): (WRITE, "", {"document_ids": ["{document}"]}),
    ("GET", f"{DOCUMENT}/chunks"): (READ, "", None),
    ("POST", f"{DOCUMENT}/chunks"): (WRITE, "", {"content": "made"}),
    ("DELETE", f"{DOCUMENT}/chunks"): (WRITE, "", {"chunk_ids": ["{chunk}"]}),
    ("PUT", f"{DOCUMENT}/chunks/{{chunk}}"): (WRITE, "", {"content": "changed"}),
    ("GET", f"{DATASET}/metadata/summary"): (READ, "", None),
    ("POST", f"{DATASET}/metadata/update"): (WRITE, "", {"updates": [{"key": "a", "value": "b"}]}),
    ("POST", "api/v1/retrieval"): (READ, "", {"dataset_ids": ["{dataset}"], "question": "fox"}),
    ("POST", "api/v1/dify/retrieval"): (READ, "", {"knowledge_id": "{dataset}", "query": "fox"}),
    ("POST", "api/v1/file/upload"): (WRITE, "", UPLOAD),
    ("POST", "api/v1/file/create"): (WRITE, "", {"name": "made", "type": "folder", "parent_id": "{folder}"}),
    ("GET", "api/v1/file/list"): (READ, "?parent_id={folder}", None),
    ("GET", "api/v1/file/root_folder"): (READ, "", None),
    ("GET", "api/v1/file/parent_folder"): (READ, "?file_id={file}", None),
    ("GET", "api/v1/file/all_parent_folder"): (READ, "?file_id={file}", None),
    ("POST", "api/v1/file/rm"): (WRITE, "", {"file_ids": ["{file}"]}),
    ("POST", "api/v1/file/rename"): (WRITE, "", {"file_id": "{file}", "name": "changed.txt"}),
    ("POST", "api/v1/file/mv"): (WRITE, "", {"src_file_ids": ["{file}"], "dest_file_id": "{folder}"}),
    ("POST", "api/v1/file/convert"): (WRITE, "", {"file_ids": ["{file}"], "kb_ids": ["{dataset}"]}),
    ("GET", "api/v1/file/get/{file}"): (READ, "", None),
    ("GET", "api/v1/file/download/{file}"): (READ, "", None),
    ("GET", "api/v1/chats"): (READ, "?id={chat}", None),
    ("POST", "api/v1/chats"): (WRITE, "", {"name": "made", "dataset_ids": ["{dataset}"]}),
    ("DELETE", "api/v1/chats"): (WRITE, "", {"ids": ["{chat}"]}),
    ("PUT", "api/v1/chats/{chat}"): (WRITE, "", {"name": "changed"}),
    ("GET", "api/v1/chats/{chat}/sessions"): (CHAT, "", None),
    ("POST", "api/v1/chats/{chat}/sessions"): (CHAT, "", {"name": "made"}),
    ("DELETE", "api/v1/chats/{chat}/sessions"): (CHAT, "", {"ids": ["{session}"]}),
    ("PUT", "api/v1/chats/{chat}/sessions/{session}"): (CHAT, "", {"name": "changed"}),
    ("POST", "api/v1/chats/{chat}/completions"): (CHAT, "", {"question": "fox", "stream": False}),
    ("POST", "api/v1/sessions/ask"): (CHAT, "", {"question": "fox", "dataset_ids": ["{dataset}"]}),
    ("POST", "api/v1/sessions/related_questions"): (CHAT, "", {"question": "fox"}),
    ("POST", "api/v1/chats_openai/{chat}/chat/completions"): (CHAT, "", ASKED),
    ("POST", "api/v1/openai/{chat}/chat/completions"): (CHAT, "", ASKED),
    ("POST", "api/v1/openai/chat/completions"): (CHAT, "", ASKED),
    ("POST", "api/v1/chat/completions"): (CHAT, "", ASKED),
    ("GET", "api/v1/openai/models"): (CHAT, "", None),
    ("GET", "api/v1/openai/models/{chat}"): (CHAT, "", None),
    ("POST", "api/v1/openai/embeddings"): (CHAT, "", {"model": "hash-1024@Builtin", "input": "fox"}),
    ("POST", "api/v1/sequence2txt"): (CHAT, "", UPLOAD),
    ("POST", "api/v1/tts"): (CHAT, "", {"text": "fox"}),
}
NAMES_NOBODY = {  # requests that are about the caller's own things, whoever that is
    ("POST", "api/v1/datasets"),
    ("POST", "api/v1/file/upload"),
    ("GET", "api/v1/file/root_folder"),
    ("POST", "api/v1/sessions/related_questions"),
    ("GET", "api/v1/openai/models"),
    ("POST", "api/v1/openai/embeddings"),
    ("POST", "api/v1/sequence2txt"),
    ("POST", "api/v1/tts"),
}
SHARED = ("api/v1/datasets", "api/v1/retrieval", "api/v1/dify/retrieval")
ALSO_FOR_VIEWERS = {("POST", "api/v1/chats"), ("POST", "api/v1/sessions/ask")}  # over a dataset that is shared
WITHOUT_EFFECT = {  # here: there is no such attachment, nothing to stop, and no model that hears or speaks
    ("GET", "api/v1/file/download/{file}"),
    ("DELETE", f"{DATASET}/chunks"),
    ("POST", "api/v1/sequence2txt"),
    ("POST", "api/v1/tts"),
}
ABOUT_THE_OWNER = [route for route in ROUTES if route not in NAMES_NOBODY]


@dataclass
class Answer:
    status: int
    text: str

    @property
    def is_success(self) -> bool:
        """Tell whether somebody was served. Files and OpenAI's and Dify's answers have no envelope, streams many."""
        try:
            code = json.loads(self.text.removeprefix("data:").split("\n\n")[0]).get("code", 0)
        except ValueError:
            code = 0
        return self.status == 200 and code == 0


@dataclass
class World:
    owner: API
    names: dict[str, str]

    def ask(self, header: str, route: tuple[str, str]) -> Answer:
        (method, path), (_, query, body) = route, ROUTES[route]
        content, type_ = b"", "application/json"
        if body is UPLOAD:
            content, type_ = form(("file", "a.txt", b"x")), f"multipart/form-data; boundary={BOUNDARY}"
        elif body is not None:
            content = json.dumps(self._filled_in(body)).encode()
        path, query = f"/{self._filled_in(path)}", self._filled_in(query)
        if STREAMING_PATHS.fullmatch(path):
            headers = {"Content-Type": type_} | ({"Authorization": header} if header else {})
            return asyncio.run(_streamed(path, method, headers, content))
        response = Web(header).send(method, path + query, content, type_)
        return Answer(response.status_code, b"".join(response).decode())

    def _filled_in(self, value: Any) -> Any:
        text = json.dumps(value)
        for name, id_ in self.names.items():
            text = text.replace(f"{{{name}}}", id_)
        return json.loads(text)

    def token(self, **fields: Any) -> str:
        assert self.owner.tenant
        return f"Bearer {accounts.create_token(tenant=self.owner.tenant, **fields).secret}"

    def snapshot(self) -> Any:
        """What is the owner's."""
        assert self.owner.tenant
        tenant = self.owner.tenant.pk
        return (
            list(KnowledgeBase.objects.filter(tenant=tenant).order_by("pk").values()),
            list(Document.objects.filter(dataset__tenant=tenant).order_by("pk").values()),
            list(File.objects.filter(tenant=tenant).order_by("pk").values()),
            list(Assistant.objects.filter(tenant=tenant).order_by("pk").values()),
            list(Session.objects.filter(assistant__tenant=tenant).order_by("pk").values()),
            doc_store().list_chunks(self.names["dataset"], self.names["document"], offset=0, limit=9),
        )


async def _streamed(path: str, method: str, headers: dict[str, str], content: bytes) -> Answer:
    from ragflow.asgi import application

    exchange = await Exchange(application, path, method=method, headers=headers, body=(content,)).start().finish()
    return Answer(exchange.status, exchange.content.decode())


@pytest.fixture
def world(api: API, run_tasks: Callable[[], int]) -> World:
    dataset = api.create_dataset("theirs")["id"]
    (document,) = (row["id"] for row in api.upload(dataset, ("f.txt", SECRET.encode())))
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document]})
    run_tasks()
    chunk = doc_store().list_chunks(dataset, document, offset=0, limit=1).chunks[0].id
    sent = form(("file", "s.txt", SECRET.encode()))
    file = api.send("POST", "/api/v1/file/upload", sent, f"multipart/form-data; boundary={BOUNDARY}")["data"][0]
    folder = {"name": "f", "type": "folder", "parent_id": file["parent_id"]}
    chat = api.call("POST", "/api/v1/chats", {"name": "theirs", "dataset_ids": [dataset]})["data"]["id"]
    session = api.call("POST", f"/api/v1/chats/{chat}/sessions", {"name": "theirs"})["data"]["id"]
    return World(
        api,
        {
            "dataset": dataset,
            "document": document,
            "chunk": chunk,
            "file": file["id"],
            "folder": api.call("POST", "/api/v1/file/create", folder)["data"]["id"],
            "chat": chat,
            "session": session,
        },
    )


def header_of(client: API) -> str:
    return str(client.defaults["HTTP_AUTHORIZATION"])


def plain(path: str) -> str:
    """Return a path with a mark in place of each parameter."""
    parts = path.strip("/").split("/")
    return "/".join("*" if part.startswith(("<", "{")) else part for part in parts)


def test_no_route_is_missing_here():
    patterns = (*dataset_routes, *document_routes, *chat_routes)
    routed = {
        (method.upper(), plain(str(pattern.pattern)))
        for pattern in patterns
        for method in pattern.callback.actions
        if method != "head"
    } | {
        (method, plain(path))
        for router in ROUTERS
        for path, view in router.path_operations.items()
        for operation in view.operations
        for method in operation.methods
    }
    public = {route for route in routed if route[1].startswith("api/") and not route[1].startswith(BY_SHARE_TOKEN)}
    assert public == {(method, plain(path)) for method, path in ROUTES}


def test_nobody_enters_without_good_credentials(world: World):
    assert world.owner.tenant
    revoked = accounts.create_token(tenant=world.owner.tenant)
    accounts.revoke_token(token=revoked.token)
    login = start_session(user=User.objects.get(pk=world.owner.tenant.pk)).token
    shared = world.owner.call("POST", "/v1/system/new_token")["data"]["beta"]
    callers = {
        "anonymous": "",
        "unknown": "Bearer ragflow-unknown",
        "expired": world.token(expires_at=timezone.now() - timedelta(seconds=1)),
        "revoked": f"Bearer {revoked.secret}",
        "a login, which is for the web API": login,
        "a login as bearer": f"Bearer {login}",
        "a share token": f"Bearer {shared}",
    }
    before = world.snapshot()
    for route in ROUTES:
        for kind, header in callers.items():
            answer = world.ask(header, route)
            assert answer.status in {401, 403}, (route, kind, answer)
            assert SECRET not in answer.text
    good = world.token()
    User.objects.filter(pk=world.owner.tenant.pk).update(is_active=False)
    for route in ROUTES:
        assert world.ask(good, route).status in {401, 403}, route
    assert world.snapshot() == before


@pytest.mark.parametrize("is_operator", [False, True])
def test_other_tenants_reach_nothing(world: World, other: API, is_operator: bool):
    """An administrator of the installation, too, works in the administration and not with other people's data."""
    assert other.tenant
    User.objects.filter(pk=other.tenant.pk).update(is_superuser=is_operator, is_staff=is_operator)
    before = world.snapshot()
    for route in ABOUT_THE_OWNER:
        answer = world.ask(header_of(other), route)
        assert not answer.is_success, (route, answer)
        assert SECRET not in answer.text
        assert world.snapshot() == before, route


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_without_the_scope(world: World, scope: Scope):
    before = world.snapshot()
    header = world.token(scopes=[scope])
    for route, (needed, _, _) in ROUTES.items():
        if needed is not scope:
            answer = world.ask(header, route)
            assert answer.status == 403, (route, answer)
            assert f"`{needed}`" in answer.text
            assert world.snapshot() == before, route


@pytest.mark.parametrize("limit", ["dataset_ids", "assistant_ids", "both"])
def test_a_token_limited_to_something_else(world: World, limit: str):
    dataset = world.owner.create_dataset("named")["id"]
    chat = world.owner.call("POST", "/api/v1/chats", {"name": "named"})["data"]["id"]
    limits = {"dataset_ids": [dataset], "assistant_ids": [chat]}
    before = world.snapshot()
    header = world.token(scopes=[READ, WRITE, CHAT], **(limits if limit == "both" else {limit: limits[limit]}))
    for route in ABOUT_THE_OWNER:
        if "/file/" in route[1]:
            continue  # files belong to no dataset
        answer = world.ask(header, route)
        assert not answer.is_success, (route, answer)
        assert SECRET not in answer.text
        assert world.snapshot() == before, route


def test_a_viewer_of_the_team(world: World, other: API):
    """Viewers read datasets and documents; chats, files and what was uploaded are their owner's."""
    assert other.tenant
    Membership.objects.create(tenant=world.owner.tenant, user_id=other.tenant.pk, role="viewer")
    before = world.snapshot()
    for route in ABOUT_THE_OWNER:
        answer = world.ask(header_of(other), route)
        is_shared = route[1].startswith(SHARED) and route != ("GET", DOCUMENT)
        may = (is_shared and ROUTES[route][0] is READ) or route in ALSO_FOR_VIEWERS
        assert answer.is_success is may, (route, answer)
        assert world.snapshot() == before, route


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_the_owners_token_with_the_scope_alone(world: World, route: tuple[str, str]):
    answer = world.ask(world.token(scopes=[ROUTES[route][0]]), route)
    assert answer.status not in {401, 403}, answer
    assert answer.is_success is (route not in WITHOUT_EFFECT), answer
