"""Deleting documents: out of sight at once, then their chunks and files, then the rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from apps.core.many import among, slices
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, MetadataValue
from apps.documents.selectors import documents_of
from apps.documents.services.auditing import note_documents
from apps.documents.services.parsing import cancel_tasks
from ragflow.engine.errors import StoreError

log = logging.getLogger(__name__)

_SLICE = 500
_ABANDONED_AFTER = timedelta(minutes=1)


def delete_documents(*, dataset: KnowledgeBase, ids: Sequence[str] | None) -> int:
    """Delete these documents, or all of the dataset when `ids` is None, and return how many there were.

    Ids that the dataset does not have are passed over. When the call returns, nothing of the documents is left; a
    worker that was parsing one writes no more. Raises StoreError when their chunks cannot be removed now: the documents
    are out of sight then, and `purge_hidden` finishes the work.
    """
    deleted = 0
    for slice_ in _slices(dataset, ids):
        documents = hide(dataset, slice_)
        purge(documents)
        deleted += len(documents)
    return deleted


def _slices(dataset: KnowledgeBase, ids: Sequence[str] | None) -> Iterator[list[str]]:
    if ids is None:
        while slice_ := list(documents_of(dataset).values_list("pk", flat=True)[:_SLICE]):
            yield slice_
        return
    yield from slices(ids, _SLICE)


@transaction.atomic
def hide(dataset: KnowledgeBase, ids: Sequence[str]) -> list[Document]:
    """Make documents invisible, their names free and their tasks void, and count them off. `purge` does the rest.

    However many they are, all are locked before their dataset.
    """
    locked = documents_of(dataset).filter(among("pk", ids)).select_for_update(of=("self",))
    documents = list(locked.order_by("pk").defer("parser_config", "meta_fields", "progress_message", "thumbnail"))
    if not documents:
        return []
    cancel_tasks(documents)
    hidden = [document.pk for document in documents]
    rows = Document.objects.filter(among("pk", hidden))
    gone = rows.aggregate(chunks=Sum("chunk_count"), tokens=Sum("token_count"))
    rows.update(deleted_at=timezone.now())
    MetadataValue.objects.filter(among("document_id", hidden)).delete()
    KnowledgeBase.objects.filter(pk=dataset.pk).update(
        document_count=F("document_count") - len(documents),
        chunk_count=F("chunk_count") - gone["chunks"],
        token_count=F("token_count") - gone["tokens"],
    )
    note_documents("delete", dataset, documents)
    return documents


def purge(documents: Sequence[Document]) -> None:
    """Remove the chunks, bytes and rows of hidden documents. Bytes borrowed from the file manager stay there.

    Raises StoreError when chunks cannot be removed now.
    """
    purged = []
    for document in documents:
        doc_store().delete_document(document.dataset_id, document.pk)
        try:
            if not document.borrows_its_bytes:
                default_storage.delete(document.location)
        except Exception:  # each storage has errors of its own
            log.exception("The file of the deleted document %s could not be removed yet", document.pk)
        else:
            purged.append(document.pk)
    Document.objects.filter(pk__in=purged).delete()


def purge_hidden() -> int:
    """Finish deletions that a crash or a failing store interrupted. Return how many documents there were."""
    abandoned = Document.objects.filter(
        deleted_at__lt=timezone.now() - _ABANDONED_AFTER, dataset__deleted_at__isnull=True
    )
    documents = list(abandoned.order_by("deleted_at")[:_SLICE])
    try:
        purge(documents)
    except StoreError as error:
        log.warning("Deleted documents have to wait for their chunks to be removed: %s", error)
    return len(documents)
