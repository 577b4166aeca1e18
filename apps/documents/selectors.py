"""Reading documents. They are reached through a dataset that the caller may read, so they need no other check."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from apps.core.ids import is_id
from apps.core.many import NotSoughtBy, among
from apps.core.names import name_key, named_like
from apps.datasets.models import KnowledgeBase
from apps.documents.metadata.condition import Condition
from apps.documents.metadata.filtering import matches
from apps.documents.models import Document, IngestTask


def documents_of(dataset: KnowledgeBase) -> QuerySet[Document]:
    """Return the live documents of a dataset."""
    return Document.objects.filter(dataset=dataset, deleted_at__isnull=True)


def document_of(dataset: KnowledgeBase, document_id: str) -> Document | None:
    return documents_of(dataset).filter(pk=document_id).first() if is_id(document_id) else None


def documents_in(datasets: QuerySet[KnowledgeBase]) -> QuerySet[Document]:
    """Return the live documents of all these datasets, with the datasets and their tenants."""
    inside = Document.objects.filter(dataset__in=datasets.order_by(), deleted_at__isnull=True)
    return inside.select_related("dataset__tenant")


def document_in(datasets: QuerySet[KnowledgeBase], document_id: object) -> Document | None:
    if not isinstance(document_id, str) or not is_id(document_id):
        return None
    return documents_in(datasets).filter(pk=document_id).first()


def existing_ids(dataset: KnowledgeBase, ids: Iterable[object]) -> set[str]:
    """Return those of the ids that are documents of the dataset."""
    wanted = [id_ for id_ in ids if isinstance(id_, str) and is_id(id_)]
    if not wanted:
        return set()
    return set(documents_of(dataset).filter(among("pk", wanted)).values_list("pk", flat=True))


def foreign_document(dataset_ids: Sequence[str], document_ids: Iterable[object]) -> object | None:
    """Return the first of the document ids that lies in none of the datasets, or None."""
    ids = list(document_ids)
    if not ids:
        return None
    wanted = [id_ for id_ in ids if isinstance(id_, str) and is_id(id_)]
    rows = Document.objects.filter(among("pk", wanted), dataset_id__in=dataset_ids, deleted_at__isnull=True)
    known = set(rows.values_list("pk", flat=True))
    return next((id_ for id_ in ids if not isinstance(id_, str) or id_ not in known), None)


def metadata_of(document_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of those of the documents that have any."""
    rows = Document.objects.filter(among("pk", list(document_ids))).exclude(meta_fields={})
    return dict(rows.values_list("pk", "meta_fields"))


def active_tasks(document_ids: Iterable[str]) -> QuerySet[IngestTask]:
    """Return the tasks that wait or run for these documents. They are few, whatever else waits."""
    tasks = IngestTask.objects.filter(among("document_id", list(document_ids)))
    return tasks.alias(known=NotSoughtBy("state")).filter(known__in=IngestTask.ACTIVE)


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents of a dataset a list shows. Empty values do not restrict."""

    id: str = ""
    name: str = ""  # equal, in any letter case
    keywords: str = ""  # part of the name, in any letter case
    suffixes: Sequence[str] = ()
    types: Sequence[str] = ()
    states: Sequence[str] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None

    def apply(self, documents: QuerySet[Document]) -> QuerySet[Document]:
        conditions = {
            "pk": self.id.replace("\0", "\ufffd"),
            "name_key": name_key(self.name),
            "type__in": self.types,
            "state__in": self.states,
            "created_at__gte": self.created_from,
            "created_at__lt": self.created_before,
        }
        documents = named_like(documents, self.keywords)
        if self.suffixes:
            documents = documents.filter(among("suffix", self.suffixes))
        return documents.filter(**{name: value for name, value in conditions.items() if value})


def listed_documents(
    dataset: KnowledgeBase, wanted: DocumentFilter, conditions: Sequence[Condition] = ()
) -> tuple[QuerySet[Document], int]:
    """Return those of a dataset's live documents that satisfy a filter and all conditions, and how many they are."""
    documents = wanted.apply(documents_of(dataset))
    is_whole = wanted == DocumentFilter()
    if not conditions:
        return documents, dataset.document_count if is_whole else documents.count()
    found = matches([dataset.pk], conditions)
    documents = found.among(documents)
    return documents, found.count if is_whole else documents.count()
