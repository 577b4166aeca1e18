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
_open: set[_Stream] = set()  # those that run, with their tasks: the event loop itself keeps only weak references


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
    """Answer with these frames. Their generator must not hold a database connection while it waits.

    An exception before the first frame is raised here, so that it becomes an ordinary JSON answer. After that the
    stream ends with the frames of `on_error(exception)`, which include the terminator. A comment is sent whenever
    nothing was for `heartbeat` seconds; if the first frame takes longer, the stream starts without it. `deadline`
    limits the whole stream in seconds; passing it is an Unavailable error.
    """
    stream = _Stream(frames, on_error, heartbeat, deadline)
    return EventStreamResponse(stream, await stream.first_block())


def end_all(reason: str) -> None:
    """End every stream with an error that says why, and with its terminator; what was said so far is persisted."""
    for stream in tuple(_open):
        stream.interrupt(reason)


class EventStreamResponse(StreamingHttpResponse):
    """A response that stops its producer when it is closed, also if it was never iterated."""

    def __init__(self, stream: _Stream, first_block: bytes) -> None:
        self._blocks = stream.blocks(first_block)
        super().__init__(self._blocks, content_type="text/event-stream; charset=utf-8", headers=dict(_HEADERS))
        self._stream = stream

    def __aiter__(self) -> Frames:
        """Return the generator itself, so that who closes it has waited for the producer's `finally`.

        Django's own wraps it in two more, which leave it to the garbage collector.
        """
        return self._blocks

    def close(self) -> None:
        super().close()
        self._stream.stop_from_any_thread()


class _Stream:
    """Runs a producer in its own task and hands its frames over."""

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
        self._interruption = ""
        self._frames = _Handover()
        self._loop = asyncio.get_running_loop()
        self._producer = self._loop.create_task(self._produce(frames))
        self._producer.add_done_callback(self._ended)
        _open.add(self)
        open_streams.inc()

    async def first_block(self) -> bytes:
        """Return the first frames, or a heartbeat if they are late. Raises the producer's exception."""
        try:
            async with asyncio.timeout(self._heartbeat):
                return await self._frames.take() or b""
        except TimeoutError:
            return _KEEP_ALIVE
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def blocks(self, first_block: bytes) -> Frames:
        """Yield what to write: all frames that are ready, joined."""
        heart = _Heart(self._heartbeat, self._frames)
        try:
            yield first_block
            while block := await self._frames.take():
                heart.saw(block)
                yield block
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            yield b"".join(self._on_error(error))
        finally:
            heart.stop()
            await self._stop()

    def interrupt(self, reason: str) -> None:
        """End the producer; the client is told the reason."""
        if not self._producer.cancelling():
            self._interruption = reason
            self._producer.cancel()

    def stop_from_any_thread(self) -> None:
        if not self._producer.done():
            self._loop.call_soon_threadsafe(self._cancel_once)

    async def _produce(self, frames: Frames) -> None:
        end: Exception | None = None
        try:
            async with asyncio.timeout(self._deadline) as limit, aclosing(frames):
                async for item in frames:
                    await self._frames.put(item)
        except TimeoutError as error:
            end = error
            if limit.expired():
                end = Unavailable(f"The answer took longer than {self._deadline:g} seconds.")
        except asyncio.CancelledError:
            if self._cancelled_by_us() and not self._interruption:
                raise
            end = Unavailable(self._interruption or "The answer was interrupted.")
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            end = error
        self._frames.end(end)

    @staticmethod
    def _cancelled_by_us() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _ended(self, _producer: asyncio.Task[None]) -> None:
        _open.discard(self)
        open_streams.dec()

    async def _stop(self) -> None:
        """Cancel the producer and wait for its `finally`; a second cancellation of the caller does not reach it."""
        self._cancel_once()
        await asyncio.wait({self._producer})

    def _cancel_once(self) -> None:
        if not self._producer.cancelling():  # again would interrupt its `finally`
            self._producer.cancel()


class _Handover:
    """A short queue between one producer and one consumer. asyncio's own costs 3 KB more for each open stream."""

    __slots__ = ("_end", "_frames", "_has_ended", "_room", "_waiting")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._has_ended = False
        self._end: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None  # the consumer, for a frame or the end
        self._room: asyncio.Future[None] | None = None  # the producer, for the consumer to catch up

    @property
    def is_empty(self) -> bool:
        return not self._frames

    async def put(self, frame: bytes) -> None:
        """Add a frame, once few enough are waiting."""
        while len(self._frames) >= _AHEAD:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self.put_nowait(frame)

    def put_nowait(self, frame: bytes) -> None:
        if frame:
            self._frames.append(frame)
            _wake(self._waiting)

    def end(self, error: Exception | None) -> None:
        """Let nothing follow but this exception, if there is one."""
        self._has_ended, self._end = True, error
        _wake(self._waiting)

    async def take(self) -> bytes:
        """Return all frames that wait, joined; nothing at the end. Raises the producer's exception after them."""
        while not (self._frames or self._has_ended):
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if not self._frames and self._end:
            raise self._end
        taken = b"".join(self._frames)
        self._frames.clear()
        _wake(self._room)
        return taken


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting and not waiting.done():
        waiting.set_result(None)


class _Heart:
    """Sends a comment when no frame has passed for an interval."""

    def __init__(self, interval: float, frames: _Handover) -> None:
        self._interval = interval
        self._frames = frames
        self._silent = True
        self._look_later()

    def saw(self, block: bytes) -> None:
        if block != _KEEP_ALIVE:
            self._silent = False

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._silent and self._frames.is_empty:
            self._frames.put_nowait(_KEEP_ALIVE)
        self._silent = True
        self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look)
