"""What workers run. Messages carry ids only; the rows say what is to be done."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError

from apps.datasets import services as datasets
from apps.documents import embedding_anew, ingest
from apps.documents.services import deleting, file_deleting, parsing, reembedding

# A message is gone once its task has failed. While the database is away it is sent again, else what it rang for would
# wait for a sweep to miss it.
_AWAY = (OperationalError, InterfaceError)
_AGAIN = {"max_retries": None, "countdown": 10}


@shared_task(autoretry_for=_AWAY, retry_kwargs=_AGAIN)
def ingest_document(task_id: str) -> None:
    """Make a document searchable."""
    ingest.run(task_id)


@shared_task(autoretry_for=_AWAY, retry_kwargs=_AGAIN)
def reembed_dataset(task_id: str) -> None:
    """Give the chunks of a dataset vectors of another model."""
    embedding_anew.run(task_id)


def sweep() -> None:
    """Look for forgotten work: tasks whose worker died or whose message was lost."""
    parsing.ring_again()
    reembedding.ring_again()


def collect_garbage() -> None:
    """Remove what nobody can see any more. This takes its time, so that nobody notices it either."""
    reembedding.remove_unused_vectors()
    deleting.purge_hidden()
    datasets.purge_hidden(unhurried=True)
    file_deleting.purge_hidden()
