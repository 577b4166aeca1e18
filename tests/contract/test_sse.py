"""Event streams as clients see them, through the real streaming half of the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import orjson
import pytest
from django.db import connections
from django.http import HttpRequest
from django.urls import path

from apps.core.errors import DataError, answer_to
from apps.core.sse import DONE, Frames, end_all, frame, sse_response
from apps.core.threads import in_database
from ragflow.handlers import StreamingHalf
from tests.tools.asgi import Exchange

pytestmark = pytest.mark.django_db(transaction=True)  # requests look after connections, used or not

Produce = Callable[[], Frames]

SHORT = 0.05  # seconds


def ending(exc: Exception) -> Iterator[bytes]:
    yield frame(answer_to(exc).body)
    yield DONE


@pytest.fixture
def stream(settings: Any) -> Callable[..., Exchange]:
    """Return a function that requests a stream of a producer's frames."""
    settings.ROOT_URLCONF = type("urls", (), {"handler500": "apps.core.http.handler500"})

    def request(produce: Produce, **options: Any) -> Exchange:
        async def view(_request: HttpRequest) -> Any:
            return await sse_response(produce(), on_error=ending, **options)

        settings.ROOT_URLCONF.urlpatterns = [path("stream", view)]
        return Exchange(StreamingHalf(), "/stream").start()

    return request


def test_a_frame_is_compact_json_with_its_characters_unescaped() -> None:
    assert frame({"code": 0, "text": "Grüße\n"}) == 'data:{"code":0,"text":"Grüße\\n"}\n\n'.encode()
    assert frame({"a": [1]}, space=True) == b'data: {"a":[1]}\n\n'


async def test_the_first_frame_arrives_before_the_last_is_made(stream: Callable[..., Exchange]) -> None:
    first_seen = asyncio.Event()

    async def produce() -> Frames:
        yield frame("first")
        await first_seen.wait()
        yield frame("last")

    exchange = stream(produce)
    await exchange.until(frame("first"))
    first_seen.set()
    await exchange.finish()
    assert exchange.content == frame("first") + frame("last")
    assert exchange.sent[-1].get("more_body", False) is False


async def test_headers_keep_proxies_from_holding_frames_back(stream: Callable[..., Exchange]) -> None:
    async def produce() -> Frames:
        yield DONE

    exchange = await stream(produce).finish()
    assert exchange.status == 200
    headers = exchange.answer_headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["connection"] == "keep-alive"
    assert "content-length" not in headers


async def test_frames_that_are_ready_travel_in_order(stream: Callable[..., Exchange]) -> None:
    async def produce() -> Frames:
        for number in range(500):
            yield frame(number)

    exchange = await stream(produce).finish()
    assert exchange.content == b"".join(frame(number) for number in range(500))


async def test_a_stream_without_frames_is_empty(stream: Callable[..., Exchange]) -> None:
    async def produce() -> Frames:
        return
        yield b""

    exchange = await stream(produce).finish()
    assert (exchange.status, exchange.content) == (200, b"")


async def test_silence_is_filled_with_comments(stream: Callable[..., Exchange]) -> None:
    go_on = asyncio.Event()

    async def produce() -> Frames:
        yield frame("first")
        await go_on.wait()
        yield DONE

    exchange = stream(produce, heartbeat=SHORT)
    await exchange.until(b": keep-alive\n\n: keep-alive\n\n")
    go_on.set()
    await exchange.finish()
    assert exchange.content.startswith(frame("first") + b": keep-alive\n\n")
    assert exchange.content.endswith(DONE)


async def test_a_late_first_frame_does_not_hold_the_headers_back(stream: Callable[..., Exchange]) -> None:
    go_on = asyncio.Event()

    async def produce() -> Frames:
        await go_on.wait()
        raise DataError("Too late for a status.")
        yield b""

    exchange = stream(produce, heartbeat=SHORT)
    await exchange.until(b": keep-alive\n\n")
    assert exchange.status == 200
    go_on.set()
    await exchange.finish()
    assert exchange.content.endswith(frame({"code": 102, "message": "Too late for a status."}) + DONE)


async def test_an_error_after_the_first_frame_becomes_the_last_frame(stream: Callable[..., Exchange]) -> None:
    async def produce() -> Frames:
        yield frame("first")
        raise DataError("The model is gone.")

    exchange = await stream(produce).finish()
    assert exchange.status == 200
    assert exchange.content == frame("first") + frame({"code": 102, "message": "The model is gone."}) + DONE


async def test_a_stream_beyond_its_deadline_ends_with_an_error(stream: Callable[..., Exchange]) -> None:
    cleaned_up = asyncio.Event()

    async def produce() -> Frames:
        try:
            yield frame("first")
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    exchange = await stream(produce, deadline=SHORT).finish()
    assert cleaned_up.is_set()
    assert b"took longer than 0.05 seconds" in exchange.content
    assert exchange.content.endswith(DONE)


