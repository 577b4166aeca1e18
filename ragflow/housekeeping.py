"""What a worker does beside its tasks: it says that it lives, looks for forgotten work, and removes what is old.

A message is only a doorbell; the truth is in the task rows. So nothing is lost when a message is: the sweep rings again
for the tasks whose worker died. Removing what was deleted can take minutes, so a thread of its own does that.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import timedelta
from typing import Any

from celery import bootsteps, signals
from django.db import DatabaseError, connections
from django.utils import timezone

from ragflow import worker_counts

log = logging.getLogger(__name__)

ROUND_SECONDS = 10.0
GONE_AFTER = timedelta(minutes=1)


class Housekeeping(bootsteps.StartStopStep):
    """Two threads that live as long as their worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        worker_counts.report_after_tasks()  # now, because the pool may be about to fork
        signals.worker_shutting_down.connect(_leave)

    def start(self, worker: Any) -> None:
        name = f"{worker.hostname}/{os.getpid()}"
        self._thread = threading.Thread(target=self._run, args=(name, worker.concurrency), daemon=True)
        self._thread.start()
        # Nobody waits for its end: it removes in small transactions, and whoever comes next goes on with the rest.
        threading.Thread(target=self._collect_garbage, daemon=True).start()

    def stop(self, worker: Any) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def terminate(self, worker: Any) -> None:
        self.stop(worker)

    def _run(self, name: str, threads: int) -> None:
        while not self._stopping.is_set():
            _guarded(say_alive, name, threads)
            _guarded(_sweep)
            _guarded(_forget)
            _guarded(worker_counts.report)  # of long tasks while they run
            self._stopping.wait(ROUND_SECONDS)
        _guarded(worker_counts.report)
        _guarded(say_goodbye, name)

    def _collect_garbage(self) -> None:
        while not self._stopping.is_set():
            _guarded(_collect_garbage)
            self._stopping.wait(ROUND_SECONDS)


def say_alive(name: str, threads: int) -> None:
    """Record that this worker lives, and forget those that have been silent for a minute."""
    from ragflow.models import Worker

    now = timezone.now()
    current = {"seen_at": now, "threads": threads}
    Worker.objects.update_or_create(name=name, defaults=current, create_defaults=current | {"started_at": now})
    Worker.objects.filter(seen_at__lt=now - GONE_AFTER).delete()


def say_goodbye(name: str) -> None:
    from ragflow.models import Worker

    Worker.objects.filter(name=name).delete()


def _leave(**_: Any) -> None:
    """Stop the tasks of a pool of threads; Celery waits for them, and whoever stops the worker does not wait long."""
    from apps.documents.leases import leave

    leave()


def _sweep() -> None:
    from apps.documents.tasks import sweep

    sweep()


def _collect_garbage() -> None:
    from apps.documents.tasks import collect_garbage

    collect_garbage()


def _forget() -> None:
    from apps.accounts.services.retention import forget_expired_sessions, forget_old_entries
    from apps.documents.services.retention import forget_finished_tasks

    forget_old_entries()
    forget_expired_sessions()
    forget_finished_tasks()


def _guarded(act: Any, *arguments: object) -> None:
    """Housekeeping lives as long as its worker. When the database is away, the worker's own loop reconnects."""
    try:
        act(*arguments)
    except DatabaseError as error:
        log.warning("Housekeeping has to wait: %s", error)
    except Exception:  # without its thread nothing would be swept, and the worker would be taken for dead
        log.exception("Housekeeping failed; the next round tries again")
    finally:
        connections.close_all()
