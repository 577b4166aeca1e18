"""What clients get when a model server misbehaves: the table of docs/asking.md, for both forms, streamed and whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from django.db import connections

from apps.accounts import language_models
from apps.chats.models import Assistant, Message
from apps.core.sse import sse_response
from ragflow.engine.llm.openai import OpenAIChatModel
from ragflow.engine.registry import ModelSettings
from ragflow.engine.tokens import count_tokens
from tests.tools.model_server import ModelServer, Reply

from .conftest import BRIDGE

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
END = {"code": 0, "data": True}


@dataclass(frozen=True)
class Fault:
    reply: Reply
    word: str
    said: str = ""  # before it happens


def chat(**reply):
    return Reply(endpoint="chat", **reply)


FAULTS = {
    "429 with Retry-After": Fault(chat(status=429, headers={"Retry-After": "60"}), "RATE_LIMIT_EXCEEDED"),
    "429 quota": Fault(chat(status=429, error_code="insufficient_quota"), "QUOTA_EXCEEDED"),
    "500": Fault(chat(status=500, headers={"Retry-After": "0"}), "SERVER_ERROR"),
    "refused key": Fault(chat(status=401), "AUTH_ERROR"),
    "refused request": Fault(chat(status=400), "INVALID_REQUEST"),
    "hangs before the headers": Fault(chat(hang_after=-1), "TIMEOUT"),
    "hangs before the first word": Fault(chat(hang_after=0), "TIMEOUT"),
    "hangs half way": Fault(chat(text="One two", hang_after=1), "TIMEOUT", "One"),
    "no JSON": Fault(chat(raw="<html>"), "MODEL_ERROR"),
    "broken JSON half way": Fault(
        chat(frames=['{"choices": [{"delta": {"content": "One"}}]}', "{broken"]), "MODEL_ERROR", "One"
    ),
    "half a stream": Fault(chat(text="One two three", cut_after=1), "MODEL_ERROR", "One"),
    "an end without a finish": Fault(chat(text="One", finish_reason=None, done=False), "MODEL_ERROR", "One"),
    "wrong dimension": Fault(Reply(endpoint="embeddings", dimension=32), "MODEL_ERROR"),
}
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@pytest.fixture
def server(request, settings, engine, monkeypatch):
    """A provider of a chat and an embedding model. One that is about to hang is not waited for long."""
    fault = request.node.callspec.params.get("fault") if hasattr(request.node, "callspec") else None
    if fault and fault.word == "TIMEOUT":
        wait = "silence_timeout" if fault.said else "first_token_timeout"
        monkeypatch.setitem(OpenAIChatModel.__init__.__kwdefaults__, wait, 0.3)
    with ModelServer() as server:
        settings.MODELS = ModelSettings(
            api_key="key", base_url=server.url, chat_model="chat@OpenAI", embedding_model="vectors@OpenAI"
        )
        language_models.registry.reset()
        yield server


@pytest.fixture
def failing_chat(server, api, run_tasks, create_chat):
    """The id of a chat over a parsed document."""
    dataset = api.create_dataset("facts")["id"]
    (document,) = api.upload(dataset, ("facts.txt", BRIDGE.encode()))
    api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document["id"]]})
    run_tasks()
    chat = create_chat("failing", dataset_ids=[dataset], prompt={"similarity_threshold": 0})["id"]
    server.reset()
    return chat


@pytest.fixture
def completion(failing_chat, new_session):
    return f"/api/v1/chats/{failing_chat}/completions", {
        "question": QUESTION, "session_id": new_session(failing_chat), "stream": False,
    }  # fmt: skip


@pytest.fixture
def openai(failing_chat):
    return f"/api/v1/chats_openai/{failing_chat}/chat/completions", {
        "model": "m", "messages": [{"role": "user", "content": QUESTION}], "stream": False,
    }  # fmt: skip


@every_fault
def test_one_answer(asgi, server, completion, fault, profile):
    path, body = completion
    server.script(*[fault.reply] * 4)  # attempts included
    reply = asgi.ask(path, body)
    assert (reply.status, reply.json["code"]) == (200, 0)
    data = reply.json["data"]
    assert data["answer"].startswith(f"**ERROR**: {fault.word} - ")
    assert data.keys() >= {"answer", "reference", "audio_binary", "id", "session_id"}
    assert data["reference"] == {}
    assert not Message.objects.filter(role="user").exists()


@every_fault
def test_a_stream(asgi, server, completion, fault, profile):
    path, body = completion
    server.script(*[fault.reply] * 4)
    *deltas, error, end = asgi.ask(path, body | {"stream": True}).frames
    assert "".join(frame["data"]["answer"] for frame in deltas).strip() == fault.said
    assert error["code"] == 500
    assert error["message"].startswith(f"{fault.word} - ")
    assert error["data"] == {"answer": f"**ERROR**: {error['message']}", "reference": []}
    assert end == END
    assert not Message.objects.filter(role="user").exists()


@pytest.fixture(params=["ask", "searchbot", "chatbot"])
def summary(request, failing_chat, asgi, page, new_session):
    """Client, path and body of the other streams."""
    dataset = Assistant.objects.get(pk=failing_chat).dataset_links.get().dataset_id
    return {
        "ask": (asgi, "/api/v1/sessions/ask", {"question": QUESTION, "dataset_ids": [dataset]}),
        "searchbot": (page, "/api/v1/searchbots/ask", {"question": QUESTION, "kb_ids": [dataset]}),
        "chatbot": (page, f"/api/v1/chatbots/{failing_chat}/completions", {
            "question": QUESTION, "session_id": new_session(failing_chat),
        }),
    }[request.param]  # fmt: skip


@every_fault
def test_streams_without_a_session_and_on_pages(server, summary, fault, profile):
    client, path, body = summary
    server.script(*[fault.reply] * 4)
    *deltas, error, end = client.ask(path, body).frames
    assert "".join(frame["data"]["answer"] for frame in deltas).strip() == fault.said
    assert error["code"] == 500
    assert error["message"].startswith(f"{fault.word} - ")
    assert error["data"] == {"answer": f"**ERROR**: {error['message']}", "reference": []}
    assert end == END | {"message": ""}
    assert not Message.objects.filter(role="user").exists()


@every_fault
def test_an_answer_on_a_page(page, server, completion, fault, profile):
    path, body = completion
    server.script(*[fault.reply] * 4)
    reply = page.ask(path.replace("/chats/", "/chatbots/"), body)
    assert (reply.status, reply.json["code"]) == (200, 0)
    assert reply.json["data"]["answer"].startswith(f"**ERROR**: {fault.word} - ")


@every_fault
def test_what_helps_a_page_fails(page, server, failing_chat, fault, profile):
    """Related questions are nothing then; a mind map is an error."""
    dataset = Assistant.objects.get(pk=failing_chat).dataset_links.get().dataset_id
    if fault.reply.endpoint == "chat":
        server.script(*[fault.reply] * 4)
        reply = page.ask("/api/v1/searchbots/related_questions", {"question": QUESTION})
        assert (reply.status, reply.json["code"], reply.json["data"]) == (200, 0, [])
    server.reset()
    server.script(*[fault.reply] * 4)
    reply = page.ask("/api/v1/searchbots/mindmap", {"question": QUESTION, "kb_ids": [dataset]})
    assert (reply.status, reply.json["code"]) == (200 if profile == "exact" else 502, 100)


@every_fault
def test_one_answer_in_openais_form(asgi, server, openai, fault, profile):
    path, body = openai
    server.script(*[fault.reply] * 4)
    reply = asgi.ask(path, body)
    if profile == "exact":
        (choice,) = reply.json["choices"]
        assert choice["message"]["content"].startswith(f"**ERROR**: {fault.word} - ")
    else:
        assert (reply.status, reply.json["code"]) == (502, 100)
        assert reply.json["error"].keys() == {"message", "type", "param", "code"}
        assert (reply.json["error"]["type"], reply.json["error"]["code"]) == ("server_error", fault.word)


@every_fault
def test_a_stream_in_openais_form(asgi, server, openai, fault, profile):
    path, body = openai
    server.script(*[fault.reply] * 4)
    reply = asgi.ask(path, body | {"stream": True})
    if profile == "standard" and not fault.said:
        assert (reply.status, reply.json["error"]["code"]) == (502, fault.word)
        return
    *deltas, told, last, done = reply.frames
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in deltas).strip() == fault.said
    assert told["choices"][0]["delta"]["content"].startswith(f"**ERROR**: {fault.word} - ")
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")


def test_the_wait_that_a_provider_asks_for_reaches_the_client(asgi, server, openai):
    path, body = openai
    server.script(FAULTS["429 with Retry-After"].reply)
    reply = asgi.ask(path, body)
    assert (reply.status, reply.headers["retry-after"]) == (502, "60")


@pytest.mark.parametrize("passing", [chat(status=500), chat(status=429, headers={"Retry-After": "0"})])
def test_a_provider_that_comes_round_is_asked_again(asgi, server, completion, passing):
    path, body = completion
    server.script(passing, passing, chat(text="Nord."))
    assert asgi.ask(path, body).json["data"]["answer"].startswith("Nord.")


# -- silence, deadline, usage --------------------------------------------------------------------------------------


async def test_silence_of_the_model_is_filled(asgi, server, completion, monkeypatch):
    monkeypatch.setitem(sse_response.__kwdefaults__, "heartbeat", 0.05)
    server.script(chat(text="One two", first_delay=0.3))
    path, body = completion
    reply = await asgi.answer(path, body | {"stream": True})
    comments = [block for block in reply.body.split(b"\n\n") if block.startswith(b":")]
    assert comments
    reply.body = b"".join(block + b"\n\n" for block in reply.body.split(b"\n\n")[:-1] if not block.startswith(b":"))
    assert reply.frames[0]["data"]["answer"].strip() == "One"
    assert reply.frames[-1] == END


ENDLESS = chat(pieces=["word "] * 10_000, interval=0.02)


def kept():
    row = Message.objects.filter(role="assistant", interrupted=True).last()
    connections.close_all()
    return row.content if row else ""


async def test_a_stream_has_a_deadline_and_its_part_is_kept(asgi, server, completion, settings):
    settings.ANSWER_SECONDS = 1
    server.script(ENDLESS)
    path, body = completion
    *deltas, error, end = (await asgi.answer(path, body | {"stream": True})).frames
    assert error["message"] == "The answer took longer than 1 seconds."
    assert end == END
    said = "".join(frame["data"]["answer"] for frame in deltas)
    assert said.startswith("word word ")
    assert (await asyncio.to_thread(kept)).startswith("word word ")
    assert await asyncio.to_thread(server.exchanges[-1].ended.wait, 5)
    assert server.exchanges[-1].client_left_after is not None


async def test_a_whole_answer_has_a_deadline_and_its_part_is_kept(asgi, server, completion, settings, profile):
    settings.ANSWER_SECONDS = 1
    server.script(ENDLESS)
    path, body = completion
    reply = await asgi.answer(path, body)
    assert reply.json["code"] == 100
    assert "longer than 1 seconds" in reply.json["message"]
    assert (await asyncio.to_thread(kept)).startswith("word word ")
    assert await asyncio.to_thread(server.exchanges[-1].ended.wait, 5)


@pytest.mark.parametrize("stream", [False, True])
async def test_openais_form_has_a_deadline(asgi, server, openai, settings, stream):
    settings.ANSWER_SECONDS = 1
    server.script(ENDLESS)
    path, body = openai
    reply = await asgi.answer(path, body | {"stream": stream})
    if stream:
        *_, told, _last, done = reply.frames
        assert told["choices"][0]["delta"]["content"] == "**ERROR**: The answer took longer than 1 seconds."
        assert done == "[DONE]"
    else:
        assert (reply.status, reply.json["error"]["type"]) == (502, "server_error")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reports", [True, False])
def test_usage_is_the_providers_or_else_counted(asgi, server, openai, stream, reports):
    server.script(chat(pieces=["wonderful ", "bridges"], usage=reports))
    path, body = openai
    reply = asgi.ask(path, body | {"stream": stream})
    usage = reply.frames[-2]["usage"] if stream else reply.json["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == (2 if reports else count_tokens("wonderful bridges"))


SILENT = chat(hang_after=-1)


@pytest.mark.parametrize(
    ("path", "body", "reply"),
    [
        ("/api/v1/sessions/related_questions", {"question": QUESTION}, SILENT),
        ("/api/v1/openai/embeddings", {"model": "vectors@OpenAI", "input": "x"}, Reply(hang_after=-1)),
    ],
)
async def test_short_answers_have_a_deadline_too(asgi, server, settings, path, body, reply):
    settings.ANSWER_SECONDS = 1
    server.script(reply)
    told = await asgi.answer(path, body)
    assert "longer than 1 seconds" in told.json["message"]
    assert await asyncio.to_thread(server.exchanges[-1].ended.wait, 5)
    assert server.exchanges[-1].client_left_after is not None
