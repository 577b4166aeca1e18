"""Does the database agree with the document store and the file storage? What disagrees can mostly be repaired.

Everything may change while this looks, and nothing is locked for long. So a difference counts only when it is old, or
when it is still there under the lock of its row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Count, Exists, Model, OuterRef, QuerySet, Sum
from django.utils import timezone

from apps.core.ids import is_id
from apps.core.many import among, slices
from apps.datasets import services as datasets
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, File, IngestTask
from apps.documents.services import deleting, file_deleting
from apps.documents.services.rows import locked, recount
from ragflow.engine.docstore.base import ChunkCount

SLICE = 1000
GRACE = timedelta(minutes=15)
"""What is younger may be work in progress: an upload stores the bytes first, a deletion hides first."""

_FILES = "files"  # the folder of the file manager; all others are named after datasets
_Row = TypeVar("_Row", bound=Model)
_Owner = TypeVar("_Owner", Document, File)
_COUNTERS = ("document_count", "chunk_count", "token_count")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit. Without `repair`, a person has to decide what to do."""

    sentence: str
    repair: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    title: str
    look: Callable[[datetime], Iterator[Finding]]  # takes the moment since which everything counts as in progress


def findings(check: Check, *, grace: timedelta = GRACE) -> Iterator[Finding]:
    """Yield what a check finds, as it looks. Raises StoreError and errors of the storage when they do not answer."""
    return check.look(timezone.now() - grace)


def _rows(rows: QuerySet[_Row]) -> Iterator[list[_Row]]:
    """Read rows in slices, by their ids: no cursor stays open meanwhile."""
    last = ""
    while slice_ := list(rows.filter(pk__gt=last).order_by("pk")[:SLICE]):
        yield slice_
        last = str(slice_[-1].pk)


# -- hidden rows ---------------------------------------------------------------------------------------------------


def _hidden(since: datetime) -> Iterator[Finding]:
    """Deletions that did not come to their end. The worker finishes them within a minute, as long as there is one."""
    purges: list[tuple[QuerySet[Any], str, Callable[[], int]]] = [
        (Document.objects.filter(dataset__deleted_at=None), "document", deleting.purge_hidden),
        (KnowledgeBase.objects.all(), "dataset", datasets.purge_hidden),
        (File.objects.filter(links=None), "file", file_deleting.purge_hidden),
    ]
    for rows, noun, purge in purges:
        number = rows.filter(deleted_at__lt=since).count()
        if number:
            text = f"{number} deleted {noun}{'s' if number > 1 else ''} still hold what was in them"
            yield Finding(text, lambda rows=rows, purge=purge: _purge_all(rows.filter(deleted_at__lt=since), purge))  # type: ignore[misc]


def _purge_all(rows: QuerySet[Any], purge: Callable[[], int]) -> None:
    left = rows.count()
    while left:
        purge()
        before, left = left, rows.count()
        if left >= before:
            raise RuntimeError(f"{left} of them could not be removed; the log says why")


# -- chunks --------------------------------------------------------------------------------------------------------


def _chunks_without_document(since: datetime) -> Iterator[Finding]:
    """Chunks whose rows are gone. Rows are written before chunks and deleted after them, so no grace is needed."""
    for dataset_ids in slices(sorted(doc_store().dataset_ids()), SLICE):
        states = dict(KnowledgeBase.objects.filter(among("pk", dataset_ids)).values_list("pk", "deleted_at"))
        for dataset_id in dataset_ids:
            if dataset_id not in states:
                yield from _chunks_without_dataset(dataset_id)
            elif states[dataset_id] is None:
                yield from _chunks_in(dataset_id)


def _chunks_without_dataset(dataset_id: str) -> Iterator[Finding]:
    if left := doc_store().count(dataset_id).chunks:
        text = f"{left} chunks of the dataset {dataset_id}, which does not exist"
        yield Finding(text, lambda: doc_store().delete_dataset(dataset_id))


def _chunks_in(dataset_id: str) -> Iterator[Finding]:
    for document_ids in slices(doc_store().counts_by_document(dataset_id), SLICE):
        known = set(Document.objects.filter(among("pk", document_ids)).values_list("pk", flat=True))
        for document_id in sorted(set(document_ids) - known):
            # A dataset that was deleted meanwhile loses its documents first.
            live = KnowledgeBase.objects.filter(pk=dataset_id, deleted_at=None).exists()
            left = doc_store().count(dataset_id, document_id).chunks if live else 0
            if left:
                text = f"{left} chunks of the document {document_id} in the dataset {dataset_id}, which does not exist"
                yield Finding(text, lambda id_=document_id: doc_store().delete_document(dataset_id, id_))  # type: ignore[misc]


