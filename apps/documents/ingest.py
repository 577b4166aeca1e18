"""The worker's side of an ingest task: claim it, report, and finish it in one write. How it is held is in `leases`."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.accounts.language_models import embedder_for
from apps.core.logs import note_tenant, working_on
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.extraction import extract
from apps.documents.leases import LEASE, LOOK_SECONDS, Held, claimed, key_of
from apps.documents.models import Document, IngestTask, Reembedding
from apps.documents.services.rows import recount
from apps.documents.tables import keep_table
from ragflow.engine.docstore.base import ChunkCount, DocStore
from ragflow.engine.errors import Cancelled, EngineError, StoreError, StoreUnavailable
from ragflow.engine.ingest import IngestJob, ingest
from ragflow.engine.tables.packing import TablePacker
from ragflow.engine.types import Chunk, Matrix, Progress, Stage

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
_SLICE = 500
MAX_ATTEMPTS = 3


def run(task_id: str) -> None:
    """Claim a task and see it through. Returns at once when another worker has it or nothing is left to do."""
    with working_on(task_id):
        task = claim(task_id)
        if task is not None:
            note_tenant(task.document.dataset.tenant_id)
            _see_through(task)


def _see_through(task: IngestTask) -> None:
    work = _Work(task)
    try:
        with work.lease_kept():
            work.do()
    except Cancelled:
        reason = "is left to another worker" if work.give_back() else "was cancelled"
        log.info("Parsing of document %s %s", task.document_id, reason)
    except (OperationalError, InterfaceError):
        raise  # nothing can be recorded now; the lease runs out, and the task is tried again
    except EngineError as error:
        if isinstance(error, StoreUnavailable) and task.attempt < MAX_ATTEMPTS:
            work.try_later(error)
        else:
            log.info("Document %s cannot be parsed: %s", task.document_id, error)
            work.fail(error, str(error))
    except FileNotFoundError as error:
        log.warning("The file of document %s is missing from the file storage", task.document_id)
        work.fail(error, "The file of this document is missing from the file storage. Upload it again.")
    except Exception as error:
        log.exception("Parsing of document %s failed", task.document_id)
        work.fail(error, f"Parsing failed with an unexpected {type(error).__name__}. The worker's log has the details.")


def claim(task_id: str) -> IngestTask | None:
    """Take a waiting task, or return None. A task that stopped its workers too often is set aside instead."""
    task = claimed(IngestTask.objects.select_related("document__dataset"), task_id)
    if task is None or task.attempt <= MAX_ATTEMPTS:
        return task
    log.warning("Document %s is set aside: it stopped its worker %d times", task.document_id, MAX_ATTEMPTS)
    _Work(task).end(
        IngestTask.State.QUARANTINED,
        "worker_lost",
        f"Parsing stopped its worker {MAX_ATTEMPTS} times, so this file was set aside. It may need more memory than "
        "the worker has. Split the file, or give the worker more memory, and parse it again.",
    )
    return None


class _ModelChanged(Exception):
    """The dataset has another embedding model than the one that the work was begun with."""


class _Work(Held[IngestTask]):
    """One attempt at one task."""

    def __init__(self, task: IngestTask) -> None:
        super().__init__(task)
        self.document = task.document
        self._reported_at = time.monotonic()
        self._lines: list[str] = []
        self._table = TablePacker()

    def do(self) -> None:
        self._say("Task has been received.")
        while True:
            try:
                return self._parse()
            except _ModelChanged:
                self.document.dataset = KnowledgeBase.objects.get(pk=self.document.dataset_id)
                self._say(f"Parsing begins again: the embedding model is {self.document.dataset.embedding_model} now.")

    def _parse(self) -> None:
        dataset = self.document.dataset
        self._table = TablePacker()
        job = IngestJob(
            dataset_id=dataset.pk,
            document_id=self.document.pk,
            document_name=self.document.name,
            method=self.document.chunk_method,
            parser_config=self.document.parser_config,
        )
        store = _OwnersStore(doc_store(), self)
        with _file_of(self.document) as path:
            steps = ingest(
                path,
                job,
                embedder=embedder_for(dataset.embedding_model, dataset.tenant_id),
                store=cast("DocStore", store),
                table=self._table,
                should_stop=self.should_stop,
            )
            for step in steps:
                if step.stage is Stage.DONE:
                    self._say(extract(self.document))
                self._say(step.message)
                if step.stage is Stage.DONE:
                    self.finish()
                else:
                    self.report(step)

    def _say(self, message: str) -> None:
        if message:
            self._lines.append(f"{timezone.localtime():%H:%M:%S} {message}")

    def report(self, step: Progress) -> None:
        """Show how far the work is, once a second."""
        if time.monotonic() - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = time.monotonic()
        with self._owned() as document:
            if document is None:
                raise Cancelled("The task is no longer this worker's.")
            document.progress = min(max(step.fraction, document.progress), 0.999)
            self._save(document)
            self.mine.update(
                progress=step.fraction, stage=step.stage, message=step.message, lease_until=timezone.now() + LEASE
            )

    def finish(self) -> None:
        """Record success: state, counters and messages of document, task and dataset in one transaction."""
        with self._owned() as document:
            if document is None:
                raise Cancelled("The task is no longer this worker's.")
            recount(document)
            dataset = self.document.dataset
            if not KnowledgeBase.objects.filter(pk=dataset.pk, vector_space=dataset.vector_space).exists():
                raise _ModelChanged
            keep_table(document, self._table.finish())
            document.state = Document.State.DONE
            document.progress = 1
            self._save(document)
            self.mine.update(
                state=IngestTask.State.DONE,
                stage=Stage.DONE,
                progress=1,
                message=self._lines[-1] if self._lines else "",
                lease_until=None,
                finished_at=timezone.now(),
            )

    def try_later(self, error: StoreUnavailable) -> None:
        """Leave the document as it is until a later attempt, which writes the same chunks again."""
        log.warning("Parsing of document %s has to wait: %s", self.task.document_id, error)
        self._say(f"{error} Parsing is tried again in a minute.")
        with self._owned() as document:
            if document is not None:
                self._save(document)
                self.put_off(str(error))

    def fail(self, error: Exception, sentence: str) -> None:
        self.end(IngestTask.State.FAILED, key_of(error), sentence)

    def end(self, state: IngestTask.State, error_class: str, sentence: str) -> None:
        """Record failure, unless the task was taken away meanwhile."""
        self._lines.append(f"{timezone.localtime():%H:%M:%S} [ERROR] {sentence}")
        with self.lease_kept():
            self._drop_parsed_chunks()
        with self._owned() as document:
            if document is None:
                return
            _recount_if_possible(document)
            document.state = Document.State.FAIL
            document.progress = -1
            document.error_class = error_class
            self._save(document)
            self.mine.update(
                state=state, error_class=error_class, message=sentence, lease_until=None, finished_at=timezone.now()
            )

    def _drop_parsed_chunks(self) -> None:
        """Remove the part of the document that was read before parsing failed. Chunks added by hand stay.

        A store that is away shall not keep the failure from being recorded; parsing again removes what it kept.
        """
        try:
            while self._dropped_slice():
                pass
        except StoreError as error:
            log.warning("Chunks of the failed document %s could not be removed: %s", self.document.pk, error)

    def _dropped_slice(self) -> bool:
        """Remove some of these chunks, if there are any. Nobody waits for more than a slice."""
        store, place = doc_store(), (self.document.dataset_id, self.document.pk)
        with self._owned() as document:
            if document is None:
                return False
            parsed = [item.id for item in store.list_chunks(*place, offset=0, limit=_SLICE).chunks if not item.manual]
            if parsed:
                store.delete_chunks(*place, parsed)
        return bool(parsed)

    @contextmanager
    def _owned(self) -> Iterator[Document | None]:
        """Lock the document and the task, in this order, and give the document; None when the task was taken away."""
        with transaction.atomic():
            live = Document.objects.select_for_update(of=("self",)).filter(pk=self.document.pk, deleted_at__isnull=True)
            document = live.first()
            yield document if document is not None and self.mine.select_for_update().exists() else None

    def _save(self, document: Document) -> None:
        document.progress_message = "\n".join(self._lines) or document.progress_message
        begun = document.process_begin_at or self.task.created_at
        document.process_duration = max((timezone.now() - begun).total_seconds(), 0.001)
        document.save()


def _recount_if_possible(document: Document) -> None:
    try:
        recount(document)
    except StoreError as error:
        log.warning("Chunks of the failed document %s could not be counted: %s", document.pk, error)


class _OwnersStore:
    """The document store as one attempt sees it: it takes chunks only while the task is this attempt's.

    The task's row stays locked until a slice is written. Cancelling and deleting change that row first, so after them
    no chunk appears any more. While a re-embedding of the dataset settles, slices wait.
    """

    def __init__(self, store: DocStore, work: _Work) -> None:
        self._store = store
        self._work = work

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        while not self._written(chunks, vectors):
            time.sleep(LOOK_SECONDS)
            if self._work.should_stop():
                raise Cancelled("The task is no longer this worker's.")

    @transaction.atomic
    def _written(self, chunks: Sequence[Chunk], vectors: Matrix) -> bool:
        """Write a slice, with the document's name and availability of this moment; or return False if it has to wait.

        Raises _ModelChanged when the dataset is searched with other vectors by now.
        """
        if not self._work.mine.select_for_update().exists():
            raise Cancelled("The task is no longer this worker's.")
        document = self._work.document
        settling = Reembedding.objects.filter(
            dataset=OuterRef("dataset"), state=Reembedding.State.RUNNING, stage=Reembedding.SETTLING
        )
        rows = Document.objects.filter(pk=document.pk).annotate(waits=Exists(settling))
        name, enabled, space, waits = rows.values_list("name", "enabled", "dataset__vector_space", "waits").get()
        if waits:
            return False
        if space != document.dataset.vector_space:
            raise _ModelChanged
        named = [replace(chunk, document_name=name, available=chunk.available and enabled) for chunk in chunks]
        self._store.upsert(named, vectors, space=space)
        return True

    def delete_document(self, dataset_id: str, document_id: str, *, older_than: float) -> ChunkCount:
        """Remove what earlier runs left. Chunks that were added since this task was asked for stay."""
        asked_for = self._work.task.created_at.timestamp()
        return self._store.delete_document(dataset_id, document_id, older_than=min(older_than, asked_for))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextmanager
def _file_of(document: Document) -> Iterator[Path]:
    """Give the document's bytes as a local file: its own one, or a copy from a remote storage."""
    try:
        local = Path(default_storage.path(document.location))
    except NotImplementedError:
        local = None
    if local is not None:
        yield local
        return
    with tempfile.NamedTemporaryFile(suffix=f".{document.suffix}") as copy:
        with default_storage.open(document.location) as file:
            for block in file.chunks():
                copy.write(block)
        copy.flush()
        yield Path(copy.name)
