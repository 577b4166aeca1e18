"""Writing metadata: `Document.meta_fields` and the index of their values, always together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.core.errors import NotFound
from apps.core.many import slices
from apps.datasets.models import KnowledgeBase
from apps.documents.metadata.changes import Delete, Update, changed_fields
from apps.documents.metadata.index import Entry, entries_of, hash_of
from apps.documents.models import Document, MetadataValue
from apps.documents.selectors import documents_of
from apps.documents.services.rows import locked

_SLICE = 500


@transaction.atomic
def set_metadata(*, document: Document, fields: Mapping[str, Any]) -> Document:
    """Replace a document's metadata and return the document as given, with them. Raises NotFound when it is gone."""
    row = locked(document)
    if row is None:
        raise NotFound("The dataset doesn't own the document.")
    _write([row], [dict(fields)], keys={*row.meta_fields, *fields})
    document.meta_fields, document.updated_at = row.meta_fields, row.updated_at
    return document


def change_metadata(
    *, dataset: KnowledgeBase, ids: Sequence[str], updates: Sequence[Update], deletes: Sequence[Delete]
) -> int:
    """Change the metadata of these documents, in slices, and return how many are different now.

    Documents deleted meanwhile are passed over. A call that was cut short can be repeated.
    """
    keys = {update.key for update in updates} | {delete.key for delete in deletes}
    changed = sum(_change(dataset, slice_, updates, deletes, keys) for slice_ in slices(ids, _SLICE))
    if changed:
        detail = {"documents": changed, "keys": sorted(keys)}
        audit.record(
            "update metadata", "dataset", id=dataset.pk, name=dataset.name, tenant_id=dataset.tenant_id, detail=detail
        )
    return changed


@transaction.atomic
def _change(
    dataset: KnowledgeBase, ids: Sequence[str], updates: Sequence[Update], deletes: Sequence[Delete], keys: set[str]
) -> int:
    rows = documents_of(dataset).filter(pk__in=ids).order_by("pk").only("dataset", "meta_fields")
    changed, fields = [], []
    for document in rows.select_for_update(of=("self",)):
        new = changed_fields(document.meta_fields, updates, deletes)
        if json.dumps(new) != json.dumps(document.meta_fields):  # for Python, 1 and true are equal
            changed.append(document)
            fields.append(new)
    _write(changed, fields, keys)
    return len(changed)


@transaction.atomic
def merge_metadata(*, document: Document, found: Mapping[str, str | list[str]]) -> None:
    """Add what was found in a document's text: lists grow, anything else is replaced. Nothing if it is gone."""
    row = locked(document)
    if row is not None and found:
        merged = {key: _merged(row.meta_fields.get(key), value) for key, value in found.items()}
        _write([row], [{**row.meta_fields, **merged}], keys=set(found))


def _merged(current: Any, value: str | list[str]) -> Any:
    further = value if isinstance(value, list) else [value]
    if not isinstance(current, list):
        return list(dict.fromkeys(value)) if isinstance(value, list) else value
    return [*current, *(text for text in dict.fromkeys(further) if text not in current)]


def _write(documents: Sequence[Document], fields: Sequence[Mapping[str, Any]], keys: Collection[str]) -> None:
    """Give locked documents new metadata, which differ from theirs in these keys at most."""
    now = timezone.now()
    for document, new in zip(documents, fields, strict=True):
        document.meta_fields, document.updated_at = dict(new), now
    Document.objects.bulk_update(documents, ["meta_fields", "updated_at"], batch_size=100)
    written = [document.pk for document in documents]
    for hashes in slices(map(hash_of, keys), _SLICE):
        MetadataValue.objects.filter(document__in=written, key_hash__in=hashes).delete()
    MetadataValue.objects.bulk_create(rows_of(documents, keys), batch_size=_SLICE)


def rows_of(documents: Iterable[Document], keys: Collection[str] | None = None) -> list[MetadataValue]:
    """Return what is to be stored of these documents' metadata, or of these keys of it."""
    return [
        _row_of(document, entry)
        for document in documents
        for entry in entries_of(document.meta_fields)
        if keys is None or entry.key in keys
    ]


def _row_of(document: Document, entry: Entry) -> MetadataValue:
    comparable = entry.comparable
    return MetadataValue(
        dataset_id=document.dataset_id,
        document=document,
        key=entry.key,
        kind=entry.kind,
        value=entry.value,
        key_hash=entry.key_hash,
        form=comparable.form,
        number=comparable.number,
        text=comparable.text,
        value_hash=entry.value_hash,
    )
