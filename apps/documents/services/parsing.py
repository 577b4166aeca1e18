"""Starting and stopping the work that makes documents searchable. The work itself is in `apps.documents.ingest`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.core.errors import Conflict, DataError, NotFound
from apps.core.queue import enqueue
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents import leases
from apps.documents.models import Document, IngestTask
from apps.documents.selectors import active_tasks, documents_of, existing_ids
from apps.documents.services.auditing import note_document, note_document_ids, note_documents
from apps.documents.services.rows import locked

INGEST = "apps.documents.tasks.ingest_document"
_LATER_STAGES = frozenset({"raptor", "graphrag"})  # parts of a configuration that do not change what parsing gives
_SHORTEST = 0.001  # seconds; a parsed document shows that it took some time

QUEUED_PROGRESS = 0.001  # a queued document counts as being processed: its progress lies between 0 and 1


def start_parsing(*, dataset: KnowledgeBase, ids: Sequence[str]) -> list[str]:
    """Queue documents for parsing, one after the other, and return the ids that the dataset does not have.

    Chunks of an earlier run are removed. Raises Conflict at the first document that is being processed already; those
    before it stay queued.
    """
    known = existing_ids(dataset, ids)
    unknown, queued = [], []
    try:
        for document_id in ids:
            task = _queue(dataset, document_id) if document_id in known else None
            if task is None:
                unknown.append(document_id)
                continue
            queued.append(document_id)
            # What the new task writes is younger.
            doc_store().delete_document(dataset.pk, document_id, older_than=task.created_at.timestamp())
    finally:
        note_document_ids("parse", dataset, queued)
    return unknown


@transaction.atomic
def _queue(dataset: KnowledgeBase, document_id: str) -> IngestTask | None:
    document = documents_of(dataset).select_for_update(of=("self",)).filter(pk=document_id).first()
    if document is None:
        return None
    if document.state == Document.State.RUNNING:
        raise Conflict("Can't parse document that is currently being processed")
    return _queue_locked(document, dataset)


def _queue_locked(document: Document, dataset: KnowledgeBase) -> IngestTask:
    now = timezone.now()
    task = IngestTask.objects.create(document=document, lease_until=now + leases.RING_AGAIN_AFTER)
    forget_chunks(document)
    document.state = Document.State.RUNNING
    document.progress = QUEUED_PROGRESS
    document.progress_message = "Task is queued..."
    document.process_begin_at = now
    document.process_duration = 0
    document.error_class = ""
    document.recipe = recipe_of(document, dataset)
    document.save()
    enqueue(INGEST, task.pk)
    return task


def parse_if_needed(*, document: Document, anew: bool = False) -> None:
    """Queue a document for parsing unless it is being processed already, or has been in just this way.

    In the latter case its chunks stay as they are by now, also those added, changed or deleted by hand; `anew` makes
    them go.
    """
    with transaction.atomic():
        row = locked(document)
        if row is None or row.state == Document.State.RUNNING:
            return
        note_document("parse", document)
        if not anew and row.state == Document.State.DONE and row.recipe == recipe_of(row, document.dataset):
            _keep_result(row)
            return
        task = _queue_locked(row, document.dataset)
    # What the new task writes is younger.
    doc_store().delete_document(row.dataset_id, row.pk, older_than=task.created_at.timestamp())


def _keep_result(document: Document) -> None:
    """Show a locked document as parsed at this moment."""
    now = timezone.now()
    clock = f"{timezone.localtime(now):%H:%M:%S}"
    document.process_begin_at = now
    document.process_duration = _SHORTEST
    document.progress_message = (
        f"{clock} Page(0~100000000):  Reused previous task's chunks.\n{clock} Task done ({_SHORTEST}s)."
    )
    document.save(update_fields=["process_begin_at", "process_duration", "progress_message", "updated_at"])


def recipe_of(document: Document, dataset: KnowledgeBase) -> str:
    """Return a digest of all that decides what parsing a document gives.

    The embedding model is not among it: when that changes, the chunks get new vectors.
    """
    config = {name: value for name, value in document.parser_config.items() if name not in _LATER_STAGES}
    decisive = [document.suffix, document.location, document.chunk_method, config]
    return hashlib.sha256(json.dumps([*decisive, dataset.language], sort_keys=True).encode()).hexdigest()


def stop_parsing(*, dataset: KnowledgeBase, ids: Sequence[str]) -> None:
    """Cancel parsing, one document after the other. No chunk of a cancelled document is written any more.

    Raises at the first document that is not in the dataset (NotFound) or neither running nor failed (DataError); those
    before it stay cancelled.
    """
    cancelled = []
    try:
        for document_id in ids:
            document, moment = _cancel(dataset, document_id)
            cancelled.append(document)
            remove_chunks(document, older_than=moment)
    finally:
        note_documents("stop parsing", dataset, cancelled)


@transaction.atomic
def _cancel(dataset: KnowledgeBase, document_id: str) -> tuple[Document, float]:
    """Cancel, and return the document with the Unix time before which all its chunks are of the past."""
    document = documents_of(dataset).select_for_update(of=("self",)).filter(pk=document_id).first()
    if document is None:
        raise NotFound(f"You don't own the document {document_id}.")
    if document.state not in {Document.State.RUNNING, Document.State.FAIL}:
        raise DataError("Can't stop parsing document with progress at 0 or 1")
    return document, _cancel_locked(document)


def stop_if_running(*, document: Document) -> None:
    """Cancel the parsing of a document. Raises DataError when it is not being parsed."""
    with transaction.atomic():
        row = locked(document)
        if row is None or row.state != Document.State.RUNNING:
            raise DataError("Cannot cancel a task that is not in RUNNING status")
        note_document("stop parsing", document)
        moment = _cancel_locked(row)
    remove_chunks(row, older_than=moment)


def _cancel_locked(document: Document) -> float:
    cancel_tasks([document])
    forget_chunks(document)
    document.state = Document.State.CANCEL
    document.progress = 0
    document.save()
    return time.time()


def remove_chunks(document: Document, *, older_than: float) -> None:
    """Remove a document's chunks that were made before this Unix time.

    They are many, so first without a lock; then once more under the document's lock, for the one that somebody who
    was changing it may have written back.
    """
    place = document.dataset_id, document.pk
    doc_store().delete_document(*place, older_than=older_than)
    with transaction.atomic():
        if locked(document) is not None:
            doc_store().delete_document(*place, older_than=older_than)


def cancel_tasks(documents: Sequence[Document]) -> None:
    """Cancel what waits or runs for these documents. A worker that is writing a slice is waited for."""
    tasks = active_tasks([document.pk for document in documents])
    tasks.update(state=IngestTask.State.CANCELLED, finished_at=timezone.now(), lease_until=None)


def forget_chunks(document: Document) -> None:
    """Set a locked document's counters to 0 and take them off its dataset's. The caller saves the document."""
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(
        chunk_count=F("chunk_count") - document.chunk_count, token_count=F("token_count") - document.token_count
    )
    document.chunk_count = document.token_count = 0


def ring_again() -> int:
    """Ring for tasks that nobody works on any more; see `leases.ring_again`."""
    return leases.ring_again(IngestTask, INGEST)
