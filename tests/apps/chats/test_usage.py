"""Every token that a tenant's models take is counted: with the model, in the metrics, and with the answer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connections

from apps.accounts import language_models
from apps.accounts.models import TenantModel
from apps.accounts.usage import count_spent, write
from apps.chats.models import Message
from apps.core.crypto import encrypt
from ragflow.engine.calls import Spent
from ragflow.engine.registry import HASHING, ModelSettings
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Usage
from tests.apps.test_metrics import value
from tests.tools.model_server import ModelServer, Reply

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
TEXT = b"The red bridge of Ulm was built in 1903 by the engineer Clara Nord."
EMBEDDING = "text-embedding-3-small@OpenAI"
HELP = {"keyword": True, "cross_languages": ["German"], "reasoning": True, "empty_response": ""}
FURTHER = Reply(endpoint="chat", text="1. the red bridge of Ulm\n2. built by the engineer Clara Nord")


@pytest.fixture
def server(settings: Any, engine: None):
    with ModelServer() as server:
        settings.PROVIDER_URLS = {"OpenAI": server.url}
        settings.MODELS = ModelSettings(embedding_model=HASHING, private_hosts=frozenset({"*"}))
        language_models.registry.reset()
        yield server


@pytest.fixture
def rows(api: Any, server: ModelServer) -> dict[str, TenantModel]:
    """The tenant's own models, which are its defaults."""
    api.tenant.chat_model, api.tenant.embedding_model = "gpt-4o@OpenAI", EMBEDDING
    api.tenant.save()
    names = {"chat": "gpt-4o", "embedding": "text-embedding-3-small"}
    return {
        type_: TenantModel.objects.create(
            tenant=api.tenant, provider="OpenAI", name=name, type=type_, encrypted_key=encrypt("k")
        )
        for type_, name in names.items()
    }


@pytest.fixture
def dataset(api: Any, rows: Any, run_tasks: Any) -> str:
    dataset = api.create_dataset("facts", embedding_model=EMBEDDING)["id"]
    (document,) = api.upload(dataset, ("facts.txt", TEXT))
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document["id"]]})
    run_tasks()
    return dataset


def taken(server: ModelServer, path: str) -> int:
    return sum(exchange.tokens for exchange in server.exchanges if exchange.path.endswith(path))


def check(server: ModelServer, rows: dict[str, TenantModel]) -> None:
    """Compare what the rows say with what the provider said, as soon as it is written."""
    expected = {"chat": taken(server, "/chat/completions"), "embedding": taken(server, "/embeddings")}
    deadline = time.monotonic() + 10
    while (found := counted(rows)) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == expected


def counted(rows: dict[str, TenantModel]) -> dict[str, int]:
    found = {type_: TenantModel.objects.get(pk=row.pk).used_tokens for type_, row in rows.items()}
    connections.close_all()
    return found


def test_parsing(server, rows, dataset):
    assert taken(server, "/embeddings") > 0
    check(server, rows)


@pytest.mark.parametrize("stream", [True, False])
def test_all_that_a_turn_takes(asgi, server, rows, dataset, create_chat, new_session, stream):
    chat = create_chat(dataset_ids=[dataset], prompt=HELP)["id"]
    session, parsed = new_session(chat), taken(server, "/embeddings")
    server.script(*[FURTHER] * 20)
    for _ in range(2):
        asgi.ask(f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": session, "stream": stream})
    asked = [one for one in server.exchanges if one.path.endswith("/chat/completions")]
    assert len(asked) >= 4 + 5  # translation, keywords, further searches, answer; refined, the second time
    assert taken(server, "/embeddings") > parsed
    check(server, rows)
    answers = Message.objects.filter(role="assistant", pair_id__isnull=False)
    assert sum(answer.tokens for answer in answers) == sum(one.tokens for one in server.exchanges) - parsed


def test_a_question_to_rows(asgi, api, server, rows, run_tasks, create_chat, new_session):
    dataset = api.create_dataset("rows", chunk_method="table", embedding_model=EMBEDDING)["id"]
    (document,) = api.upload(dataset, ("rows.csv", b"product,price\nMouse,79"))
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document["id"]]})
    run_tasks()
    server.script(Reply(endpoint="chat", text="SELECT product FROM spreadsheet"))
    chat = create_chat(dataset_ids=[dataset])["id"]
    body = {"question": "Which products?", "session_id": new_session(chat), "stream": False}
    assert "Mouse" in asgi.ask(f"/api/v1/chats/{chat}/completions", body).json["data"]["answer"]
    check(server, rows)
    assert Message.objects.get(pair_id__isnull=False, role="assistant").tokens == taken(server, "/chat/completions")


def test_what_is_not_kept(asgi, page, api, server, rows, dataset):
    asgi.ask("/api/v1/sessions/ask", {"question": QUESTION, "dataset_ids": [dataset]})
    asgi.ask("/api/v1/sessions/related_questions", {"question": QUESTION})
    page.ask("/api/v1/searchbots/mindmap", {"question": QUESTION, "kb_ids": [dataset]})
    page.ask("/api/v1/searchbots/retrieval_test", {"question": QUESTION, "kb_id": dataset, "keyword": True})
    asgi.ask("/api/v1/openai/embeddings", {"model": EMBEDDING, "input": ["one two", "three"]})
    api.call("POST", "/api/v1/retrieval", {"question": QUESTION, "dataset_ids": [dataset], "keyword": True})
    assert len([one for one in server.exchanges if one.path.endswith("/chat/completions")]) == 5
    check(server, rows)


def test_a_provider_that_reports_nothing_is_estimated(asgi, server, rows):
    server.script(Reply(endpoint="embeddings", usage=False))
    asgi.ask("/api/v1/openai/embeddings", {"model": EMBEDDING, "input": "wonderful bridges"})
    server.exchanges[-1].tokens = count_tokens("wonderful bridges")
    check(server, rows)


def test_metrics(asgi, server, rows, dataset):
    before = {kind: value("ragflow_tokens_total", kind=kind, direction="prompt") for kind in rows}
    asked = {"chat": taken(server, "/chat/completions"), "embedding": taken(server, "/embeddings")}
    asgi.ask("/api/v1/openai/embeddings", {"model": EMBEDDING, "input": "one two"})
    assert value("ragflow_tokens_total", kind="embedding", direction="prompt") == before["embedding"] + 2
    asgi.ask("/api/v1/sessions/related_questions", {"question": QUESTION})
    assert value("ragflow_tokens_total", kind="chat", direction="prompt") > before["chat"]
    assert asked != {"chat": taken(server, "/chat/completions"), "embedding": taken(server, "/embeddings")}


def test_what_could_not_be_written_is_written_later(rows, monkeypatch):
    from django.db import DatabaseError

    def locked(*_args, **_options):
        raise DatabaseError("locked")

    with monkeypatch.context() as patched:
        patched.setattr("apps.accounts.usage.transaction.atomic", locked)
        count_spent(Spent("chat", "gpt-4o@OpenAI", rows["chat"].pk, Usage(3, 4)))
        write()
    write()
    assert counted(rows)["chat"] == 7
