"""No answer cites what was deleted or switched off: not between two turns, and not while the model speaks."""

from __future__ import annotations

import asyncio

import pytest

from apps.chats import answering
from apps.datasets.engine import doc_store
from ragflow.engine.errors import StoreError
from tests.tools.model_server import Reply

from .conftest import BRIDGE, LIGHTHOUSE

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Tell about the red bridge of Ulm and the lighthouse of Brest"
ANSWER = "Bridge and lighthouse [ID:0][ID:1]."


@pytest.fixture
def facts(api, run_tasks):
    """A dataset of two documents with one chunk each, by what it says: (document, chunk)."""
    dataset = api.create_dataset("facts")["id"]
    uploaded = api.upload(dataset, ("bridge.txt", BRIDGE.encode()), ("lighthouse.txt", LIGHTHOUSE.encode()))
    documents = {document["name"]: document["id"] for document in uploaded}
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": list(documents.values())})
    run_tasks()
    return dataset, documents


@pytest.fixture
def target(provider, facts, create_chat, new_session):
    """Path and session of a chat over the facts."""
    dataset, _ = facts
    chat = create_chat("citing", dataset_ids=[dataset], prompt={"similarity_threshold": 0})["id"]
    return chat, new_session(chat)


def delete_document(api, dataset, document):
    return api.call("DELETE", f"/api/v1/datasets/{dataset}/documents", {"ids": [document]})


def switch_document_off(api, dataset, document):
    return api.call("PUT", f"/api/v1/datasets/{dataset}/documents/{document}", {"enabled": False})


def delete_chunk(api, dataset, document):
    (chunk,) = doc_store().list_chunks(dataset, document, offset=0, limit=9).chunks
    path = f"/api/v1/datasets/{dataset}/documents/{document}/chunks"
    return api.call("DELETE", path, {"chunk_ids": [chunk.id]})


def switch_chunk_off(api, dataset, document):
    (chunk,) = doc_store().list_chunks(dataset, document, offset=0, limit=9).chunks
    path = f"/api/v1/datasets/{dataset}/documents/{document}/chunks/{chunk.id}"
    return api.call("PUT", path, {"available": False})


def delete_dataset(api, dataset, _document):
    return api.call("DELETE", "/api/v1/datasets", {"ids": [dataset]})


WAYS = [delete_document, switch_document_off, delete_chunk, switch_chunk_off]


@pytest.mark.parametrize("withdraw", [*WAYS, delete_dataset])
def test_between_two_turns(asgi, api, provider, facts, target, withdraw):
    dataset, documents = facts
    chat, session = target
    body = {"question": QUESTION, "session_id": session, "stream": False}
    provider.script(Reply(text=ANSWER))
    first = asgi.ask(f"/api/v1/chats/{chat}/completions", body).json["data"]
    assert {chunk["content"] for chunk in first["reference"]["chunks"]} == {BRIDGE, LIGHTHOUSE}
    assert withdraw(api, dataset, documents["bridge.txt"])["code"] == 0
    provider.reset()
    provider.script(Reply(text=QUESTION), Reply(text=ANSWER))  # the conversation as one question, then the answer
    second = asgi.ask(f"/api/v1/chats/{chat}/completions", body).json["data"]
    assert BRIDGE not in str(second)
    if withdraw is delete_dataset:
        assert second["answer"].startswith("Sorry!")
    else:
        assert [chunk["content"] for chunk in second["reference"]["chunks"]] == [LIGHTHOUSE]
        assert second["answer"] == "Bridge and lighthouse [ID:0]."


@pytest.fixture
def withdrawn_meanwhile(asgi, api, provider, facts, monkeypatch):
    """Return a function that asks, and withdraws the bridge when the model has just fallen silent."""
    dataset, documents = facts

    def ask(path, body, withdraw):
        confirm = answering._confirmed

        async def withdraw_first(opened, answer):
            done = await asyncio.to_thread(withdraw, api, dataset, documents["bridge.txt"])
            assert done["code"] == 0
            return await confirm(opened, answer)

        monkeypatch.setattr(answering, "_confirmed", withdraw_first)
        provider.script(Reply(text=f"Well: {ANSWER}"))
        return asgi.ask(path, body)

    return ask


def checked(reference, answer):
    """The bridge's place is empty, the lighthouse's number still means it."""
    chunks = reference["chunks"] if isinstance(reference, dict) else reference
    (left,) = [number for number, chunk in enumerate(chunks) if chunk["content"] == LIGHTHOUSE]
    gone = chunks[1 - left]
    assert (gone["id"], gone["content"], gone["document_id"], gone["document_name"]) == ("", "", "", "")
    assert answer.strip() == f"Well: Bridge and lighthouse [ID:{left}]."
    if isinstance(reference, dict):
        assert [item["doc_name"] for item in reference["doc_aggs"]] == ["lighthouse.txt"]


@pytest.mark.parametrize("withdraw", WAYS)
def test_while_the_model_speaks(withdrawn_meanwhile, target, messages, withdraw):
    chat, session = target
    body = {"question": QUESTION, "session_id": session, "stream": False}
    path = f"/api/v1/chats/{chat}/completions"
    reply = withdrawn_meanwhile(path, body, withdraw)
    checked(reply.json["data"]["reference"], reply.json["data"]["answer"])
    said = messages(chat, session)[-1]
    assert BRIDGE not in str(said)


@pytest.mark.parametrize("stream", [False, True])
def test_while_the_model_speaks_to_openais_clients(withdrawn_meanwhile, target, stream):
    body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], "stream": stream, "reference": True}
    path = f"/api/v1/chats_openai/{target[0]}/chat/completions"
    reply = withdrawn_meanwhile(path, body, delete_document)
    if stream:
        reference = reply.frames[-2]["choices"][0]["delta"]["reference"]
        assert BRIDGE not in str(reference)
        assert LIGHTHOUSE in str(reference)
    else:
        message = reply.json["choices"][0]["message"]
        checked(message["reference"], message["content"])


def test_while_the_model_speaks_in_a_stream(withdrawn_meanwhile, target, messages):
    chat, session = target
    body = {"question": QUESTION, "session_id": session}
    path = f"/api/v1/chats/{chat}/completions"
    reply = withdrawn_meanwhile(path, body, delete_document)
    assert BRIDGE not in str(reply.frames[-2]["data"]["reference"])
    said = messages(chat, session)[-1]
    assert said["content"].count("[ID:") == 1  # what is kept cites what is there


def test_while_an_ask_is_answered(withdrawn_meanwhile, facts, target):
    body = {"question": QUESTION, "dataset_ids": [facts[0]]}
    reply = withdrawn_meanwhile("/api/v1/sessions/ask", body, delete_document)
    final = reply.frames[-2]["data"]["reference"]
    assert BRIDGE not in str(final)
    assert LIGHTHOUSE in str(final)


def test_a_store_that_is_away_does_not_cost_the_answer(asgi, provider, target, monkeypatch, caplog):
    def away(*_args):
        raise StoreError("The store is away.")

    monkeypatch.setattr(type(doc_store()), "still_available", away)
    provider.script(Reply(text=ANSWER))
    body = {"question": QUESTION, "session_id": target[1], "stream": False}
    assert asgi.ask(f"/api/v1/chats/{target[0]}/completions", body).json["data"]["answer"] == ANSWER
    assert "could not be confirmed" in caplog.text
