"""Handing work to the workers."""

from __future__ import annotations

import logging
from functools import partial

from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)


def enqueue(task: str, *ids: str) -> None:
    """Ring for a worker to run the task of this dotted name, for example "apps.documents.tasks.ingest_document".

    Tasks take ids only, and their rows say what is to be done. Inside a transaction the bell rings if that commits.
    A broker that is away is logged, not raised: the rows are there, and the next sweep of a worker rings for them.
    """
    if settings.CELERY_BROKER_URL.startswith("django:"):
        _send(task, ids, retry=False)  # an INSERT on this connection, so it belongs to the transaction
    else:
        transaction.on_commit(partial(_send_or_leave_to_sweep, task, ids))


def _send(task: str, ids: tuple[str, ...], *, retry: bool) -> None:
    from ragflow.celery import app

    app.send_task(task, args=ids, retry=retry)


def _send_or_leave_to_sweep(task: str, ids: tuple[str, ...]) -> None:
    from celery.exceptions import OperationalError

    try:
        _send(task, ids, retry=True)
    except OperationalError as error:
        log.warning("The message broker does not answer (%s); a sweep will start %s later.", error, task)
