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
