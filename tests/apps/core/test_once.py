"""Values that a process makes once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from apps.core.once import once


def test_many_threads_get_one_value():
    made, start = [], Barrier(8)

    @once
    def value() -> object:
        """Documented."""
        made.append(object())
        return made[-1]

    def ask(_: int) -> object:
        start.wait()
        return value()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == len(made) == 1
    assert value.__doc__ == "Documented."


def test_a_value_is_made_anew_after_a_reset():
    @once
    def value() -> object:
        return object()

    assert value.reset() is None
    first = value()
    assert value.reset() is first
    assert value() is not first


def test_a_failure_is_not_kept():
    answers = iter([ValueError("not yet"), "ready"])

    @once
    def value() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    for _ in range(2):
        try:
            result = value()
        except ValueError:
            result = "failed"
    assert result == "ready"
