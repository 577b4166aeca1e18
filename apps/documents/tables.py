"""The rows of spreadsheets, kept to be asked by SQL: written at the end of a parsing, read with a question."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from apps.core.many import among
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, DocumentTable
from ragflow.engine.tables.columns import Column, Kind, field_map
from ragflow.engine.tables.packing import PackedTable
from ragflow.engine.tables.sandbox import Sheet


def keep_table(document: Document, table: PackedTable | None) -> None:
    """Replace the rows of a locked document, within its transaction, and tell the dataset about its columns."""
    if table is None:
        DocumentTable.objects.filter(document=document).delete()
        return
    columns = [{"id": column.id, "name": column.name, "kind": column.kind} for column in table.columns]
    DocumentTable.objects.update_or_create(
        document=document, defaults={"columns": columns, "rows": table.rows, "row_count": table.row_count}
    )
    # Several documents of a dataset may end at once: each adds to what the others have left.
    dataset = KnowledgeBase.objects.select_for_update(of=("self",)).only("parser_config").get(pk=document.dataset_id)
    known = dataset.parser_config.get("field_map") or {}
    dataset.parser_config["field_map"] = known | field_map(table.columns)
    dataset.save(update_fields=["parser_config"])


def sheets_in(
    dataset_ids: Sequence[str], document_ids: Sequence[str] | None = None, *, excluded_ids: Sequence[str] = ()
) -> list[Sheet]:
    """Return the rows of these datasets' documents, oldest first. None of `document_ids` means all.

    Left out is what a search would not find: documents that are switched off or being deleted, and rows whose chunk is.
    """
    documents = Document.objects.filter(dataset_id__in=dataset_ids, enabled=True, deleted_at__isnull=True)
    if document_ids is not None:
        documents = documents.filter(among("pk", document_ids))
    if excluded_ids:
        documents = documents.exclude(among("pk", excluded_ids))
    return [_sheet(table) for table in _tables_of(documents)]


def _tables_of(documents: QuerySet[Document]) -> QuerySet[DocumentTable]:
    tables = DocumentTable.objects.filter(document__in=documents.order_by()).select_related("document")
    return tables.only(
        "columns", "rows", "row_count", "document__name", "document__dataset_id", "document__created_at"
    ).order_by("document__created_at", "pk")


def _sheet(table: DocumentTable) -> Sheet:
    document = table.document
    columns = tuple(Column(item["id"], item["name"], Kind(item["kind"])) for item in table.columns)
    return Sheet(
        document_id=document.pk,
        document_name=document.name,
        dataset_id=document.dataset_id,
        table=PackedTable(columns, bytes(table.rows), table.row_count),
        chunk_ids=doc_store().available_ids(document.dataset_id, document.pk),
    )
