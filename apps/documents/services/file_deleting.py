"""Deleting from the file manager: out of sight at once, then the documents made from it, then bytes and rows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.core.files.storage import default_storage
from django.db import models, transaction
from django.utils import timezone

from apps.core.errors import ServerFailure
from apps.core.many import among, slices
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.documents.errors import FileNotFound
from apps.documents.file_tree import editable_documents_from, file_of, ids_below, stored_files
from apps.documents.models import Document, File
from apps.documents.services import deleting
from apps.documents.services.auditing import note_files
from apps.documents.services.files import lock_tree, require_changeable

log = logging.getLogger(__name__)

_SLICE = 500
_ABANDONED_AFTER = timedelta(minutes=1)


def delete_files(*, principal: Principal, ids: Sequence[str]) -> None:
    """Delete entries one after the other, folders with everything below, and the documents made from them.

    An entry of the mirror is a document, which is deleted. Documents in datasets that the caller may not change stay,
    and keep the bytes they were made from. Raises FileNotFound or FileRefused at the first entry that cannot be
    deleted, and StoreError when chunks cannot be removed now; what was deleted before stays deleted.
    """
    for file_id in ids:
        file = file_of(principal, file_id)
        if file is None:
            raise FileNotFound("File or Folder not found!")
        if isinstance(file.mirrors, Document):
            deleting.delete_documents(dataset=file.mirrors.dataset, ids=[file.pk])
            continue
        require_changeable(file)
        file_ids, documents = _hide(principal, file_id)
        deleting.purge(documents)
        for slice_ in slices(file_ids, _SLICE):
            _purge(_unused(File.objects.filter(pk__in=slice_)))


@transaction.atomic
def _hide(principal: Principal, file_id: str) -> tuple[list[str], list[Document]]:
    """Make an entry, what lies below it and the documents made from all that invisible. Return ids and documents."""
    lock_tree(principal)
    file = stored_files(principal).filter(pk=file_id).first()
    if file is None:
        raise FileNotFound("File or Folder not found!")
    ids = ids_below(file_id)
    note_files("delete", principal, [file], entries=len(ids))
    documents = []
    for dataset, document_ids in by_dataset(editable_documents_from(principal, ids)).items():
        documents += deleting.hide(dataset, document_ids)
    File.objects.filter(among("pk", ids)).update(parent=None, deleted_at=timezone.now())
    return ids, documents


def by_dataset(documents: Sequence[Document]) -> dict[KnowledgeBase, list[str]]:
    """Return the ids of the documents of each dataset, in the order in which datasets are locked."""
    grouped: dict[KnowledgeBase, list[str]] = defaultdict(list)
    for document in sorted(documents, key=lambda document: document.dataset_id):
        grouped[document.dataset].append(document.pk)
    return grouped


def _unused(files: models.QuerySet[File]) -> models.QuerySet[File]:
    """Return those whose bytes no document borrows any more."""
    return files.filter(links=None)


def _purge(hidden: Iterable[File]) -> int:
    """Remove bytes and rows. Return how many entries went."""
    purged = []
    for file in hidden:
        try:
            if file.location:
                default_storage.delete(file.location)
        except Exception:  # each storage has errors of its own
            log.exception("The bytes of the deleted file %s could not be removed yet", file.pk)
        else:
            purged.append(file.pk)
    File.objects.filter(pk__in=purged).delete()
    return len(purged)


def purge_deleted(ids: Sequence[str]) -> None:
    """Remove bytes and rows of those of the entries that are deleted and that no document needs any more."""
    _purge(_unused(File.objects.filter(among("pk", ids), deleted_at__isnull=False)))


def delete_tree(*, tenant_id: str) -> int:
    """Delete everything in a tenant's file manager, and return how many entries there were.

    Documents made from it are to be deleted first. Raises ServerFailure while bytes cannot be removed.
    """
    files = File.objects.filter(tenant_id=tenant_id)
    count = files.count()
    stored = _unused(files.exclude(location="")).order_by("pk")
    last = ""
    while slice_ := list(stored.filter(pk__gt=last)[:_SLICE]):
        _purge(slice_)
        last = slice_[-1].pk
    if files.exclude(location="").exists():
        raise ServerFailure("Some files could not be removed from the storage.")
    files.delete()
    return count


def purge_hidden() -> int:
    """Finish deletions that were interrupted or had to wait for a document. Return how many entries went."""
    abandoned = File.objects.filter(deleted_at__lt=timezone.now() - _ABANDONED_AFTER)
    return _purge(_unused(abandoned).order_by("deleted_at")[:_SLICE])
