"""What workers count of model providers, brought to `/metrics` by way of the database.

Nobody can ask a worker: it may be a thread, a child process or on another machine. So each adds what it has counted to
rows that all of them share, and the numbers stay when it ends. There are as few rows as combinations of labels.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

from celery import signals
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from prometheus_client.core import Metric

from apps.core import metrics

log = logging.getLogger(__name__)

SHARED = (metrics.model_calls, metrics.model_call_seconds, metrics.provider_tokens)
OURS, WORKERS = "ragflow_", "ragflow_worker_"  # what the names begin with in a process, and over all workers

Counted = dict[tuple[str, str], float]  # by the name of a sample, and its labels as JSON

_lock = threading.Lock()
_reported: Counted = {}


def report_after_tasks() -> None:
    """Make this worker report after each task, in whichever process of it the task runs."""
    signals.task_postrun.connect(_after_task)


def _after_task(**_: Any) -> None:
    try:
        report()
    except DatabaseError as error:  # the next report has it
        log.warning("What was counted has to wait: %s", type(error).__name__)


def report() -> None:
    """Add what this process has counted since its last report to the rows of all workers. Raises DatabaseError."""
    with _lock:
        counted = _counted()
        grown = {key: value - _reported.get(key, 0) for key, value in counted.items() if value != _reported.get(key, 0)}
        if grown:
            _add(grown)
            _reported.update(counted)


def shown() -> list[Metric]:
    """Return what all workers have counted."""
    from ragflow.models import WorkerCount

    stored = [(row.sample, json.loads(row.labels), row.value) for row in WorkerCount.objects.all()]
    stored.sort(key=_place)
    return [metric for family in _families() for metric in _restored(family, stored)]


def _counted() -> Counted:
    return {
        (sample.name, json.dumps(sample.labels, sort_keys=True)): sample.value
        for family in _families()
        for sample in family.samples
    }


@transaction.atomic
def _add(grown: Counted) -> None:
    """Always in the same order, so that no two workers wait for each other."""
    from ragflow.models import WorkerCount

    for (sample, labels), value in sorted(grown.items()):
        row = WorkerCount.objects.filter(sample=sample, labels=labels)
        if row.update(value=F("value") + value):
            continue
        try:
            with transaction.atomic():
                WorkerCount.objects.create(sample=sample, labels=labels, value=value)
        except IntegrityError:  # another worker was first
            row.update(value=F("value") + value)


def _families() -> Iterator[Metric]:
    for metric in SHARED:
        yield from metric.collect()


def _restored(family: Metric, stored: list[tuple[str, dict[str, str], float]]) -> Iterator[Metric]:
    """Yield a family with the stored values in place of this process's, under its other name."""
    restored = Metric(_renamed(family.name), f"{family.documentation} Of all workers.", family.type)
    for sample, labels, value in stored:
        if sample.rpartition("_")[0] == family.name:
            restored.add_sample(_renamed(sample), labels, value)
    if restored.samples:
        yield restored


def _renamed(name: str) -> str:
    return WORKERS + name.removeprefix(OURS)


def _place(row: tuple[str, dict[str, str], float]) -> tuple[str, list[str], float]:
    """Buckets follow each other by their bounds, as Prometheus wants them."""
    sample, labels, _ = row
    others = [value for name, value in sorted(labels.items()) if name != "le"]
    return sample, others, float(labels.get("le", 0))
