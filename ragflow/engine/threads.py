"""Blocking work for the event loop, in threads whose requests to providers end when nobody waits for the work any more.

A thread cannot be interrupted while it waits for a socket. So what a thread of `in_thread` asks of a provider is asked
on the event loop, where it can be cancelled.

These threads are not those of `asyncio.to_thread`, in which the loop looks up the names of hosts: if all of them waited
for a provider, its name could not be looked up, and each would wait for the other.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

MOST_THREADS = 16  # they wait for providers, and for turns in the document store; each has a connection to it


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="engine")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads stay behind in the parent


class Waiter:
    """The task that waits for a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._left = False

    def result_of(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Await a coroutine for the thread, on the event loop.

        Raises asyncio.CancelledError once nobody waits any more. (That of concurrent.futures is an ordinary Exception,
        which the thread would take for a failure to go on from.)
        """
        with self._lock:
            if self._left:
                coroutine.close()
                raise asyncio.CancelledError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._open.add(future)
        try:
            return future.result()
        except CancelledError:
            raise asyncio.CancelledError from None
        finally:
            with self._lock:
                self._open.discard(future)

    def leave(self) -> None:
        with self._lock:
            self._left = True
            still_open = tuple(self._open)
        for future in still_open:
            future.cancel()


_waiter: ContextVar[Waiter | None] = ContextVar("waiter", default=None)


def waiter() -> Waiter | None:
    """Return who waits for this thread; None in threads that were not started by `in_thread`, and on the event loop."""
    return _waiter.get()


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Await a blocking function. When the caller is cancelled, its request to a provider ends at once."""
    waiting = Waiter()

    def run() -> _T:
        _waiter.set(waiting)  # of the thread's copy of the context
        return function(*args, **kwargs)

    try:
        return await asyncio.get_running_loop().run_in_executor(_pool(), copy_context().run, run)
    except asyncio.CancelledError:
        waiting.leave()
        raise
