"""Whatever is asked, the server answers as the contract says and nothing breaks inside it.

The requests are few and always the same, unless GENERATED_CASES says how many there shall be per operation and profile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ragflow.streaming import METHODS
from tests.apps.generated.cases import Operation, Sent, operations
from tests.apps.generated.conftest import World
from tests.apps.generated.sending import Send, problem_with, report, streaming

CASES = int(os.environ.get("GENERATED_CASES", "0"))
STREAMING = {f"/{route}".replace("<", "{").replace(">", "}") for route in METHODS}

bounded = settings(
    max_examples=CASES or 3,
    derandomize=not CASES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def failures(chosen: Iterable[Operation], world: World, send: Send, complaints: list[str]) -> str:
    """Send a bounded number of requests to each operation. Return what went wrong, one paragraph for each."""

    def failure_of(operation: Operation) -> str:
        seen: list[str] = []

        known, headers = world.ids_for(operation.path), world.headers(operation.schemes)

        @bounded
        @given(request=operation.requests(known, headers))
        def ask(request: Sent) -> None:
            complaints.clear()
            problem = problem_with(send(request), request.path)
            if problem or complaints:
                seen.append(f"{request}\n{problem}\n{''.join(complaints)}")

        ask()
        return "\n".join(seen[:1])

    return "\n\n".join(filter(None, map(failure_of, chosen)))


def test_ordinary_half(world: World, profile: str, complaints: list[str], ordinary: Send) -> None:
    chosen = [operation for operation in operations() if operation.path not in STREAMING]
    report(failures(chosen, world, ordinary, complaints))


@pytest.mark.django_db(transaction=True)
def test_streaming_half(world: World, profile: str, complaints: list[str]) -> None:
    chosen = [operation for operation in operations() if operation.path in STREAMING]
    assert chosen
    report(failures(chosen, world, streaming, complaints))
