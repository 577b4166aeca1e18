"""One tenant that has one of everything, and the ids by which generated requests find it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from apps.accounts import services
from apps.accounts.models import Tenant
from apps.accounts.services.sessions import start_session
from apps.accounts.services.tokens import create_share_token, create_token
from tests.apps.accounts.conftest import fast_hashing
from tests.apps.conftest import API, form
from tests.apps.generated.sending import Send, undone

__all__ = ["fast_hashing"]

TEXT = b"The quick brown fox jumps over the lazy dog."


@dataclass
class World:
    api: API
    authorizations: dict[str, str]  # by the name of the security scheme
    known: dict[str, str] = field(default_factory=dict)

    def ids_for(self, path: str) -> dict[str, str]:
        """Return what exists by the name of the parameter; a plain `id` is of what the path lists."""
        names = {"datasets": "dataset_id", "documents": "document_id", "chats": "chat_id", "sessions": "session_id"}
        what = names.get(path.rsplit("/", 1)[-1])
        return self.known | ({"id": self.known[what]} if what else {})

    def headers(self, schemes: frozenset[str]) -> dict[str, str]:
        """Return credentials for an operation that takes those of these security schemes."""
        names = [name for name in self.authorizations if name in schemes]
        return {"Authorization": self.authorizations[names[0]]} if names else {}


@pytest.fixture
def world(db: None, run_tasks: Callable[[], int]) -> World:
    user = services.create_account(email="root@example.org", password="correct horse", is_operator=True)
    tenant = Tenant.objects.get(pk=user.pk)
    token = create_token(tenant=tenant, created_by=user)
    api = API(token.secret, tenant)
    session_token = start_session(user=user).token
    authorizations = {
        "APIToken": f"Bearer {token.secret}",
        "SessionToken": session_token,
        "AdminSession": session_token,
        "ShareToken": f"Bearer {create_share_token(tenant=tenant, api_token=token.token).secret}",
    }

    def made(method: str, path: str, body: Any, authorization: str = "APIToken") -> Any:
        answer = api.call(method, path, body, headers={"Authorization": authorizations[authorization]})
        assert answer["code"] == 0, answer
        return answer["data"]

    dataset = api.create_dataset("facts")["id"]
    (document,) = [row["id"] for row in api.upload(dataset, ("fox.txt", TEXT))]
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document]})
    run_tasks()
    chunk = made("GET", f"/api/v1/datasets/{dataset}/documents/{document}/chunks", None)["chunks"][0]["id"]
    chat = made("POST", "/api/v1/chats", {"name": "helper", "dataset_ids": [dataset]})["id"]
    session = made("POST", f"/api/v1/chats/{chat}/sessions", {"name": "talk"})["id"]
    search = made("POST", "/v1/search/create", {"name": "search", "description": ""}, "SessionToken")["search_id"]
    folder = made("POST", "/api/v1/file/create", {"name": "folder", "type": "folder"})["id"]
    uploaded = api.send(
        "POST", "/api/v1/file/upload", form(("file", "a.txt", TEXT)), "multipart/form-data; boundary=----boundary"
    )
    known = {
        "dataset_id": dataset,
        "document_id": document,
        "chunk_id": chunk,
        "chat_id": chat,
        "session_id": session,
        "search_id": search,
        "file_id": uploaded["data"][0]["id"],
        "parent_id": folder,
        "tenant_id": tenant.pk,
        "user_id": user.pk,
        "username": user.email,
        "email": user.email,
    }
    known |= {f"{name}s": known[name] for name in list(known)}
    for other, name in {
        "kb_id": "dataset_id",
        "kb_ids": "dataset_id",
        "knowledge_id": "dataset_id",
        "doc_id": "document_id",
        "doc_ids": "document_id",
        "dialog_id": "chat_id",
        "dialog_ids": "chat_id",
        "conversation_id": "session_id",
        "src_file_ids": "file_id",
        "dest_file_id": "parent_id",
    }.items():
        known[other] = known[name]
    return World(api, authorizations, known)


@pytest.fixture
def ordinary(db: None) -> Send:
    """Return a function that sends a request to the ordinary half and rolls back what it changes."""
    client = Client(raise_request_exception=False)
    return lambda request: undone(client, request)


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What was logged as an error since the list was last emptied."""
    handler = _Complaints()
    names = ("", "apps", "ragflow", "django", "django.request")
    loggers = [logging.getLogger(name) for name in names]
    added = [logger for logger in loggers if not logger.propagate or logger.name == "root"]
    for logger in added:
        logger.addHandler(handler)
    yield handler.said
    for logger in added:
        logger.removeHandler(handler)
