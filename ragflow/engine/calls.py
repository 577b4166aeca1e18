"""Which calls are made to model providers and what they cost, for whoever runs the engine and wants to count them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from ragflow.engine.errors import ModelError
from ragflow.engine.types import Usage

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


# -- tokens --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spent:
    """The tokens of a call that succeeded: the provider's count, or an estimate."""

    kind: Kind
    model: str  # "model@provider"
    account: str  # of the RemoteModel: for whom it is counted
    usage: Usage


spending_observers: list[Callable[[Spent], None]] = []
"""Told of all tokens, as `observers` are of calls."""


@dataclass(slots=True)
class Meter:
    """Adds up tokens. Use `start_meter`."""

    usages: list[Usage] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(usage.total_tokens for usage in self.usages)


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


def start_meter() -> Meter:
    """Return a meter of what this task, and the tasks and threads that it starts, spend from now on."""
    meter = Meter()
    _meter.set(meter)
    return meter


def spend(spent: Spent) -> None:
    """Tell the meter and the observers."""
    if meter := _meter.get():
        meter.usages.append(spent.usage)
    for observe in spending_observers:
        observe(spent)


def reported_usage(answer: Any) -> Usage | None:
    """Return what a whole answer says that it cost; None when it does not say so."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    total = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    return Usage(total, 0, estimated=False) if isinstance(total, int) and total >= 0 else None
