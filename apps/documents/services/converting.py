"""Making documents of datasets from files of the file manager. They borrow the bytes, so nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import editable_dataset
from apps.documents.errors import FileNotFound, FileRefused
from apps.documents.file_tree import editable_documents_from, file_of, files_below
from apps.documents.file_types import type_of
from apps.documents.models import Document, File, FileLink
from apps.documents.services import adding, deleting
from apps.documents.services.auditing import note_files
from apps.documents.services.file_deleting import by_dataset, purge_deleted
from apps.documents.services.files import lock_tree

_SHOWN = 20  # files that a refusal names


def convert_files(*, principal: Principal, ids: Sequence[str], dataset_ids: Sequence[str]) -> list[FileLink]:
    """Make one document per file and dataset, in this order; of a folder, from every file below it.

    Documents made from these files before are deleted. All or none: raises FileNotFound for an unknown file and for a
    dataset that the caller may not change, FileRefused for files that cannot become documents. Raises StoreError when
    all is done but the chunks of replaced documents cannot be removed now; `deleting.purge_hidden` finishes that.
    """
    replaced, links = _replace(principal, ids, dataset_ids)
    deleting.purge(replaced)
    purge_deleted([link.file_id for link in links])  # a file deleted meanwhile had to wait for these documents
    return links


@transaction.atomic
def _replace(
    principal: Principal, ids: Sequence[str], dataset_ids: Sequence[str]
) -> tuple[list[Document], list[FileLink]]:
    """Hide the documents that the files have, and insert the new ones with their links. Return both."""
    lock_tree(principal)
    files = _files(principal, ids)
    datasets = [_dataset(principal, id_) for id_ in dataset_ids]
    outdated = by_dataset(editable_documents_from(principal, [file.pk for file in files]))
    replaced: list[Document] = []
    links: dict[tuple[str, str], FileLink] = {}
    for dataset in sorted({*datasets, *outdated}, key=lambda dataset: dataset.pk):  # all lock datasets in this order
        replaced += deleting.hide(dataset, outdated.get(dataset, []))
        if dataset in datasets:
            links |= {(link.file_id, dataset.pk): link for link in _insert(principal, files, dataset)}
    ordered = [links[file.pk, dataset.pk] for file in files for dataset in datasets]
    note_files("convert", principal, files, datasets=[dataset.pk for dataset in datasets])
    return replaced, FileLink.objects.bulk_create(ordered, batch_size=500)


def _files(principal: Principal, ids: Sequence[str]) -> list[File]:
    """Return the files that the ids mean, each once. Raises for the first that is unknown, and all that are unfit."""
    files: dict[str, File] = {}
    for file_id in ids:
        entry = file_of(principal, file_id)
        if entry is None:
            raise FileNotFound("File not found!")
        if entry.is_mirror:
            raise FileRefused(f"{entry.name} belongs to a dataset already.")
        files |= {file.pk: file for file in files_below(principal, entry)}
    unfit = [f"{file.name}: {reason}" for file in files.values() if (reason := _unfitness(file))]
    if unfit:
        raise FileRefused("\n".join(unfit[:_SHOWN]))
    return list(files.values())


def _unfitness(file: File) -> str:
    if not file.location:
        return "This file has no content."
    return "" if type_of(file.name) else "This type of file has not been supported yet!"


def _dataset(principal: Principal, dataset_id: str) -> KnowledgeBase:
    dataset = editable_dataset(principal, dataset_id)
    if dataset is None:
        raise FileNotFound("Can't find this dataset!")
    return dataset


def _insert(principal: Principal, files: Sequence[File], dataset: KnowledgeBase) -> list[FileLink]:
    """Insert a document for each file. Return their links, which are still to be inserted."""
    documents = [_draft(dataset, file, principal) for file in files]
    adding.insert(dataset, documents)
    return [FileLink(file=file, document=document) for file, document in zip(files, documents, strict=True)]


def _draft(dataset: KnowledgeBase, file: File, principal: Principal) -> Document:
    document = adding.draft(dataset, file.name, file.size, principal)
    document.location = file.location
    return document
