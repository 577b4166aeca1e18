"""The websocket for parse progress: who may open it, and what it tells."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.utils import timezone

from apps.accounts.models import APIToken, User
from apps.documents import consumers
from apps.documents.models import Document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.02)


@pytest.fixture
def dataset(api: Any) -> dict[str, Any]:
    return api.create_dataset("papers")


@pytest.fixture
def document(api: Any, dataset: dict[str, Any]) -> Document:
    uploaded = api.upload(dataset["id"], ("a.txt", b"words"))
    return Document.objects.get(pk=uploaded[0]["id"])


def socket(dataset_id: str, *, query: str = "", **headers: str) -> WebsocketCommunicator:
    from ragflow.asgi import application

    sent = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()]
    return WebsocketCommunicator(application, f"/ws/datasets/{dataset_id}/progress{query}", headers=sent)


def bearer(client: Any) -> str:
    return client.defaults["HTTP_AUTHORIZATION"]


async def documents_from(connection: WebsocketCommunicator) -> list[dict[str, Any]]:
    return orjson.loads(await connection.receive_from(timeout=10))["documents"]


async def test_it_sends_what_changes(api: Any, dataset: dict[str, Any], document: Document) -> None:
    connection = socket(dataset["id"], Authorization=bearer(api))
    assert (await connection.connect())[0]
    assert [row["run"] for row in await documents_from(connection)] == ["UNSTART"]

    document.state, document.progress, document.progress_message = Document.State.RUNNING, 0.25, "Reading"
    await document.asave()
    assert await documents_from(connection) == [
        {
            "id": document.pk,
            "name": "a.txt",
            "run": "RUNNING",
            "progress": 0.25,
            "progress_msg": "Reading",
            "process_duration": 0.0,
            "chunk_count": 0,
            "token_count": 0,
        }
    ]
    assert await connection.receive_nothing(0.1)  # said once

    document.state, document.progress, document.chunk_count = Document.State.DONE, 1, 3
    await document.asave()
    assert [(row["run"], row["chunk_count"]) for row in await documents_from(connection)] == [("DONE", 3)]
    await connection.disconnect()


async def test_it_begins_with_what_is_being_parsed(api: Any, dataset: dict[str, Any], document: Document) -> None:
    document.state = Document.State.RUNNING
    await document.asave()
    connection = socket(dataset["id"], query="?token=" + bearer(api).split()[1])
    assert (await connection.connect())[0]
    assert [row["run"] for row in await documents_from(connection)] == ["RUNNING"]
    await connection.disconnect()


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ragflow-unknown"])
async def test_bad_credentials_are_refused(dataset: dict[str, Any], header: str) -> None:
    connection = socket(dataset["id"], **({"Authorization": header} if header else {}))
    assert await connection.connect() == (False, consumers.UNAUTHORIZED)


async def test_a_foreign_dataset_does_not_exist(other: Any, dataset: dict[str, Any]) -> None:
    connection = socket(dataset["id"], Authorization=bearer(other))
    assert await connection.connect() == (False, consumers.NOT_FOUND)


async def test_it_closes_when_the_dataset_is_deleted(api: Any, dataset: dict[str, Any]) -> None:
    connection = socket(dataset["id"], Authorization=bearer(api))
    assert (await connection.connect())[0]
    await sync_to_async(api.call)("DELETE", "/api/v1/datasets", {"ids": [dataset["id"]]})
    assert await connection.receive_output(timeout=10) == {
        "type": "websocket.close",
        "code": consumers.NOT_FOUND,
    }


async def test_it_closes_when_the_token_is_revoked(
    api: Any, dataset: dict[str, Any], document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "ADMIT_SECONDS", 0.0)
    connection = socket(dataset["id"], Authorization=bearer(api))
    assert (await connection.connect())[0]
    await documents_from(connection)
    await APIToken.objects.filter(tenant=api.tenant).aupdate(revoked_at=timezone.now())
    assert await connection.receive_output(timeout=10) == {
        "type": "websocket.close",
        "code": consumers.UNAUTHORIZED,
    }


@pytest.mark.parametrize(
    ("origin", "accepted"), [("http://localhost", True), ("http://evil.example", False), ("", False)]
)
async def test_a_session_counts_only_on_this_site(
    api: Any, dataset: dict[str, Any], origin: str, accepted: bool
) -> None:
    cookie = await sync_to_async(_cookie_of)(api.tenant.pk)
    headers = {"Cookie": cookie} | ({"Origin": origin} if origin else {})
    connection = socket(dataset["id"], **headers)
    assert (await connection.connect())[0] is accepted
    await connection.disconnect()


async def test_an_unknown_path_is_refused() -> None:
    from ragflow.asgi import application

    assert (await WebsocketCommunicator(application, "/ws/elsewhere").connect())[0] is False


def _cookie_of(user_id: str) -> str:
    browser = Client()
    browser.force_login(User.objects.get(pk=user_id))
    return f"ragflow_session={browser.cookies['ragflow_session'].value}"
