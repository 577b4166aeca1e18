"""Blocking work of the event loop: its requests to providers end with whoever waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from ragflow.engine.embedding.openai import OpenAIEmbedder
from ragflow.engine.errors import ModelError
from ragflow.engine.threads import in_thread, waiter
from tests.tools.model_server import ModelServer, Reply


@pytest.fixture
def embedder(server: ModelServer) -> OpenAIEmbedder:
    return OpenAIEmbedder("vectors", server.url, "key", name="vectors@Test")


async def test_the_same_comes_out(embedder):
    assert (await in_thread(embedder.embed, ["one", "two"])).shape == (2, 64)
    assert waiter() is None


async def test_failures_are_the_same(server, embedder):
    server.script(Reply(status=401))
    with pytest.raises(ModelError) as caught:
        await in_thread(embedder.embed, ["one"])
    assert caught.value.code == "AUTH_ERROR"


async def test_who_stops_waiting_ends_the_request(server, embedder):
    server.script(Reply(hang_after=-1))
    task = asyncio.create_task(in_thread(embedder.embed, ["one"]))
    exchange = await asyncio.to_thread(server.wait_for_exchange)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(exchange.ended.wait, 5)
    assert exchange.client_left_after is not None


async def test_what_comes_later_is_not_asked_for(server, embedder):
    begun, may_go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_go_on.wait(10)
        try:
            embedder.embed(["one"])
        finally:
            ended.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert not server.exchanges


async def test_threads_that_wait_for_providers_leave_those_to_the_loop_in_which_it_looks_up_hosts():
    may_go_on = threading.Event()
    waiting = [asyncio.create_task(in_thread(may_go_on.wait, 30)) for _ in range(50)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    finally:
        may_go_on.set()
        await asyncio.gather(*waiting)


def test_other_threads_ask_by_themselves(server, embedder):
    assert embedder.embed(["one"]).shape == (1, 64)
    assert waiter() is None


async def test_a_thread_that_nobody_waits_for_does_not_take_that_for_a_failure_to_go_on_from(server, embedder):
    server.script(Reply(hang_after=-1))
    raised: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            embedder.embed(["one"])
        except BaseException as error:
            raised.append(error)
            raise
        finally:
            ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(server.wait_for_exchange)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 5)
    assert [type(error) for error in raised] == [asyncio.CancelledError]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    assert asyncio.run(in_thread(lambda: "parent")) == "parent"
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # kills the child if it waits for a thread of the parent
        os._exit(0 if asyncio.run(in_thread(lambda: "child")) == "child" else 1)
    assert os.waitpid(child, 0)[1] == 0
