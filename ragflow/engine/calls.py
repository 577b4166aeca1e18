"""Which calls are made to model providers, for whoever runs the engine and wants to count them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from ragflow.engine.errors import ModelError

Kind = Literal["chat", "embedding", "rerank", "speech", "web_search"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has ended, repeated attempts included. `outcome` is ok, cancelled or the code of a ModelError."""

    kind: Kind
    outcome: str
    seconds: float


observers: list[Callable[[Call], None]] = []
"""Told of every call, in the thread or on the event loop that made it: they must be quick and raise nothing."""


@contextmanager
def call(kind: Kind) -> Iterator[None]:
    """Tell the observers how the block within ends."""
    started, outcome = perf_counter(), "ok"
    try:
        yield
    except ModelError as error:
        outcome = error.code
        raise
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "cancelled"
        raise
    except BaseException:
        outcome = "UNEXPECTED"
        raise
    finally:
        ended = Call(kind, outcome, perf_counter() - started)
        for observe in observers:
            observe(ended)
