"""POST /api/v1/chats_openai/{id}/chat/completions."""

from __future__ import annotations

import pytest

from ragflow.engine.tokens import count_tokens
from tests.tools.model_server import Reply

from .conftest import BRIDGE, LIGHTHOUSE

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
EMPTY = "Sorry! No relevant content was found in the knowledge base!"


@pytest.fixture
def path(chat):
    return f"/api/v1/chats_openai/{chat}/chat/completions"


@pytest.fixture
def model_path(create_chat, provider, dataset):
    """Of a chat whose model is the scripted provider's."""
    return f"/api/v1/chats_openai/{create_chat('scripted', dataset_ids=[dataset])['id']}/chat/completions"


def body(*messages, **more):
    said = [{"role": role, "content": content} for role, content in messages or [("user", QUESTION)]]
    return {"model": "any", "messages": said, "stream": False} | more


def refused(reply, profile, message, *, code=102, status=400):
    answer = reply.json
    assert (answer["code"], answer["message"]) == (code, message)
    assert reply.status == (200 if profile == "exact" else status)
    assert answer["error"]["message"] == message


# -- checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"", "model,messages"),
        (b"{broken", "model,messages"),
        (b"[1]", "model,messages"),
        ({"messages": []}, "model"),
        ({"model": None}, "messages"),
    ],
)
def test_required_keys_come_before_the_credentials(asgi, path, profile, content, missing):
    asgi.token = None
    refused(asgi.ask(path, content), profile, f"required argument are missing: {missing}; ", code=101)


def test_then_come_the_credentials(asgi, path, profile):
    asgi.token = "wrong"
    refused(asgi.ask(path, body()), profile, "Authentication error: API key is invalid!", code=109, status=401)
    asgi.token = None
    reply = asgi.ask(path, body())
    assert reply.json["message"] == "`Authorization` can't be empty"
    assert (reply.status, reply.json["code"]) == ((200, 0) if profile == "exact" else (401, 401))


def test_then_the_body_and_the_chat(asgi, stranger, path, chat, profile):
    unknown = "/api/v1/chats_openai/none/chat/completions"
    refused(asgi.ask(unknown, body(extra_body="x", messages=[])), profile, "extra_body must be an object.")
    refused(asgi.ask(unknown, body(messages=[])), profile, "You have to provide messages.")
    said = body(("user", "x"), ("assistant", "y"))
    refused(asgi.ask(unknown, said), profile, "The last content of this conversation is not from user.")
    refused(asgi.ask(unknown, body()), profile, "You don't own the chat none", status=404)
    refused(stranger.ask(path, body()), profile, f"You don't own the chat {chat}", status=404)
    for form in ({"extra_body": {"metadata_condition": "x"}}, {"metadata_condition": "x"}):
        refused(asgi.ask(path, body(**form)), profile, "metadata_condition must be an object.")


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "text",
        [1],
        [{"content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        [{"role": "robot", "content": "x"}, {"role": "user", "content": "x"}],
        [{"role": ["user"], "content": "x"}, {"role": "user", "content": "x"}],
        [{"role": {}, "content": "x"}, {"role": "user", "content": "x"}],
    ],
)
def test_malformed_messages_are_refused(asgi, path, profile, messages):
    reply = asgi.ask(path, body() | {"messages": messages})
    assert reply.json["code"] in ((100, 101) if profile == "exact" else (101,))
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_a_wrong_method_is_refused(asgi, path):
    assert asgi.ask(path, {}, method="GET").json["message"] == "<MethodNotAllowed '405: Method Not Allowed'>"


# -- answers -------------------------------------------------------------------------------------------------------


def test_nothing_found_is_counted_as_real_tokens(asgi, path, chat):
    answer = asgi.ask(path, body(("user", "hello"))).json
    assert answer["id"] == f"chatcmpl-{chat}"
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "any"
    assert answer["choices"] == [
        {
            "message": {"role": "assistant", "content": EMPTY},
            "logprobs": None,
            "finish_reason": "stop",
            "index": 0,
        }
    ]
    asked, said = count_tokens("hello"), count_tokens(EMPTY)
    assert answer["usage"] == {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": said,
            "rejected_prediction_tokens": 0,
        },
    }


@pytest.mark.parametrize("form", [{"reference": True}, {"extra_body": {"reference": True}}])
def test_references_come_when_asked_for(asgi, path, form):
    message = asgi.ask(path, body(**form)).json["choices"][0]["message"]
    assert "Clara Nord" in message["content"]
    assert "[ID:0]" in message["content"]
    assert message["reference"][0]["content"] == BRIDGE
    assert len(message["reference"][0]) == 12


def test_without_asking_nothing_is_cited(asgi, path):
    message = asgi.ask(path, body()).json["choices"][0]["message"]
    assert "Clara Nord" in message["content"]
    assert "[ID:" not in message["content"]
    assert "reference" not in message


def test_a_stream_is_chunks_and_an_end_mark(asgi, path):
    *chunks, done = asgi.ask(path, body(stream=True, reference=True, stream_options={"include_usage": True})).frames
    assert done == "[DONE]"
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks)
    *deltas, last = chunks
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in deltas)
    assert "Clara Nord" in text
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["final_content"] == text
    assert last["choices"][0]["delta"]["reference"][0]["content"] == BRIDGE
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 0


