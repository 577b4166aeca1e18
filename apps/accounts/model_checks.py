"""Does a model answer? One real request, within bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

from asgiref.sync import async_to_sync
from django.conf import settings

from apps.accounts.catalogue import CHAT, EMBEDDING, RERANK, TEXT_TO_SPEECH, VISION
from apps.accounts.throttles import place_to_wait
from ragflow.engine.errors import ModelError
from ragflow.engine.http import Endpoint, apost_json
from ragflow.engine.llm.complete import complete
from ragflow.engine.registry import Registry, RemoteModel
from ragflow.engine.types import Message

SECONDS = 15.0

_PICTURE = (  # a square of one colour, as PNG
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKElEQVR42u3NsQkAAAgDsJ7u5/YKByGQPdnJqQgEAoFAIBAIBIIv"
    "QQHoo/xM3BB6yAAAAABJRU5ErkJggg=="
)


def _registry() -> Registry:
    """Return a registry whose models fail at once instead of trying again."""
    return Registry(settings.MODELS, patience=0.0)


def check(type_: str, target: RemoteModel) -> None:
    """Ask a model once. Types that nothing is known to ask of pass.

    Raises ModelError with the reason, TooManyRequests while others are being checked.
    """
    ask = _CHECKS.get(type_)
    if ask is None:
        return
    with place_to_wait(SECONDS):
        async_to_sync(_within_time)(ask, target)


async def _within_time(ask: Callable[[RemoteModel], Awaitable[None]], target: RemoteModel) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            await ask(target)
    except TimeoutError:
        raise ModelError(f"{target.name} did not answer within {SECONDS:.0f} seconds.", code="TIMEOUT") from None


async def _embeds(target: RemoteModel) -> None:
    await _registry().embedder(target).aembed_query("Test if the api key is available")


async def _chats(target: RemoteModel) -> None:
    question = [Message("user", "Hello! How are you doing!")]
    options = {"temperature": 0.9, "max_tokens": 50}
    answer = await complete(_registry().chat_model(target), question, options=options)
    if "**ERROR**" in answer.text:
        raise ModelError(answer.text, code="MODEL_ERROR")


async def _reranks(target: RemoteModel) -> None:
    from ragflow.engine.rerank.http import HttpReranker

    reranker = _registry().reranker(target)
    assert isinstance(reranker, HttpReranker)
    await reranker.acheck("What's the weather?", "Is it sunny today?")


async def _sees(target: RemoteModel) -> None:
    url = "data:image/png;base64," + _PICTURE
    content = [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    body = {"model": target.model, "messages": [{"role": "user", "content": content}], "max_tokens": 50}
    endpoint = Endpoint(target.base_url, target.api_key, _registry().is_guarded(target))
    answer = await apost_json(endpoint, "chat/completions", body, kind="chat", read_timeout=SECONDS, patience=0)
    if not isinstance(answer, dict) or not answer.get("choices"):
        raise ModelError(f"The model provider at {endpoint.host} sent no answer.", code="MODEL_ERROR")


async def _speaks(target: RemoteModel) -> None:
    async with aclosing(_registry().text_to_speech(target).speak("Hello! How are you doing!")) as blocks:
        async for _ in blocks:
            return
    raise ModelError(f"{target.name} sent no sound.", code="MODEL_ERROR")


_CHECKS: Mapping[str, Callable[[RemoteModel], Awaitable[None]]] = MappingProxyType(
    {CHAT: _chats, EMBEDDING: _embeds, RERANK: _reranks, VISION: _sees, TEXT_TO_SPEECH: _speaks}
)
