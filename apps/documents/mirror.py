"""Datasets and documents as entries of the file manager.

The folder `.knowledgebase` is a row like others; what it shows is not. A dataset is a folder with the dataset's id, a
document a file with the document's id. So nothing has to be kept in step, and uploading documents costs nothing here.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet, Sum

from apps.core.ids import is_id
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import owned_dataset, owned_datasets
from apps.documents.models import Document, File

FOLDER_NAME = ".knowledgebase"


def mirror_folders() -> QuerySet[File]:
    """Return the folders that show datasets: each tenant has one, made together with its root."""
    return File.objects.filter(source_type=File.Source.KNOWLEDGEBASE)


def mirrored_datasets(principal: Principal) -> QuerySet[KnowledgeBase]:
    """Return the caller's datasets with the `size` of their documents."""
    live = Q(documents__deleted_at__isnull=True)
    return owned_datasets(principal).annotate(size=Sum("documents__size", filter=live, default=0))


def mirrored_size(principal: Principal) -> int:
    """Return the size of all documents of the caller's datasets."""
    documents = Document.objects.filter(dataset__in=owned_datasets(principal).order_by(), deleted_at__isnull=True)
    return int(documents.aggregate(total=Sum("size", default=0))["total"])


def entry_of(principal: Principal, id_: str) -> File | None:
    """Return the dataset or document of the caller with this id as an entry."""
    if not is_id(id_):
        return None
    dataset = owned_dataset(principal, id_)
    if dataset is not None:
        folder = mirror_folders().filter(tenant_id=dataset.tenant_id).first()
        return None if folder is None else folder_of_dataset(dataset, folder)
    owned = Document.objects.filter(dataset__in=owned_datasets(principal).order_by(), deleted_at__isnull=True)
    document = owned.filter(pk=id_).select_related("dataset").first()
    return None if document is None else file_of_document(document)


def folder_of_dataset(dataset: KnowledgeBase, parent: File) -> File:
    folder = File(
        id=dataset.pk,
        tenant_id=dataset.tenant_id,
        parent=parent,
        created_by=dataset.tenant_id,
        name=dataset.name,
        type=File.Type.FOLDER,
        source_type=File.Source.KNOWLEDGEBASE,
        created_at=dataset.created_at,
        updated_at=dataset.updated_at,
    )
    folder.mirrors = dataset
    return folder


def file_of_document(document: Document) -> File:
    file = File(
        id=document.pk,
        tenant_id=document.dataset.tenant_id,
        parent_id=document.dataset_id,
        created_by=document.created_by,
        name=document.name,
        type=document.type,
        location=document.location,
        size=document.size,
        source_type=File.Source.KNOWLEDGEBASE,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )
    file.mirrors = document
    return file
