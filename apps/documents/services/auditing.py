"""Writing down what somebody does to documents, chunks and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.accounts import audit
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, File


def note_documents(action: str, dataset: KnowledgeBase, documents: Sequence[Document]) -> None:
    """Record one entry for all of them; none if there are none."""
    name = documents[0].name if len(documents) == 1 else ""
    note_document_ids(action, dataset, [document.pk for document in documents], name=name)


def note_document_ids(action: str, dataset: KnowledgeBase, ids: Sequence[str], *, name: str = "") -> None:
    audit.record(action, "document", ids=ids, name=name, tenant_id=dataset.tenant_id, detail={"dataset": dataset.pk})


def note_document(action: str, document: Document, **detail: Any) -> None:
    place = {"dataset": document.dataset_id}
    tenant_id = document.dataset.tenant_id
    audit.record(action, "document", id=document.pk, name=document.name, tenant_id=tenant_id, detail=place | detail)


def note_chunks(action: str, document: Document, **detail: Any) -> None:
    place = {"dataset": document.dataset_id, "document": document.pk}
    tenant_id = document.dataset.tenant_id
    audit.record(action, "chunk", name=document.name, tenant_id=tenant_id, detail=place | detail)


def note_files(action: str, principal: Principal, files: Sequence[File], **detail: Any) -> None:
    name = files[0].name if len(files) == 1 else ""
    ids = [file.pk for file in files]
    audit.record(action, "file", ids=ids, name=name, tenant_id=principal.tenant_id, detail=detail)
