"""What an answer adds to the metrics, however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apps.test_metrics import value
from tests.tools.model_server import ModelServer, Reply

from .conftest import ASGI

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"


def numbers() -> dict[str, float]:
    return {
        "answered": value("ragflow_answers_total", outcome="answered"),
        "interrupted": value("ragflow_answers_total", outcome="interrupted"),
        "failed": value("ragflow_answers_total", outcome="failed"),
        "first tokens": value("ragflow_first_token_seconds_count"),
        "prompt": value("ragflow_tokens_total", kind="chat", direction="prompt"),
        "completion": value("ragflow_tokens_total", kind="chat", direction="completion"),
        "calls": value("ragflow_model_calls_total", kind="chat", outcome="ok"),
        "cancelled": value("ragflow_model_calls_total", kind="chat", outcome="cancelled"),
        "refused": value("ragflow_model_calls_total", kind="chat", outcome="AUTH_ERROR"),
    }


def added(before: dict[str, float]) -> dict[str, float]:
    return {name: number - before[name] for name, number in numbers().items() if number != before[name]}


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer(provider: ModelServer, asgi: ASGI, chat: str, session: str, stream: bool):
    before = numbers()
    asgi.ask(f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": session, "stream": stream})
    found = added(before)
    assert found.pop("prompt") > found.pop("completion") > 0
    assert found == {"answered": 1, "first tokens": 1, "calls": 1}


def test_a_refused_key(provider: ModelServer, asgi: ASGI, chat: str, session: str):
    provider.script(Reply(status=401))
    before = numbers()
    asgi.ask(f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": session, "stream": False})
    assert added(before) == {"failed": 1, "refused": 1}


def test_a_client_that_leaves(provider: ModelServer, asgi: ASGI, chat: str, session: str):
    provider.script(Reply(pieces=["One "] * 50, hang_after=3))
    before = numbers()
    body = {"question": QUESTION, "session_id": session, "stream": True}

    async def leave() -> Any:
        async with asgi.calling(f"/api/v1/chats/{chat}/completions", body) as call:
            await call.begin()
            assert value("ragflow_open_streams") == 1
            await call.more()

    asyncio.run(leave())
    assert added(before) == {"interrupted": 1, "first tokens": 1, "cancelled": 1}
    assert value("ragflow_open_streams") == 0
