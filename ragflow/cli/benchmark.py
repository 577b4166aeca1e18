"""Repeating a statement in several threads, and counting."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ragflow.cli.context import Context
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Rule, Statement

_PREFIX = "BENCHMARK <concurrency:number> <iterations:number>"
_MOST_THREADS = 1000


@dataclass(frozen=True, slots=True)
class Tally:
    """What one thread did: seconds that the statements took, and how many of them succeeded and failed."""

    seconds: float
    successes: int
    failures: int


def rule_for(rule: Rule) -> Rule:
    """Return the rule that repeats the statements of another one."""

    def run(ctx: Context, concurrency: int, iterations: int, **values: object) -> None:
        statement = Statement(rule, {name: value for name, value in values.items() if name not in rule.options})
        benchmark(ctx, statement, concurrency=concurrency, iterations=iterations)

    return replace(rule, pattern=f"{_PREFIX} {rule.pattern}", run=run, benchmarked=False)


def benchmark(ctx: Context, statement: Statement, *, concurrency: int, iterations: int) -> None:
    if concurrency == 0:
        raise CommandFailed("Concurrency must be greater than 0")
    if concurrency > _MOST_THREADS:
        raise CommandFailed(f"Concurrency must be at most {_MOST_THREADS}")
    begun, given_up = time.perf_counter(), threading.Event()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            tallies = list(pool.map(lambda _: _repeat(ctx, statement, iterations, given_up), range(concurrency)))
        except KeyboardInterrupt:
            given_up.set()  # leaving the pool waits for its threads
            raise
    elapsed = time.perf_counter() - begun
    duration = tallies[0].seconds if concurrency == 1 else elapsed
    ctx.write(f"command: {statement.shown}, Concurrency: {concurrency}, iterations: {iterations}")
    ctx.write(_summary(duration, tallies))


def _summary(duration: float, tallies: Sequence[Tally]) -> str:
    successes, failures = sum(tally.successes for tally in tallies), sum(tally.failures for tally in tallies)
    count = successes + failures
    rate = round(count / duration, 2) if duration > 0 else 0
    return (
        f"total duration: {duration:.4f}s, QPS: {rate}, COMMAND_COUNT: {count}, SUCCESS: {successes}, "
        f"FAILURE: {failures}"
    )


def _repeat(ctx: Context, statement: Statement, iterations: int, given_up: threading.Event) -> Tally:
    """Run a statement again and again, unless given up, over a connection of its own. Datasets are looked up once."""
    quiet = replace(ctx, client=ctx.client.twin(), write=lambda _line: None, datasets={})
    seconds, successes = 0.0, 0
    try:
        for _ in range(iterations):
            if given_up.is_set():
                break
            begun = time.perf_counter()
            successes += _succeeds(quiet, statement)
            seconds += time.perf_counter() - begun
    finally:
        quiet.client.close()
    return Tally(seconds, successes, iterations - successes)


def _succeeds(ctx: Context, statement: Statement) -> bool:
    try:
        statement.rule.run(ctx, **statement.values, **statement.rule.options)
    except CommandFailed:
        return False
    return True
