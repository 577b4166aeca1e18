"""Holding a task: claim it, keep it, and ring again for one that its worker let go.

The task's row decides everything. A worker owns a task as long as it is running under the attempt number that the
worker got when it claimed it; whatever a worker writes is checked against that in the same transaction. So a worker
that was cancelled, or slept past its lease, changes nothing any more.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.core.queue import enqueue
from apps.documents.models import Task
from ragflow.engine.errors import ParseError

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)
RENEW_SECONDS = 5.0
LOOK_SECONDS = 0.5
RING_AGAIN_AFTER = timedelta(minutes=5)
"""How long a waiting task relies on its message in the broker."""

TRY_AGAIN_AFTER = timedelta(minutes=1)
"""How long a task waits for a server that is away."""

_NO_LEASE_IS_LONGER = timedelta(minutes=10)  # a later end was written before the clock was set back

_leaving = threading.Event()  # this worker has been told to stop

_T = TypeVar("_T", bound=Task)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def claimed(tasks: QuerySet[_T], task_id: str) -> _T | None:
    """Take a waiting task, or return None."""
    taken = tasks.model.objects.filter(pk=task_id, state=Task.State.PENDING).update(
        state=Task.State.RUNNING,
        attempt=F("attempt") + 1,
        lease_until=timezone.now() + LEASE,
        worker=f"{socket.gethostname()}/{os.getpid()}",
        stage="",
        updated_at=timezone.now(),
    )
    return tasks.filter(pk=task_id).first() if taken else None  # what is deleted at this moment takes its tasks along


def leave() -> None:
    """Make the tasks of this process stop where they would look for a cancellation. Other workers go on with them."""
    _leaving.set()


class Held(Generic[_T]):
    """A task in the hands of a worker, for one attempt."""

    def __init__(self, task: _T) -> None:
        self.task = task
        self.lost = threading.Event()
        self._looked_at = time.monotonic()

    @property
    def mine(self) -> QuerySet[_T]:
        """The task's row, as long as it is this attempt's."""
        rows: QuerySet[_T] = type(self.task).objects.all()
        return rows.filter(pk=self.task.pk, state=Task.State.RUNNING, attempt=self.task.attempt)

    def should_stop(self) -> bool:
        """Tell whether to go no further: the worker leaves, or the task is no longer this attempt's.

        The row is read twice a second at most.
        """
        if not self.lost.is_set() and time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            if not self.mine.exists():
                self.lost.set()
        return self.lost.is_set() or _leaving.is_set()

    @contextmanager
    def lease_kept(self) -> Iterator[None]:
        """Renew the lease in the background, however long one call into a model or a parser takes."""
        over = threading.Event()

        def renew() -> None:
            try:
                while not over.wait(RENEW_SECONDS):
                    if not self._renewed():
                        self.lost.set()
                        return
            finally:
                connection.close()

        thread = threading.Thread(target=renew, name=f"lease of {self.task.pk}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def give_back(self) -> bool:
        """Let go of the task as if this attempt had not been, or return False if it was taken away.

        Its lease must not be renewed any more. The next sweep rings for it, which may be that of a worker yet to start.
        """
        now = timezone.now()
        begun = F("attempt") - 1
        return bool(
            self.mine.update(state=Task.State.PENDING, attempt=begun, lease_until=now, worker="", updated_at=now)
        )

    def put_off(self, reason: str) -> None:
        """Let go of the task; it is tried again after a while. Its lease must not be renewed any more."""
        self.mine.update(message=reason, lease_until=timezone.now() + TRY_AGAIN_AFTER, updated_at=timezone.now())

    def _renewed(self) -> bool:
        try:
            return bool(self.mine.update(lease_until=timezone.now() + LEASE))
        except DatabaseError as error:
            log.warning("The lease of task %s could not be renewed: %s", self.task.pk, error)
            return True  # not known to be lost; every write checks again


def ring_again(model: type[Task], message: str) -> int:
    """Ring for tasks whose worker let its lease run out, and for waiting ones whose message seems lost.

    Return how many there were. Several workers may do this at once; each task is rung for by one of them.
    """
    now = timezone.now()
    over = Q(lease_until__lt=now) | Q(lease_until__gt=now + _NO_LEASE_IS_LONGER)
    overdue = model.objects.filter(over, state__in=Task.ACTIVE)
    return sum(_ring(model, message, *row) for row in overdue.values_list("pk", "lease_until"))


@transaction.atomic
def _ring(model: type[Task], message: str, task_id: str, lease: datetime | None) -> int:
    unchanged = model.objects.filter(pk=task_id, state__in=Task.ACTIVE, lease_until=lease)
    rung = unchanged.update(state=Task.State.PENDING, lease_until=timezone.now() + RING_AGAIN_AFTER, worker="")
    if rung:
        enqueue(message, task_id)
    return rung


def key_of(error: Exception) -> str:
    """Return a stable key for a class of failures: `encrypted`, `model_error`."""
    if isinstance(error, ParseError):
        return error.reason
    return _CAMEL.sub("_", type(error).__name__).lower()
