"""Sending a request to either half of the server, and judging the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

import orjson
import pytest
from django.db import transaction
from django.test import Client

from tests.apps.generated.cases import Sent
from tests.tools.asgi import Exchange

Answer = tuple[int, str, bytes]  # HTTP status, content type, body
Send = Callable[[Sent], Answer]

# What OpenAI, Dify and probes expect is JSON of their own.
OTHER_JSON = ("/api/v1/openai", "/api/v1/chat/", "/api/v1/chats_openai", "/api/v1/dify", "/v1/system/healthz")


def problem_with(answer: Answer, path: str) -> str:
    """Return what is wrong with an answer, or nothing."""
    status, content_type, body = answer
    if status >= 500:
        return f"status {status}: {body[:300]!r}"
    if content_type.startswith("text/event-stream"):
        frames = body.removesuffix(b"\n\n").split(b"\n\n")
        return "" if all(frame.startswith(b"data:") for frame in frames) else f"no frames: {body[:300]!r}"
    if content_type != "application/json":
        return ""
    content = orjson.loads(body)
    if path.startswith(OTHER_JSON):
        return "" if isinstance(content, dict) else f"no object: {body[:300]!r}"
    return "" if isinstance(content.get("code"), int) else f"no envelope: {body[:300]!r}"


def report(found: str) -> None:
    if found:
        pytest.fail(found, pytrace=False)


def undone(client: Client, request: Sent) -> Answer:
    """Send a request to the ordinary half. What it changes in the database is rolled back."""
    with transaction.atomic():
        response = client.generic(
            request.method,
            request.path,
            request.content,
            content_type=request.content_type,
            QUERY_STRING=request.query,
            headers=request.headers,
        )
        body = b"".join(response.streaming_content) if response.streaming else response.content
        transaction.set_rollback(True)
    return response.status_code, response.headers.get("Content-Type", ""), body


def streaming(request: Sent) -> Answer:
    """Send a request to the ASGI application and read the stream to its end."""
    return asyncio.run(_exchanged(request))


async def _exchanged(request: Sent) -> Answer:
    from ragflow.asgi import http

    headers = request.headers | {"Content-Type": request.content_type}
    exchange = Exchange(http, unquote(request.path), request.method, headers, [request.content]).start()
    done = await asyncio.wait_for(exchange.finish(), 20)
    return done.status, done.answer_headers.get("content-type", ""), done.content
