"""How long an answer takes and how it ends, for the metrics."""

from __future__ import annotations

from time import perf_counter

from apps.core import metrics
from ragflow.engine.types import Answer, Delta, Event, Thinking


class Watch:
    """Listens to one turn. It starts when it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._has_spoken = False
        self._has_ended = False

    @property
    def seconds(self) -> float:
        return perf_counter() - self._started

    def hear(self, event: Event) -> None:
        if not self._has_spoken and isinstance(event, Delta | Thinking | Answer):
            self._has_spoken = True
            metrics.first_token_seconds.observe(self.seconds)
        if isinstance(event, Answer):
            self.stop("answered")

    def stop(self, outcome: str) -> None:
        """Count the turn. Only its first end counts: a client may leave after the answer."""
        if not self._has_ended:
            self._has_ended = True
            metrics.answers.labels(outcome).inc()
