"""Waiting for several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

_Result = TypeVar("_Result")


async def side_by_side(awaitables: Iterable[Awaitable[_Result]]) -> list[_Result]:
    """Run them all and return their results in order. When one fails, or the caller leaves, the others are stopped.

    Raises the first exception.
    """
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
