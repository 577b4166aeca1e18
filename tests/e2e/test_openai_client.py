"""OpenAI's own client, sync and async, against a running server with the built-in answerer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest

from tests.e2e.server import DEADLINE, Server, running_server

pytestmark = pytest.mark.slow

BRIDGE = "The red bridge of Ulm was built in 1903 by the engineer Clara Nord."
QUESTION = [{"role": "user", "content": "Who built the red bridge of Ulm?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openai-client")
    with running_server(folder, BRIDGE, "The lighthouse of Brest is white.") as running:
        yield running


@pytest.fixture(scope="module")
def chat(server: Server) -> str:
    return server.post("/api/v1/chats", {"name": "assistant", "dataset_ids": [server.dataset]})["id"]


def options(server: Server, chat: str, token: str = "") -> dict:
    return {
        "base_url": f"{server.url}/api/v1/chats_openai/{chat}",
        "api_key": token or server.token,
        "timeout": DEADLINE,
        "max_retries": 0,
    }


@pytest.fixture
def client(server: Server, chat: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**options(server, chat)) as made:
        yield made


def test_one_answer(client):
    answer = client.chat.completions.create(
        model="any", messages=QUESTION, stream=False, extra_body={"reference": True}
    )
    message = answer.choices[0].message
    assert "Clara Nord" in message.content
    assert "[ID:0]" in message.content
    assert message.reference[0]["content"] == BRIDGE
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens > 0


def test_a_stream(client):
    stream = client.chat.completions.create(
        model="any", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    with stream:
        chunks = list(stream)
    assert "Clara Nord" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens > 0


TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("stream", [True, False])
def test_tools_and_what_else_assistants_do_not_do_is_ignored(client, stream):
    called = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    history = [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "1", "content": "Nothing."},
        *QUESTION,
    ]
    answer = client.chat.completions.create(
        model="any",
        messages=history,
        stream=stream,
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=True,
        response_format={"type": "json_object"},
        n=2,
        logprobs=True,
        seed=7,
    )
    if stream:
        choices = [chunk.choices[0] for chunk in answer]
        assert "Clara Nord" in "".join(choice.delta.content or "" for choice in choices)
        assert {choice.delta.tool_calls for choice in choices} == {None}
        assert choices[-1].finish_reason == "stop"
    else:
        (choice,) = answer.choices
        assert "Clara Nord" in choice.message.content
        assert (choice.message.tool_calls, choice.finish_reason) == (None, "stop")


def test_async_answers_and_streams_side_by_side(server, chat):
    async def one(client: openai.AsyncOpenAI) -> str:
        answer = await client.chat.completions.create(model="any", messages=QUESTION, stream=False)
        return answer.choices[0].message.content or ""

    async def streamed(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="any", messages=QUESTION, stream=True)
        async with stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(**options(server, chat)) as client:
            return await asyncio.gather(*(ask(client) for ask in (one, streamed) * 4))

    assert all("Clara Nord" in text for text in asyncio.run(ask()))


def test_errors_are_raised_as_what_they_are(server, chat, client):
    with openai.OpenAI(**options(server, chat, token="wrong")) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="any", messages=QUESTION)
    with openai.OpenAI(**options(server, "nowhere")) as lost, pytest.raises(openai.NotFoundError, match="nowhere"):
        lost.chat.completions.create(model="any", messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="have to provide messages"):
        client.chat.completions.create(model="any", messages=[], stream=True)


# -- assistants as models ------------------------------------------------------------------------------------------


def model_options(server: Server, prefix: str = "/api/v1/openai", token: str = "") -> dict:
    return options(server, "", token) | {"base_url": server.url + prefix}


@pytest.fixture(params=["/api/v1/openai", "/api/v1"])
def models_client(request: pytest.FixtureRequest, server: Server, chat: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**model_options(server, request.param)) as made:
        yield made


@pytest.mark.parametrize("model", ["assistant", None], ids=["by name", "by id"])
def test_a_model_answers_and_streams(models_client, chat, model):
    answer = models_client.chat.completions.create(model=model or chat, messages=QUESTION)
    assert "Clara Nord" in answer.choices[0].message.content
    with models_client.chat.completions.create(model=model or chat, messages=QUESTION, stream=True) as stream:
        chunks = list(stream)
    assert "Clara Nord" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert {chunk.model for chunk in chunks} == {model or chat}


def test_models_are_listed_and_shown(server, chat):
    with openai.OpenAI(**model_options(server)) as client:
        assert [model.id for model in client.models.list()] == [chat]
        assert client.models.retrieve("assistant") == client.models.retrieve(chat)
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("nope")
        assert caught.value.code == "model_not_found"


def test_embeddings_in_both_encodings(server):
    with openai.OpenAI(**model_options(server)) as client:
        name = "hash-1024@Builtin"
        coded = client.embeddings.create(model=name, input=[BRIDGE, "Hello"])  # it asks for base64 by itself
        plain = client.embeddings.create(model=name, input=[BRIDGE, "Hello"], encoding_format="float")
        assert [item.embedding for item in coded.data] == [item.embedding for item in plain.data]
        assert len(coded.data[0].embedding) == 1024
        assert coded.usage.total_tokens > 0
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            client.embeddings.create(model=name, input="x", dimensions=8)
        with pytest.raises(openai.NotFoundError, match="embedding model of this tenant is"):
            client.embeddings.create(model="text-embedding-3-small", input="x")


def test_async_models(server, chat):
    async def streamed(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="assistant", messages=QUESTION, stream=True)
        async with stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def ask() -> tuple[str, list[str], int]:
        async with openai.AsyncOpenAI(**model_options(server)) as client:
            listed = [model.id async for model in client.models.list()]
            embedded = await client.embeddings.create(model="hash-1024@Builtin", input="x")
            return await streamed(client), listed, len(embedded.data)

    text, listed, embedded = asyncio.run(ask())
    assert "Clara Nord" in text
    assert (listed, embedded) == ([chat], 1)
