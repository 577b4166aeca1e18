"""Starting and stopping the change of a dataset to another embedding model. The work: `documents.embedding_anew`."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.language_models import require_embedding_model
from apps.core.errors import Conflict, NotFound
from apps.core.queue import enqueue
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents import leases
from apps.documents.models import Reembedding
from ragflow.engine.errors import StoreError

log = logging.getLogger(__name__)

REEMBED = "apps.documents.tasks.reembed_dataset"
_STILL_SEARCHED = timedelta(minutes=10)
"""How long a search that began before the switch may need the old vectors: deep research asks for minutes."""


@transaction.atomic
def start_reembedding(*, dataset: KnowledgeBase, model: str) -> Reembedding:
    """Have every chunk of a dataset embedded with a model, which may be the one that it has.

    Raises InvalidArgument for a model that its tenant cannot use, Conflict while another re-embedding goes on, NotFound
    when the dataset has been deleted.
    """
    live = KnowledgeBase.objects.filter(pk=dataset.pk, deleted_at__isnull=True)
    row = live.select_for_update(of=("self",)).select_related("tenant").first()
    if row is None:
        raise NotFound("The dataset does not exist.")
    require_embedding_model(model, row.tenant)
    going_on = active_reembedding(row)
    if going_on is not None:
        raise Conflict(f"The dataset is already being embedded anew, with {going_on.embedding_model}.")
    task = Reembedding.objects.create(
        dataset=row,
        embedding_model=model,
        old_space=row.vector_space,
        space=row.begin_space(),
        lease_until=timezone.now() + leases.RING_AGAIN_AFTER,
    )
    row.save(update_fields=["newest_space"])
    enqueue(REEMBED, task.pk)
    _note("re-embed", row, model)
    return task


@transaction.atomic
def stop_reembedding(*, dataset: KnowledgeBase) -> bool:
    """Cancel what goes on; the dataset stays as it is. Return whether there was anything."""
    active = Reembedding.objects.filter(dataset=dataset, state__in=Reembedding.ACTIVE)
    now = timezone.now()
    stopped = active.update(state=Reembedding.State.CANCELLED, finished_at=now, lease_until=None, updated_at=now)
    if stopped:
        _note("stop re-embedding", dataset, dataset.embedding_model)
    return bool(stopped)


def active_reembedding(dataset: KnowledgeBase) -> Reembedding | None:
    """Return the re-embedding of a dataset that waits or runs."""
    return Reembedding.objects.filter(dataset=dataset, state__in=Reembedding.ACTIVE).first()


def ring_again() -> int:
    """Ring for re-embeddings that nobody works on any more; see `leases.ring_again`."""
    return leases.ring_again(Reembedding, REEMBED)


def remove_unused_vectors() -> None:
    """Remove the old vectors of datasets that have changed, and those that were made for nothing."""
    before = timezone.now() - _STILL_SEARCHED
    ended = Reembedding.objects.filter(is_cleared=False, finished_at__lt=before).exclude(state__in=Reembedding.ACTIVE)
    for task in ended:
        try:
            doc_store().drop_space(task.dataset_id, task.unused_space)
        except StoreError as error:
            log.warning("Unused vectors of dataset %s have to wait to be removed: %s", task.dataset_id, error)
            continue
        Reembedding.objects.filter(pk=task.pk).update(is_cleared=True)


def _note(action: str, dataset: KnowledgeBase, model: str) -> None:
    detail = {"embedding_model": model}
    audit.record(action, "dataset", id=dataset.pk, name=dataset.name, tenant_id=dataset.tenant_id, detail=detail)