def _chunks_without_vector(since: datetime) -> Iterator[Finding]:
    """Chunks that keep their dataset from being searched: as when database and index are restored from two moments."""
    for slice_ in _rows(KnowledgeBase.objects.filter(deleted_at=None).only("pk", "name")):
        for dataset in slice_:
            left = _lacking(dataset.pk) and _lacking(dataset.pk)  # the model may just have changed
            if left:
                text = f"{left} chunks of {dataset.name!r} ({dataset.pk}) have no vector of its embedding model"
                yield Finding(f"{text}; run manage.py reembed {dataset.pk}")


def _lacking(dataset_id: str) -> int:
    current = KnowledgeBase.objects.filter(pk=dataset_id, deleted_at=None).values_list("vector_space", flat=True)
    return sum(doc_store().count_lacking(dataset_id, space) for space in current)


# -- counters ------------------------------------------------------------------------------------------------------


def _counters_of_documents(since: datetime) -> Iterator[Finding]:
    for slice_ in _rows(KnowledgeBase.objects.filter(deleted_at=None).only("pk")):
        for dataset in slice_:
            yield from _miscounted_in(dataset.pk, since)


def miscounted_in(dataset: KnowledgeBase) -> Iterator[Finding]:
    """Yield what one dataset and its documents count wrongly at this moment. Raises StoreError."""
    yield from _miscounted_in(dataset.pk, timezone.now())
    yield from _miscounted_dataset(dataset.pk)


def _miscounted_in(dataset_id: str, since: datetime) -> Iterator[Finding]:
    counted = doc_store().counts_by_document(dataset_id)
    settled = _settled(since).only("pk", "name", "dataset_id", "chunk_count", "token_count")
    for documents in _rows(settled.filter(dataset_id=dataset_id)):
        for document in documents:
            if _stored(document) != counted.get(document.pk, ChunkCount(0, 0)):
                yield from _miscounted(document, since)


def _settled(since: datetime) -> QuerySet[Document]:
    """Return the live documents that are not being parsed and whose parsing was not started or stopped recently."""
    active = IngestTask.objects.filter(document=OuterRef("pk"), state__in=IngestTask.ACTIVE)
    return Document.objects.filter(~Exists(active), deleted_at=None, updated_at__lt=since)


def _stored(document: Document) -> ChunkCount:
    return ChunkCount(document.chunk_count, document.token_count)


def _miscounted(document: Document, since: datetime) -> Iterator[Finding]:
    """Look again under the lock that all who change chunks take."""
    with transaction.atomic():
        row = locked(document)
        if row is None or not _settled(since).filter(pk=row.pk).exists():
            return
        found = doc_store().count(row.dataset_id, row.pk)
    if _stored(row) != found:
        text = f"{row.name!r} ({row.pk}): {_numbers(_stored(row))}, but there are {_numbers(found)}"
        yield Finding(text, lambda: _recount(row, since))


def _numbers(count: ChunkCount) -> str:
    return f"{count.chunks} chunks with {count.tokens} tokens"


@transaction.atomic
def _recount(document: Document, since: datetime) -> None:
    row = locked(document)
    if row is not None and _settled(since).filter(pk=row.pk).exists():
        recount(row)
        row.save(update_fields=["chunk_count", "token_count"])


def _counters_of_datasets(since: datetime) -> Iterator[Finding]:
    for slice_ in _rows(KnowledgeBase.objects.filter(deleted_at=None).only("pk", "name", *_COUNTERS)):
        totals = _totals([dataset.pk for dataset in slice_])
        for dataset in slice_:
            if _counters(dataset) != totals[dataset.pk]:
                yield from _miscounted_dataset(dataset.pk)


