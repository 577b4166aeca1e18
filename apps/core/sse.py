"""Server-sent events: the only module that writes `data:`.

A view gives an async generator of frames; everything that surrounds a stream happens here. The generator runs in a task
of its own, so a client that leaves cancels it at once, while its `finally` is never interrupted: that is the place to
persist what was said so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from django.http import StreamingHttpResponse

from apps.core.errors import Unavailable
from apps.core.http import dumps
from apps.core.metrics import open_streams
from apps.core.threads import in_database as in_database

HEARTBEAT_SECONDS = 15.0
DONE: Final = b"data:[DONE]\n\n"
_KEEP_ALIVE: Final = b": keep-alive\n\n"
_AHEAD = 64  # frames that a producer may be ahead of its client
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}

Frames = AsyncGenerator[bytes, None]
_tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references


def frame(payload: Any, *, space: bool = False) -> bytes:
    """Return one event of compact JSON. Clients of OpenAI expect a space after the colon, those of RAGFlow none."""
    return (b"data: " if space else b"data:") + dumps(payload) + b"\n\n"


async def sse_response(
    frames: Frames,
    *,
    on_error: Callable[[Exception], Iterable[bytes]],
    heartbeat: float = HEARTBEAT_SECONDS,
    deadline: float | None = None,
) -> StreamingHttpResponse:
    """Answer with these frames. Their generator must not hold a database connection while it waits (`in_database`).

    An exception before the first frame is raised here, so that it becomes an ordinary JSON answer. After that the
    stream ends with the frames of `on_error(exception)`, which include the terminator. A comment is sent whenever
    nothing was for `heartbeat` seconds; if the first frame takes longer, the stream starts without it. `deadline`
    limits the whole stream in seconds; passing it is an Unavailable error.
    """
    stream = _Stream(frames, on_error, heartbeat, deadline)
    return EventStreamResponse(stream, await stream.first_block())


class EventStreamResponse(StreamingHttpResponse):
    """A response that stops its producer when it is closed, also if it was never iterated."""

    def __init__(self, stream: _Stream, first_block: bytes) -> None:
        super().__init__(
            stream.blocks(first_block), content_type="text/event-stream; charset=utf-8", headers=dict(_HEADERS)
        )
        self._stream = stream

    def close(self) -> None:
        super().close()
        self._stream.stop_from_any_thread()


class _Stream:
    """Runs a producer in its own task and hands its frames over through a short queue."""

    def __init__(
        self,
        frames: Frames,
        on_error: Callable[[Exception], Iterable[bytes]],
        heartbeat: float,
        deadline: float | None,
    ) -> None:
        self._on_error = on_error
        self._heartbeat = heartbeat
        self._deadline = deadline
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(_AHEAD)  # None: the end
        self._loop = asyncio.get_running_loop()
        self._producer = self._loop.create_task(self._produce(frames))
        _tasks.add(self._producer)
        self._producer.add_done_callback(_tasks.discard)
        open_streams.inc()
        self._producer.add_done_callback(lambda _: open_streams.dec())

    async def first_block(self) -> bytes:
        """Return the first frame, or a heartbeat if it is late. Raises the producer's exception."""
        try:
            async with asyncio.timeout(self._heartbeat):
                first = await self._queue.get()
        except TimeoutError:
            return _KEEP_ALIVE
        except asyncio.CancelledError:
            await self._stop()
            raise
        if isinstance(first, Exception):
            raise first
        if first is None:
            self._queue.put_nowait(None)
        return first or b""

    async def blocks(self, first_block: bytes) -> Frames:
        """Yield what to write: all frames that are ready, joined."""
        heart = _Heart(self._heartbeat, self._queue)
        try:
            yield first_block
            while True:
                item = await self._queue.get()
                heart.saw(item)
                if item is None:
                    return
                if isinstance(item, Exception):
                    yield b"".join(self._on_error(item))
                    return
                yield item + self._ready()
        finally:
            heart.stop()
            await self._stop()

    def stop_from_any_thread(self) -> None:
        if not self._producer.done():
            self._loop.call_soon_threadsafe(self._cancel_once)

    def _ready(self) -> bytes:
        """Return the frames that wait in the queue, up to the end or an error."""
        ready = []
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not isinstance(item, bytes):
                self._queue.put_nowait(item)  # always the last item, so the order stays
                break
            ready.append(item)
        return b"".join(ready)

    async def _produce(self, frames: Frames) -> None:
        end: Exception | None = None
        try:
            async with asyncio.timeout(self._deadline) as limit, aclosing(frames):
                async for item in frames:
                    await self._queue.put(item)
        except TimeoutError as error:
            end = error
            if limit.expired():
                end = Unavailable(f"The answer took longer than {self._deadline:g} seconds.")
        except asyncio.CancelledError:
            if self._cancelled_by_us():
                raise
            end = Unavailable("The answer was interrupted.")
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            end = error
        await self._queue.put(end)

    @staticmethod
    def _cancelled_by_us() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _stop(self) -> None:
        """Cancel the producer and wait for its `finally`; a second cancellation of the caller does not reach it."""
        self._cancel_once()
        await asyncio.wait({self._producer})

    def _cancel_once(self) -> None:
        if not self._producer.cancelling():  # again would interrupt its `finally`
            self._producer.cancel()


class _Heart:
    """Queues a comment when no frame has passed for an interval."""

    def __init__(self, interval: float, queue: asyncio.Queue[bytes | Exception | None]) -> None:
        self._interval = interval
        self._queue = queue
        self._silent = True
        self._look_later()

    def saw(self, item: object) -> None:
        if item is not _KEEP_ALIVE:
            self._silent = False

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._silent and self._queue.empty():
            self._queue.put_nowait(_KEEP_ALIVE)
        self._silent = True
        self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look)
