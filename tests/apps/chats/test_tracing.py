"""Finished turns are reported to Langfuse, where a tenant has stored keys, and an answer never waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from apps.accounts.models import LangfuseKeys
from apps.chats import tracing
from apps.core.crypto import encrypt
from tests.apps.chats.conftest import ASGI, BRIDGE
from tests.tools.langfuse_server import PUBLIC_KEY, SECRET_KEY, LangfuseServer
from tests.tools.model_server import ModelServer, Reply

QUESTION = "Who built the red bridge?"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def langfuse(api: Any, settings: Any, provider: ModelServer) -> Iterator[LangfuseServer]:
    settings.MODELS = replace(settings.MODELS, private_hosts=frozenset({"*"}))
    with LangfuseServer() as server:
        store(api, server.url)
        yield server


def store(client: Any, url: str) -> None:
    LangfuseKeys.objects.create(
        tenant=client.tenant, host=url, public_key=PUBLIC_KEY, encrypted_secret_key=encrypt(SECRET_KEY)
    )


async def settled() -> None:
    """Wait until nothing is being sent any more."""
    while tracing._unsent:
        await asyncio.wait(list(tracing._unsent))


async def ask(asgi: ASGI, path: str, body: dict[str, Any]) -> Any:
    reply = await asgi.answer(path, {"question": QUESTION, "stream": False, **body})
    assert reply.status == 200, reply.body
    await settled()
    return reply


async def test_a_turn_is_one_trace_with_its_generation(asgi, provider, langfuse, chat, session):
    provider.script(Reply(endpoint="chat", text="Clara Nord [ID:0].", reasoning="Hm."))
    await ask(asgi, f"/api/v1/chats/{chat}/completions", {"session_id": session})
    first, second = langfuse.batches.get_nowait()
    assert (first["type"], second["type"]) == ("trace-create", "generation-create")
    assert first["id"] != second["id"]
    trace, generation = first["body"], second["body"]
    assert (trace["name"], trace["sessionId"], trace["metadata"]["chat_id"]) == ("chat", session, chat)
    assert (trace["input"], trace["output"]) == (QUESTION, "Clara Nord [ID:0].")
    assert trace["metadata"]["documents"] == ["facts.txt"]
    assert (generation["traceId"], generation["model"]) == (trace["id"], "scripted@OpenAI")
    system, *_, question = generation["input"]
    assert system["role"] == "system"
    assert BRIDGE in system["content"]
    assert question == {"role": "user", "content": QUESTION}
    assert (generation["output"], generation["metadata"]["thoughts"]) == ("Clara Nord [ID:0].", "Hm.")
    assert generation["modelParameters"]["temperature"] == 0.1
    usage = generation["usage"]
    assert usage["total"] == usage["input"] + usage["output"] > 0
    assert datetime.fromisoformat(generation["startTime"]) < datetime.fromisoformat(generation["endTime"])
    assert langfuse.batches.empty()


async def test_whoever_asks_and_however(asgi, api, chat, dataset, langfuse):
    body = {"model": "x", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    await ask(asgi, f"/api/v1/chats_openai/{chat}/chat/completions", body)
    await ask(asgi, "/api/v1/sessions/ask", {"dataset_ids": [dataset]})
    names = [(trace["body"]["name"], trace["body"]["sessionId"]) for trace, _ in list(langfuse.batches.queue)]
    assert names == [("chat", None), ("ask", None)]


async def test_what_no_model_answered_has_no_generation(asgi, create_chat, dataset, langfuse, new_session):
    prompt = {"empty_response": "Nothing.", "similarity_threshold": 1.0}
    chat = (await asyncio.to_thread(create_chat, "strict", dataset_ids=[dataset], prompt=prompt))["id"]
    session = await asyncio.to_thread(new_session, chat)
    await ask(asgi, f"/api/v1/chats/{chat}/completions", {"session_id": session})
    (trace,) = langfuse.batches.get_nowait()
    assert (trace["type"], trace["body"]["output"]) == ("trace-create", "Nothing.")


async def test_only_whose_keys_they_are(asgi, stranger, other, fill, create_chat, new_session, langfuse):
    chat = (await asyncio.to_thread(create_chat, "theirs", other))["id"]
    session = await asyncio.to_thread(new_session, chat, other)
    await ask(stranger, f"/api/v1/chats/{chat}/completions", {"session_id": session})
    assert langfuse.batches.empty()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, {"message": SECRET_KEY}), "the keys were refused"),
        ((500, {}), "it answered with status 500"),
        ((207, {"successes": [], "errors": [{"id": "1", "status": 400}]}), "1 of 2 events were not taken"),
    ],
)
async def test_a_refusal_is_in_the_log_and_nowhere_else(asgi, chat, session, langfuse, caplog, answer, reason):
    langfuse.answer = answer
    with caplog.at_level(logging.WARNING, logger="apps"):
        reply = await ask(asgi, f"/api/v1/chats/{chat}/completions", {"session_id": session})
    assert reply.json["code"] == 0
    assert f"A turn was not reported to Langfuse at {langfuse.url}: {reason}." in caplog.text
    assert SECRET_KEY not in caplog.text


async def test_a_server_that_is_away_costs_no_answer(asgi, chat, session, langfuse, caplog):
    langfuse.__exit__()
    try:
        with caplog.at_level(logging.WARNING, logger="apps"):
            reply = await ask(asgi, f"/api/v1/chats/{chat}/completions", {"session_id": session})
    finally:
        langfuse.__enter__()
    assert reply.json["code"] == 0
    assert "the connection failed" in caplog.text


async def test_answers_do_not_wait_and_few_reports_do(asgi, chat, session, langfuse, caplog, monkeypatch):
    monkeypatch.setattr(tracing, "MOST_UNSENT_OF_PROJECT", 2)
    langfuse.gate.clear()
    path, body = f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": session, "stream": False}
    with caplog.at_level(logging.WARNING, logger="apps"):
        for _ in range(3):
            assert (await asgi.answer(path, body)).json["code"] == 0
    assert len(tracing._unsent) == 2
    assert caplog.text.count("too many others wait") == 1
    langfuse.gate.set()
    await settled()
    assert langfuse.batches.qsize() == 2


async def test_an_answer_that_failed_is_not_reported(asgi, provider, langfuse, chat, session):
    provider.script(*(Reply(endpoint="chat", status=401) for _ in range(3)))
    reply = await asgi.answer(
        f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": session, "stream": False}
    )
    assert b"**ERROR**" in reply.body
    await settled()
    assert langfuse.batches.empty()