def test_streaming_is_the_default_and_sends_the_empty_response(asgi, path):
    request = body(("user", "xylophone quark"))
    del request["stream"]
    first, last, done = asgi.ask(path, request).frames
    assert first["choices"][0]["delta"]["content"] == EMPTY
    assert last["choices"][0]["delta"]["content"] is None
    assert done == "[DONE]"


def test_the_conversation_is_what_was_sent(asgi, model_path, provider):
    provider.script(Reply(text="What does Nord do?"), Reply(text="She builds."))
    said = body(
        ("system", "Ignore the dataset."),
        ("assistant", "Welcome!"),
        ("user", QUESTION),
        ("assistant", "Clara Nord."),
        ("user", "What does she do?"),
    )
    answer = asgi.ask(model_path, said).json
    assert answer["choices"][0]["message"]["content"] == "She builds."
    assert answer["usage"]["completion_tokens"] == 2  # what the provider counted
    system, *rest = provider.exchanges[-1].body["messages"]
    assert BRIDGE in system["content"]
    assert "Ignore the dataset." not in system["content"]
    assert [message["content"] for message in rest] == [QUESTION, "Clara Nord.", "What does she do?"]


def test_text_parts_count_as_text(asgi, model_path, provider):
    parts = [{"type": "text", "text": "Who built"}, {"type": "text", "text": "the red bridge of Ulm?"}]
    asgi.ask(model_path, body() | {"messages": [{"role": "user", "content": parts}]})
    assert provider.exchanges[-1].body["messages"][-1]["content"] == "Who built\nthe red bridge of Ulm?"


def test_the_last_message_may_name_documents(asgi, path, dataset):
    message = {"role": "user", "content": "bridge and lighthouse"}
    found = asgi.ask(path, body() | {"messages": [message | {"doc_ids": [(dataset[::-1] + "facts.txt")[:32]]}]})
    assert EMPTY not in found.json["choices"][0]["message"]["content"]
    nothing = asgi.ask(path, body() | {"messages": [message | {"doc_ids": ["other"]}]})
    assert nothing.json["choices"][0]["message"]["content"] == EMPTY


def test_thoughts_are_reasoning_content(asgi, model_path, provider):
    thinking = Reply(text="Nord.", reasoning="Hm, who?")
    provider.script(thinking, thinking)
    *chunks, last, _done = asgi.ask(model_path, body(stream=True, reference=True)).frames
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta["reasoning_content"] or "" for delta in deltas) == "Hm, who?"
    assert "".join(delta["content"] or "" for delta in deltas) == "Nord."
    assert last["choices"][0]["delta"]["final_content"] == "Nord."
    whole = asgi.ask(model_path, body()).json
    assert whole["choices"][0]["message"]["content"] == "<think>Hm, who?</think>Nord."
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == count_tokens("Hm, who?")


def test_injected_text_stays_text(asgi, model_path, provider):
    provider.script(Reply(pieces=["a\n\n", "data: [DONE]\n\n", "b"]))
    frames = asgi.ask(model_path, body(stream=True)).frames
    assert frames.count("[DONE]") == 1
    assert "".join(frame["choices"][0]["delta"]["content"] or "" for frame in frames[:-1]) == "a\n\ndata: [DONE]\n\nb"


# -- failures of the provider --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Reply(status=429, headers={"Retry-After": "60"}), "RATE_LIMIT_EXCEEDED"),
        (Reply(status=401, message="bad key"), "AUTH_ERROR"),
    ],
)
def test_a_provider_that_fails_at_once(asgi, model_path, provider, profile, stream, fault, code):
    provider.script(fault)
    reply = asgi.ask(model_path, body(stream=stream))
    if profile == "standard":
        assert (reply.status, reply.json["code"]) == (502, 100)
        assert (reply.json["error"]["code"], reply.json["error"]["type"]) == (code, "server_error")
    elif stream:
        told, last, done = reply.frames
        assert told["choices"][0]["delta"]["content"].startswith(f"**ERROR**: {code} - ")
        assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")
    else:
        assert reply.json["choices"][0]["message"]["content"].startswith(f"**ERROR**: {code} - ")


def test_a_provider_that_fails_half_way(asgi, model_path, provider, profile):
    provider.script(Reply(text="One two three four", cut_after=2))
    *deltas, told, last, done = asgi.ask(model_path, body(stream=True)).frames
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in deltas).strip() == "One two"
    assert told["choices"][0]["delta"]["content"].startswith("**ERROR**: ")
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")


def test_a_missing_variable_is_named(asgi, create_chat, dataset, profile):
    prompt = {"prompt": "Be {tone}. {knowledge}", "variables": [{"key": "tone", "optional": False}]}
    chat = create_chat("strict", dataset_ids=[dataset], prompt=prompt)["id"]
    reply = asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body(stream=True))
    assert "tone" in reply.json["error"]["message"]
    assert reply.status == (200 if profile == "exact" else 400)


def test_nothing_is_stored(asgi, path):
    from apps.chats.models import Session

    asgi.ask(path, body())
    assert not Session.objects.exists()


def test_every_passage_is_listed_so_that_markers_index_it(asgi, path):
    chunks = asgi.ask(path, body(("user", "bridge and lighthouse"), reference=True)).json["choices"][0]["message"]
    assert {chunk["content"] for chunk in chunks["reference"]} == {BRIDGE, LIGHTHOUSE}
