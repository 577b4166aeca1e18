"""The worker's side of a re-embedding: every chunk of a dataset gets a vector of another model before searches use it.

1. *Fill*: chunks without a vector in the new space get one, slice by slice. Searches and writes go on in the old space.
2. *Settle*: parsing of the dataset waits, and what was written meanwhile gets its vector too.
3. *Switch*: one transaction on the dataset's row changes model and space together, if no chunk lacks a vector then. A
   search reads both from that row, so its question and the vectors are always of one model.
4. Later the old vectors are removed (`services.reembedding.remove_unused_vectors`): searches that began before may need
   them.

Whoever writes chunks reads the space under a lock that the switch waits for, or is kept waiting by the settling, and
begins again when it is not the one that he made vectors for. Until the switch nothing is changed that a search reads,
so a failure at any point leaves the dataset as it was. Vectors that are there already are not made again, so a run that
another worker takes over goes on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from apps.accounts.language_models import embedder_for
from apps.core.errors import Conflict, NotFound, RagflowError
from apps.core.logs import note_tenant, working_on
from apps.core.many import among, slices
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.leases import LEASE, Held, claimed, key_of
from apps.documents.models import Document, IngestTask, Reembedding
from ragflow.engine.docstore.base import Versioned
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.embedding.chunks import embed_chunks
from ragflow.engine.errors import Cancelled, EngineError, StoreUnavailable

log = logging.getLogger(__name__)

SLICE = 64
"""Chunks that are embedded and stored at a time."""

REPORT_SECONDS = 1.0
MAX_ATTEMPTS = 10
"""More than for a document: no chunk is special, but a large dataset may outlive several restarts of its worker."""


def run(task_id: str) -> None:
    """Claim a re-embedding and see it through. Returns at once when another worker has it or nothing is left to do."""
    with working_on(task_id):
        task = claimed(Reembedding.objects.select_related("dataset"), task_id)
        if task is not None:
            note_tenant(task.dataset.tenant_id)
            _see_through(_Work(task))


def _see_through(work: _Work) -> None:
    if work.task.attempt > MAX_ATTEMPTS:
        sentence = f"Embedding the dataset anew stopped its worker {MAX_ATTEMPTS} times, so it was given up."
        work.end(Reembedding.State.QUARANTINED, "worker_lost", sentence)
        return
    try:
        with work.lease_kept():
            work.do()
    except Cancelled:
        reason = "is left to another worker" if work.give_back() else "was cancelled"
        log.info("Re-embedding of dataset %s %s", work.task.dataset_id, reason)
    except (OperationalError, InterfaceError):
        raise  # nothing can be recorded now; the lease runs out, and the task is tried again
    except (EngineError, RagflowError) as error:
        if isinstance(error, StoreUnavailable) and work.task.attempt < MAX_ATTEMPTS:
            log.warning("Re-embedding of dataset %s has to wait: %s", work.task.dataset_id, error)
            work.put_off(str(error))
        else:
            work.end(Reembedding.State.FAILED, key_of(error), str(error))
    except Exception as error:
        log.exception("Re-embedding of dataset %s failed", work.task.dataset_id)
        sentence = f"It failed with an unexpected {type(error).__name__}. The worker's log has the details."
        work.end(Reembedding.State.FAILED, key_of(error), sentence)


class _Work(Held[Reembedding]):
    """One attempt at one re-embedding."""

    def __init__(self, task: Reembedding) -> None:
        super().__init__(task)
        self._reported_at = 0.0

    def do(self) -> None:
        embedder = embedder_for(self.task.embedding_model, self.task.dataset.tenant_id)
        self.fill(embedder)
        self.settle()
        self.fill(embedder)
        while not self.switch():
            self.fill(embedder)

    def fill(self, embedder: Embedder) -> None:
        """Give every chunk that lacks one a vector of the new model. One that changes meanwhile comes again."""
        store, place = doc_store(), (self.task.dataset_id, self.task.space)
        total = store.count(self.task.dataset_id).chunks
        while left := store.count_lacking(*place):
            for chunks in slices(store.lacking(*place), SLICE):
                if self.should_stop():
                    raise _taken_away()
                left -= self._add_vectors(chunks, embedder)
                self._report(total - left, total)

    def _add_vectors(self, slice_: Sequence[Versioned], embedder: Embedder) -> int:
        chunks = [item.chunk for item in slice_]
        ids = {chunk.document_id for chunk in chunks}
        configs = dict(Document.objects.filter(among("pk", list(ids))).values_list("pk", "parser_config"))
        vectors = embed_chunks(embedder, chunks, configs)
        with transaction.atomic():
            if not self.mine.select_for_update().exists():
                raise _taken_away()
            self._require_unchanged(KnowledgeBase.objects.get(pk=self.task.dataset_id))
            return doc_store().add_vectors(self.task.dataset_id, self.task.space, slice_, vectors)

    def _report(self, done: int, total: int) -> None:
        """Show how far the work is, once a second."""
        if time.monotonic() - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = time.monotonic()
        self.mine.update(
            progress=min(max(done / total, 0.0), 0.999) if total else 0.999,
            message=f"{max(done, 0)} of {total} chunks",
            lease_until=timezone.now() + LEASE,
        )

    def settle(self) -> None:
        """Make parsing of the dataset wait, and wait for those workers that are just writing a slice."""
        self.mine.update(stage=Reembedding.SETTLING)
        writers = IngestTask.objects.filter(document__dataset=self.task.dataset_id, state=IngestTask.State.RUNNING)
        for writer in writers.values_list("pk", flat=True):
            with transaction.atomic():  # one lock at a time: a deletion takes those of many tasks in its own order
                IngestTask.objects.select_for_update().filter(pk=writer).exists()

    @transaction.atomic
    def switch(self) -> bool:
        """Let searches use the new vectors. Return False if a chunk lacks one, because it was just written."""
        dataset = KnowledgeBase.objects.select_for_update(of=("self",)).filter(pk=self.task.dataset_id).first()
        if dataset is None or not self.mine.select_for_update().exists():
            raise _taken_away()
        self._require_unchanged(dataset)
        if doc_store().count_lacking(dataset.pk, self.task.space):
            return False
        dataset.embedding_model, dataset.vector_space = self.task.embedding_model, self.task.space
        dataset.save(update_fields=["embedding_model", "vector_space", "updated_at"])
        message = f"{dataset.chunk_count} chunks have vectors of {dataset.embedding_model}."
        self._finish(Reembedding.State.DONE, message=message, progress=1)
        return True

    def end(self, state: Reembedding.State, error_class: str, sentence: str) -> None:
        """Record failure, unless the task was taken away meanwhile. The dataset is as it was."""
        self._finish(state, error_class=error_class, message=sentence)

    def _finish(self, state: Reembedding.State, **fields: str | float) -> None:
        self.mine.update(state=state, lease_until=None, finished_at=timezone.now(), updated_at=timezone.now(), **fields)

    def _require_unchanged(self, dataset: KnowledgeBase) -> None:
        if dataset.deleted_at is not None:
            raise NotFound("The dataset has been deleted meanwhile.")
        if dataset.vector_space != self.task.old_space:
            raise Conflict(f"The dataset was given the embedding model {dataset.embedding_model} meanwhile.")


def _taken_away() -> Cancelled:
    return Cancelled("The task is no longer this worker's.")
