"""Values that a process makes once, when they are first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class once(Generic[_Value]):  # noqa: N801
    """Decorate a function without arguments: the first call runs it, later calls (of any thread) return its result."""

    def __init__(self, make: Callable[[], _Value]) -> None:
        self.__doc__ = make.__doc__
        self._make = make
        self._made: list[_Value] = []
        self._lock = threading.Lock()

    def __call__(self) -> _Value:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def reset(self) -> _Value | None:
        """Forget the value, so that changed settings count, and return it."""
        with self._lock:
            return self._made.pop() if self._made else None
