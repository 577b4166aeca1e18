"""What else OpenAI's clients call: assistants as models, and embeddings."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace

import pytest

from apps.accounts import language_models
from apps.accounts import services as accounts
from apps.core.principal import Scope
from ragflow.engine.registry import HASHING
from ragflow.engine.tokens import count_tokens
from tests.tools.model_server import Reply

from .conftest import ASGI, BRIDGE

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
COMPLETIONS = ["/api/v1/openai/chat/completions", "/api/v1/chat/completions"]
MODELS = "/api/v1/openai/models"
EMBEDDINGS = "/api/v1/openai/embeddings"


def body(model, **more):
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}]} | more


# -- completions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMPLETIONS)
@pytest.mark.parametrize("spell", [lambda chat: chat, lambda _: "assistant", lambda _: "ASSISTANT"])
def test_the_model_names_the_assistant(asgi, chat, path, spell):
    answer = asgi.ask(path, body(spell(chat))).json
    assert "Clara Nord" in answer["choices"][0]["message"]["content"]
    assert answer["model"] == spell(chat)
    assert answer["id"].startswith("chatcmpl-")
    assert answer["id"] != asgi.ask(path, body(chat)).json["id"]


@pytest.mark.parametrize("path", COMPLETIONS)
def test_streams_are_asked_for(asgi, chat, path):
    frames = asgi.ask(path, body("assistant", stream=True, stream_options={"include_usage": True})).frames
    assert frames[-1] == "[DONE]"
    assert {frame["model"] for frame in frames[:-1]} == {"assistant"}
    assert frames[-2]["usage"]["total_tokens"] > 0


def test_the_later_spelling_of_a_chats_completions_is_the_same(asgi, chat):
    old = asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body("any", stream=False)).json
    new = asgi.ask(f"/api/v1/openai/{chat}/chat/completions", body("any", stream=False)).json
    assert old | {"created": 0} == new | {"created": 0}
    assert asgi.ask(f"/api/v1/openai/{chat}/chat/completions", body("any")).is_stream


def test_what_the_model_cannot_do_is_ignored(asgi, chat):
    more = {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "n": 3,
        "response_format": {"type": "json_object"},
        "store": True,
    }
    assert len(asgi.ask(COMPLETIONS[0], body(chat, **more)).json["choices"]) == 1


@pytest.mark.parametrize("model", ["nope", "", None, 5, ["x"], "x\0y"])
def test_an_unknown_model(asgi, chat, model, profile):
    reply = asgi.ask(COMPLETIONS[0], body(model))
    assert reply.status == (200 if profile == "exact" else 404)
    assert reply.json["error"]["code"] == "model_not_found"
    assert reply.json["code"] == 102
    assert "does not exist" in reply.json["error"]["message"]


def test_other_tenants_models_are_unknown(stranger, chat, other, create_chat):
    theirs = create_chat(client=other)["id"]  # of the same name
    assert stranger.ask(COMPLETIONS[0], body(chat)).json["error"]["code"] == "model_not_found"
    assert [model["id"] for model in stranger.ask(MODELS, b"", method="GET").json["data"]] == [theirs]
    assert stranger.ask(f"{MODELS}/{chat}", b"", method="GET").json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", [*COMPLETIONS, "/api/v1/openai/x/chat/completions"])
def test_checks_come_in_order(path, db, profile):
    assert ASGI(None).ask(path, {}).json["message"] == "required argument are missing: model,messages; "
    wrong = ASGI("wrong").ask(path, body("x"))
    assert wrong.json["code"] == 109
    assert wrong.json["error"]["message"] == "Authentication error: API key is invalid!"


def test_they_need_the_scope_to_chat(tenant, chat):
    reader = ASGI(accounts.create_token(tenant=tenant, scopes=[Scope.READ]).secret)
    talker = ASGI(accounts.create_token(tenant=tenant, scopes=[Scope.CHAT]).secret)
    calls = [
        (COMPLETIONS[0], body(chat), "POST"),
        (COMPLETIONS[1], body(chat), "POST"),
        (f"/api/v1/openai/{chat}/chat/completions", body(chat), "POST"),
        (MODELS, b"", "GET"),
        (f"{MODELS}/{chat}", b"", "GET"),
        (EMBEDDINGS, {"model": HASHING, "input": "x"}, "POST"),
    ]
    for path, content, method in calls:
        assert reader.ask(path, content, method).json["code"] == 108, path
        assert talker.ask(path, content, method).status == 200, path


def test_a_failing_provider_is_an_error_of_openais_kind(asgi, create_chat, provider, dataset, settings):
    settings.WIRE_PROFILE = "standard"
    create_chat("scripted", dataset_ids=[dataset])
    provider.script(Reply(status=429, headers={"Retry-After": "60"}))
    reply = asgi.ask(COMPLETIONS[0], body("scripted"))
    assert reply.status == 502
    assert reply.json["error"]["code"] == "RATE_LIMIT_EXCEEDED"


# -- models --------------------------------------------------------------------------------------------------------


def test_models(asgi, chat, create_chat, tenant):
    second = create_chat("second")
    listed = asgi.ask(MODELS, b"", method="GET").json
    assert listed["object"] == "list"
    assert {model["id"] for model in listed["data"]} == {chat, second["id"]}
    one = asgi.ask(f"{MODELS}/second", b"", method="GET").json
    assert one in listed["data"]
    assert one == {
        "id": second["id"],
        "object": "model",
        "created": second["create_time"] // 1000,
        "owned_by": tenant.pk,
        "name": "second",
    }
    assert asgi.ask(f"{MODELS}/{second['id']}", b"", method="GET").json == one


def test_an_id_wins_over_a_name(asgi, create_chat):
    first = create_chat("first")["id"]
    create_chat(first)
    assert asgi.ask(f"{MODELS}/{first}", b"", method="GET").json["name"] == "first"


def test_a_narrowed_token_sees_the_models_it_names(tenant, chat, create_chat):
    create_chat("second")
    narrowed = ASGI(accounts.create_token(tenant=tenant, assistant_ids=[chat]).secret)
    assert [model["id"] for model in narrowed.ask(MODELS, b"", method="GET").json["data"]] == [chat]
    assert narrowed.ask(f"{MODELS}/second", b"", method="GET").json["error"]["code"] == "model_not_found"


# -- embeddings ----------------------------------------------------------------------------------------------------


def vectors(reply):
    assert reply.status == 200, reply.body
    return [item["embedding"] for item in reply.json["data"]]


def test_embeddings(asgi, tenant):
    reply = asgi.ask(EMBEDDINGS, {"model": HASHING, "input": [BRIDGE, "Hello"]})
    expected = language_models.embedder_for(HASHING, tenant.pk).embed([BRIDGE, "Hello"])
    assert vectors(reply) == expected.tolist()
    answer = reply.json
    assert (answer["object"], answer["model"]) == ("list", HASHING)
    assert [(item["object"], item["index"]) for item in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    tokens = count_tokens(BRIDGE) + count_tokens("Hello")
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_one_text_tokens_and_base64_mean_the_same(asgi):
    model = HASHING.partition("@")[0]
    (plain,) = vectors(asgi.ask(EMBEDDINGS, {"model": model, "input": "Hello world", "dimensions": 1024}))
    for given in (["Hello world"], [9906, 1917], [[9906, 1917]]):
        assert vectors(asgi.ask(EMBEDDINGS, {"model": model, "input": given})) == [plain]
    (coded,) = vectors(asgi.ask(EMBEDDINGS, {"model": model, "input": "Hello world", "encoding_format": "base64"}))
    assert list(struct.unpack("<1024f", base64.b64decode(coded))) == plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": []}, "`input` must be"),
        ({"input": None}, "`input` must be"),
        ({"input": {"a": 1}}, "`input` must be"),
        ({"input": ""}, "`input[0]` must not be empty."),
        ({"input": ["x", " "]}, "`input[1]` must not be empty."),
        ({"input": ["x", 5]}, "`input[1]` must be text"),
        ({"input": [True]}, "`input[0]` must be text"),
        ({"input": [[]]}, "`input[0]` must not be empty."),
        ({"input": [10**7]}, "`input[0]` is not made of cl100k_base tokens"),
        ({"input": [-1]}, "`input[0]` is not made of cl100k_base tokens"),
        ({"input": ["x"] * 2049}, "`input` must be"),
        ({"input": ["x", "word " * 8191]}, "`input[1]` has 8192 tokens"),
        ({"input": ["word " * 8000] * 38}, "`input` has"),
        ({"dimensions": 256}, "`dimensions` must be 1024"),
        ({"dimensions": "1024"}, "`dimensions` must be a whole number"),
        ({"encoding_format": "int8"}, "`encoding_format` must be"),
    ],
)
def test_what_cannot_be_embedded(asgi, changes, message):
    reply = asgi.ask(EMBEDDINGS, {"model": HASHING, "input": "x"} | changes)
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert reply.json["message"].startswith(message)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "", None, 5, "x\0y"])
def test_unknown_embedding_models_are_not_replaced_by_others(asgi, model):
    error = asgi.ask(EMBEDDINGS, {"model": model, "input": "x"}).json["error"]
    assert error["code"] == "model_not_found"


def test_an_embedding_model_of_a_provider(asgi, provider, settings):
    settings.MODELS = replace(settings.MODELS, embedding_model="remote@OpenAI")
    language_models.registry.reset()
    (vector,) = vectors(asgi.ask(EMBEDDINGS, {"model": "remote", "input": "Hello"}))
    assert len(vector) == provider.dimension
    assert provider.exchanges[-1].body["model"] == "remote"
    refused = asgi.ask(EMBEDDINGS, {"model": "remote", "input": "Hello", "dimensions": 8})
    assert f"must be {provider.dimension}" in refused.json["message"]
    provider.script(Reply(status=401))
    assert asgi.ask(EMBEDDINGS, {"model": "remote", "input": "x"}).json["error"]["code"] == "AUTH_ERROR"