async def test_a_timeout_of_the_model_is_not_taken_for_the_deadline(stream: Callable[..., Exchange]) -> None:
    async def produce() -> Frames:
        yield frame("first")
        raise TimeoutError("the provider was silent")

    exchange = await stream(produce, deadline=60).finish()
    assert b"took longer" not in exchange.content
    assert exchange.content.endswith(DONE)


async def test_a_cancellation_from_within_ends_the_stream_instead_of_hanging_it(
    stream: Callable[..., Exchange],
) -> None:
    async def produce() -> Frames:
        yield frame("first")
        raise asyncio.CancelledError

    exchange = stream(produce)
    await asyncio.wait_for(exchange.finish(), 10)
    assert b"was interrupted" in exchange.content


async def test_streams_that_are_ended_say_why_and_their_cleanup_completes(stream: Callable[..., Exchange]) -> None:
    cleaned = []

    async def produce() -> Frames:
        try:
            yield frame("first")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(SHORT)
            cleaned.append(True)

    exchange = stream(produce)
    await exchange.until(frame("first"))
    end_all("The server is being stopped.")
    end_all("Twice changes nothing.")
    await exchange.finish()
    assert orjson.loads(exchange.content.split(b"\n\n")[1][5:])["message"] == "The server is being stopped."
    assert exchange.content.endswith(DONE)
    assert cleaned == [True]


@pytest.mark.parametrize("has_begun", [True, False], ids=["while streaming", "before the first frame"])
async def test_a_client_that_leaves_stops_the_producer_whose_cleanup_completes(
    stream: Callable[..., Exchange], has_begun: bool
) -> None:
    running, persisted = asyncio.Event(), asyncio.Event()

    async def produce() -> Frames:
        try:
            if has_begun:
                yield frame("first")
            running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(SHORT)
            persisted.set()

    exchange = stream(produce)
    await running.wait()
    if has_begun:
        await exchange.until(frame("first"))
    exchange.leave()
    await asyncio.wait_for(persisted.wait(), 10)
    await exchange.finish()


async def test_a_server_that_gives_up_on_a_request_does_not_interrupt_its_cleanup(
    stream: Callable[..., Exchange],
) -> None:
    cleaning, persisted = asyncio.Event(), asyncio.Event()

    async def produce() -> Frames:
        try:
            yield frame("first")
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(SHORT)
            persisted.set()

    exchange = stream(produce)
    await exchange.until(frame("first"))
    exchange.leave()
    await cleaning.wait()
    exchange.task.cancel()
    with suppress(asyncio.CancelledError):
        await exchange.task
    await asyncio.wait_for(persisted.wait(), 10)


async def test_who_stops_reading_has_waited_for_the_cleanup() -> None:
    """As when a client leaves whose connection is full: the server waits for it, and for no frame."""
    persisted = asyncio.Event()

    async def produce() -> Frames:
        try:
            while True:
                yield frame("more")
        finally:
            await asyncio.sleep(SHORT)
            persisted.set()

    response = await sse_response(produce(), on_error=ending)
    async with aclosing(aiter(response)) as blocks:
        await anext(blocks)
    assert persisted.is_set()


async def test_a_response_that_nobody_reads_stops_its_producer() -> None:
    stopped = asyncio.Event()

    async def produce() -> Frames:
        try:
            while True:
                yield frame("more")
        finally:
            stopped.set()

    response = await sse_response(produce(), on_error=ending)
    await asyncio.to_thread(response.close)
    await asyncio.wait_for(stopped.wait(), 10)


async def test_an_error_before_the_first_frame_is_an_ordinary_answer(settings: Any) -> None:
    from ninja import Router

    from ragflow import streaming

    router = Router(auth=None)

    @router.post("/api/v1/refused")
    async def refused(request: HttpRequest) -> Any:
        async def produce() -> AsyncGenerator[bytes, None]:
            raise DataError("No such chat.")
            yield b""

        return await sse_response(produce(), on_error=ending)

    methods = streaming.methods_by_route([router])
    urls = streaming.streaming_urls(streaming.build_api([router]), methods)
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})
    exchange = await Exchange(StreamingHalf(), "/api/v1/refused", method="POST").start().finish()
    assert exchange.status == 400
    assert orjson.loads(exchange.content) == {"code": 102, "message": "No such chat."}
    assert exchange.answer_headers["content-type"] == "application/json"
    assert exchange.answer_headers["content-length"] == str(len(exchange.content))


async def test_a_stream_holds_no_thread_and_no_connection_while_it_flows(stream: Callable[..., Exchange]) -> None:
    from apps.accounts.models import User

    go_on = asyncio.Event()

    async def produce() -> Frames:
        yield frame(await in_database(User.objects.count))
        await go_on.wait()
        yield DONE

    exchanges = [stream(produce) for _ in range(40)]
    for exchange in exchanges:
        await exchange.until(frame(0))
    assert connections["default"].connection is None  # of the event loop's thread
    workers = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert len(workers) < 30
    go_on.set()
    for exchange in exchanges:
        await exchange.finish()