def _totals(dataset_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Sum up the counters of the live documents of each dataset."""
    live = Document.objects.filter(among("dataset_id", dataset_ids), deleted_at=None).order_by()
    sums = live.values_list("dataset_id").annotate(Count("pk"), Sum("chunk_count"), Sum("token_count"))
    found: dict[str, tuple[int, ...]] = defaultdict(lambda: (0, 0, 0))
    return found | {dataset_id: tuple(numbers) for dataset_id, *numbers in sums}


def _counters(dataset: KnowledgeBase) -> tuple[int, ...]:
    return tuple(getattr(dataset, name) for name in _COUNTERS)


def _miscounted_dataset(dataset_id: str) -> Iterator[Finding]:
    """Look again under the lock that all who count take."""
    with transaction.atomic():
        dataset = KnowledgeBase.objects.select_for_update().filter(pk=dataset_id, deleted_at=None).first()
        total = _totals([dataset_id])[dataset_id]
    if dataset is not None and _counters(dataset) != total:
        shown = "{} documents, {} chunks, {} tokens"
        told, counted = shown.format(*_counters(dataset)), shown.format(*total)
        text = f"{dataset.name!r} ({dataset.pk}): {told}, but there are {counted}"
        yield Finding(text, lambda: _recount_dataset(dataset_id))


@transaction.atomic
def _recount_dataset(dataset_id: str) -> None:
    rows = KnowledgeBase.objects.filter(pk=dataset_id, deleted_at=None)
    if rows.select_for_update().exists():
        rows.update(**dict(zip(_COUNTERS, _totals([dataset_id])[dataset_id], strict=True)))


# -- files ---------------------------------------------------------------------------------------------------------


def _blobs_without_row(since: datetime) -> Iterator[Finding]:
    """Bytes that no row needs. Each is stored under the id of the document or file that owns it."""
    for folder, owners in _folders():
        for names in slices(_listed(folder)[1], SLICE):
            for name in sorted(set(names) - _owning(owners, folder, names)):
                if _is_older(f"{folder}/{name}", since) and not _owning(owners, folder, [name]):
                    location = f"{folder}/{name}"
                    text = f"{location}: nothing refers to these bytes"
                    yield Finding(text, lambda location=location: default_storage.delete(location))  # type: ignore[misc]


def _folders() -> Iterator[tuple[str, type[Document | File]]]:
    """Yield the folders that hold bytes, and whose: one per dataset, and one per tenant for the file manager."""
    for name in _listed("")[0]:
        if is_id(name):
            yield name, Document
    for name in _listed(_FILES)[0]:
        yield f"{_FILES}/{name}", File


def _owning(owners: type[Document | File], folder: str, names: Sequence[str]) -> set[str]:
    """Return those of the names under which a row keeps its bytes; hidden ones count, for their bytes go with them."""
    rows = owners.objects.filter(among("pk", names)).values_list("pk", "location")
    return {name for name, location in rows if location == f"{folder}/{name}"}


def _listed(folder: str) -> tuple[list[str], list[str]]:
    try:
        return default_storage.listdir(folder)
    except FileNotFoundError:
        return [], []


def _is_older(location: str, since: datetime) -> bool:
    try:
        return default_storage.get_modified_time(location) < since
    except FileNotFoundError:  # deleted meanwhile
        return False


def _rows_without_blob(since: datetime) -> Iterator[Finding]:
    """Bytes that are lost. Nothing can bring them back, and chunks that were made of them are still good."""
    documents = Document.objects.filter(deleted_at=None, created_at__lt=since)
    yield from _lost("document", documents.only("pk", "name", "location"))
    files = File.objects.filter(deleted_at=None, created_at__lt=since).exclude(location="")
    yield from _lost("file", files.only("pk", "name", "location"))


def _lost(noun: str, rows: QuerySet[_Owner]) -> Iterator[Finding]:
    for slice_ in _rows(rows):
        for row in slice_:
            if not default_storage.exists(row.location) and rows.filter(pk=row.pk).exists():
                yield Finding(f"The {noun} {row.name!r} ({row.pk}) has lost its bytes; upload it again")


# -- tasks ---------------------------------------------------------------------------------------------------------


def _tasks_without_document(since: datetime) -> Iterator[Finding]:
    row = Document.objects.filter(pk=OuterRef("document_id"))
    for slice_ in _rows(IngestTask.objects.filter(~Exists(row))):
        for task in slice_:
            text = f"The task {task.pk} is for the document {task.document_id}, which does not exist"
            yield Finding(text, task.delete)


def _documents_without_task(since: datetime) -> Iterator[Finding]:
    """Documents that wait for ever. State and task change together, so no grace is needed beyond the look itself."""
    waiting = _settled(since).filter(state=Document.State.RUNNING)
    for slice_ in _rows(waiting.only("pk", "name")):
        for document in slice_:
            text = f"{document.name!r} ({document.pk}) is shown as running, but no task is left that would parse it"
            yield Finding(text, lambda document=document: _mark_failed(document, since))  # type: ignore[misc]


@transaction.atomic
def _mark_failed(document: Document, since: datetime) -> None:
    row = locked(document)
    if row is None or not _settled(since).filter(pk=row.pk, state=Document.State.RUNNING).exists():
        return
    row.state, row.progress, row.error_class = Document.State.FAIL, -1, "task_lost"
    row.progress_message = "The task that parsed this document was lost. Parse it again."
    row.save(update_fields=["state", "progress", "error_class", "progress_message", "updated_at"])


CHECKS: Sequence[Check] = (
    Check("Deletions come to their end", _hidden),
    Check("Every task has its document", _tasks_without_document),
    Check("Every running document has its task", _documents_without_task),
    Check("Every chunk has its document", _chunks_without_document),
    Check("Every chunk has its vector", _chunks_without_vector),
    Check("Documents count their chunks", _counters_of_documents),
    Check("Datasets count their documents", _counters_of_datasets),
    Check("Every stored file has its row", _blobs_without_row),
    Check("Every row has its stored file", _rows_without_blob),
)
