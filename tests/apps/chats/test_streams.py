"""How answers flow: as they come, without a database connection, and no longer than somebody listens."""

from __future__ import annotations

import asyncio

import pytest
from django.db import connections

from apps.chats import answering
from apps.chats.models import Message
from apps.core import threads
from tests.tools.model_server import Reply

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
SLOW = Reply(text="One two three four five six seven eight", interval=0.02, hang_after=4)


@pytest.fixture
def slow(provider, dataset, create_chat, new_session):
    """Path and body of a completion whose model stops in the middle and never goes on."""
    chat = create_chat("slow", dataset_ids=[dataset])["id"]
    provider.script(SLOW)
    return f"/api/v1/chats/{chat}/completions", {"question": QUESTION, "session_id": new_session(chat)}


async def until(condition):
    """Wait for something that is about to happen."""
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 -- a row of the database sets no event
            await asyncio.sleep(0.01)


def stored():
    found = list(Message.objects.filter(pair_id__isnull=False).order_by("id"))
    connections.close_all()
    return found


async def test_the_first_piece_arrives_before_the_last_exists(asgi, slow):
    path, body = slow
    async with asgi.calling(path, body) as call:
        assert (await call.begin()).is_stream
        async with asyncio.timeout(10):
            while b"two" not in call.reply.body:
                assert await call.more() is not None
        assert b"eight" not in call.reply.body


async def test_a_client_that_leaves_ends_the_request_and_the_part_is_kept(asgi, slow, provider):
    path, body = slow
    async with asgi.calling(path, body) as call:
        await call.begin()
        async with asyncio.timeout(10):
            while b"three" not in call.reply.body:
                await call.more()
    exchange = provider.exchanges[-1]
    assert await asyncio.to_thread(exchange.ended.wait, 5)
    assert exchange.client_left_after is not None
    await until(lambda: len(stored()) == 2)
    question, answer = stored_rows = await asyncio.to_thread(stored)
    assert len({row.pair_id for row in stored_rows}) == 1
    assert question.content == QUESTION
    assert answer.content.startswith("One two three")
    assert answer.interrupted
    assert answer.reference["chunks"]


async def test_a_client_that_leaves_while_it_waits_for_one_answer_ends_the_request_too(asgi, slow, provider):
    path, body = slow
    async with asgi.calling(path, body | {"stream": False}):
        await until(lambda: bool(provider.exchanges) and provider.exchanges[-1].sent >= 3)
    exchange = provider.exchanges[-1]
    assert await asyncio.to_thread(exchange.ended.wait, 5)
    assert exchange.client_left_after is not None
    await until(lambda: len(stored()) == 2)
    assert (await asyncio.to_thread(stored))[1].interrupted


@pytest.mark.parametrize("streams", [True, False])
async def test_what_was_said_is_kept_when_the_client_leaves_while_citations_are_confirmed(
    asgi, slow, provider, monkeypatch, streams
):
    confirming = asyncio.Event()

    async def confirm(_opened, _answer):
        confirming.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(answering, "_confirmed", confirm)
    provider.reset()
    provider.script(Reply(text="Clara Nord."))
    path, body = slow
    async with asgi.calling(path, body | {"stream": streams}):
        await asyncio.wait_for(confirming.wait(), 10)
    await until(lambda: len(stored()) == 2)
    _, answer = await asyncio.to_thread(stored)
    assert (answer.content.strip(), answer.interrupted) == ("Clara Nord.", True)


def test_an_interrupted_answer_is_marked_on_the_wire(asgi, slow, messages):
    path, body = slow

    async def leave_early():
        async with asgi.calling(path, body) as call:
            await call.begin()
            while b"two" not in call.reply.body:
                await call.more()
        await until(lambda: len(stored()) == 2)

    asyncio.run(leave_early())
    chat = path.split("/")[4]
    said = messages(chat, body["session_id"])[-1]
    assert said["interrupted"] is True
    assert said["content"].startswith("One two")


@pytest.fixture
def one_thread(settings):
    """A pool of one thread, and so of one database connection."""
    settings.THREADS = 1
    threads._pool.cache_clear()
    yield
    threads._pool().shutdown()
    threads._pool.cache_clear()


async def test_streams_hold_no_connection(asgi, slow, provider, one_thread):
    path, body = slow
    chats = path.removesuffix("/completions").rpartition("/")[0]
    provider.script(SLOW, SLOW)
    async with asgi.calling(path, body) as first, asgi.calling(path, body) as second:
        for call in (first, second):
            await call.begin()
            async with asyncio.timeout(10):
                while b"two" not in call.reply.body:
                    await call.more()
        async with asyncio.timeout(10):
            reply = await asgi.answer(chats, b"", method="GET")
        assert reply.json["code"] == 0


async def test_turns_at_once_keep_their_pairs_together(asgi, slow, provider):
    path, body = slow
    provider.reset()
    provider.script(*[Reply(text=f"Answer {number}.", interval=0.01) for number in range(4)])
    questions = [body | {"stream": False, "question": f"bridge {number}?"} for number in range(4)]
    replies = await asyncio.gather(*(asgi.answer(path, question) for question in questions))
    assert all(reply.json["code"] == 0 for reply in replies)
    rows = await asyncio.to_thread(stored)
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert len(pairs) == 4
    assert all(asked.pair_id == said.pair_id and said.role == "assistant" for asked, said in pairs)


async def test_a_session_deleted_meanwhile_stays_deleted(asgi, slow, provider):
    path, body = slow
    sessions = path.replace("completions", "sessions")
    async with asgi.calling(path, body) as call:
        await call.begin()
        async with asyncio.timeout(10):
            while b"two" not in call.reply.body:
                await call.more()
        deleted = await asgi.answer(sessions, {"ids": [body["session_id"]]}, method="DELETE")
        assert deleted.json == {"code": 0}
    assert await asyncio.to_thread(provider.exchanges[-1].ended.wait, 5)
    assert await asyncio.to_thread(stored) == []


async def test_a_failing_store_is_told_at_the_end(asgi, slow, provider, monkeypatch):
    from apps.chats import services

    def fail(*, exchange):
        raise OSError("disk full")

    monkeypatch.setattr(services, "record_exchange", fail)
    provider.reset()
    provider.script(Reply(text="Nord."))
    path, body = slow
    reply = await asgi.answer(path, body)
    *_, error, end = reply.frames
    assert error["code"] == 500
    assert "disk full" not in error["message"]
    assert end == {"code": 0, "data": True}


def test_a_token_of_another_tenant_opens_no_stream(stranger, slow):
    path, body = slow
    reply = stranger.ask(path, body)
    assert not reply.is_stream
    assert reply.json["message"].startswith("You don't own the chat")
