"""Things that belong to one event loop, such as a pool of connections, and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class PerLoop(Generic[_T]):
    """One thing per running event loop and key, opened by the first who asks and closed when the loop shuts down."""

    def __init__(self, open_one: Callable[..., _T], close: Callable[[_T], Awaitable[None]]) -> None:
        """`open_one` is called with the key, on the event loop."""
        self._open_one = open_one
        self._close = close
        self._kept: dict[tuple[asyncio.AbstractEventLoop, Hashable], tuple[_T, AsyncGenerator[None, None]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable) -> _T:
        place = asyncio.get_running_loop(), key
        if place not in self._kept:
            await self._open(place)
        return self._kept[place][0]

    async def _open(self, place: tuple[asyncio.AbstractEventLoop, Hashable]) -> None:
        for closed in [other for other in list(self._kept) if other[0].is_closed()]:
            self._kept.pop(closed, None)
        opened = self._open_one(place[1])
        ending = self._end_with_loop(place, opened)
        self._kept[place] = opened, ending
        await anext(ending)

    async def _end_with_loop(
        self, place: tuple[asyncio.AbstractEventLoop, Hashable], opened: _T
    ) -> AsyncGenerator[None, None]:
        """Wait for the end: asyncio closes suspended generators when it shuts a loop down."""
        try:
            yield
        finally:
            self._kept.pop(place, None)
            await self._close(opened)
