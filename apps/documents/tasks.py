"""What workers run. Messages carry ids only; the rows say what is to be done."""

from __future__ import annotations

from celery import shared_task

from apps.datasets import services as datasets
from apps.documents import ingest
from apps.documents.services import deleting, file_deleting, parsing


@shared_task
def ingest_document(task_id: str) -> None:
    """Make a document searchable."""
    ingest.run(task_id)


@shared_task
def sweep() -> None:
    """Look for forgotten work: tasks whose worker died or whose message was lost, and interrupted deletions."""
    parsing.ring_again()
    deleting.purge_hidden()
    datasets.purge_hidden()
    file_deleting.purge_hidden()
