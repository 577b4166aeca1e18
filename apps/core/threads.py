"""The bounded pool of long-lived threads in which everything that blocks runs, whichever half of the server asks.

Long-lived threads keep their database connection, and their number bounds both concurrency and connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections

_P = ParamSpec("_P")
_T = TypeVar("_T")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.THREADS, thread_name_prefix="ragflow")


def submit(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
    """Run the function in the pool, within the caller's context (request id and the like).

    Its database connection is checked before and given back after.
    """
    context = copy_context()
    return _pool().submit(context.run, _with_connections, function, *args, **kwargs)  # type: ignore[arg-type]


async def in_database(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Await a function that uses the ORM (or blocks otherwise), from the event loop.

    When the function returns, no connection is held. If the caller is cancelled, a function that has not begun never
    runs and one that has runs to its end.
    """
    return await asyncio.wrap_future(submit(function, *args, **kwargs))


def _with_connections(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()
