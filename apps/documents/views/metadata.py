"""Metadata of the documents of a dataset over HTTP."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.bodies import read_object
from apps.core.errors import NotFound
from apps.core.many import among
from apps.core.rest import ResourceViewSet, caller, http_request, success
from apps.core.schema import TEXT, TEXTS, json_body
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_dataset, editable_dataset
from apps.documents.metadata.condition import read_condition
from apps.documents.metadata.filtering import matches
from apps.documents.metadata.summary import summary_of
from apps.documents.metadata_schemas import MetadataUpdate, metadata_update, summarised_ids
from apps.documents.selectors import documents_of, existing_ids
from apps.documents.services.metadata import change_metadata
from apps.documents.wire import metadata_summary_to_wire

_CHANGES = {
    "type": "array",
    "items": {"type": "object", "properties": {"key": TEXT, "value": {}}, "required": ["key"]},
}
_SELECTOR = {"type": "object", "properties": {"document_ids": TEXTS, "metadata_condition": {"type": "object"}}}


@extend_schema(tags=["metadata"])
class MetadataViewSet(ResourceViewSet):
    @extend_schema(summary="Summarise metadata")
    def summary(self, request: Request, dataset_id: str) -> Response:
        dataset = accessible_dataset(caller(request), dataset_id)
        if dataset is None:
            raise _unknown(dataset_id)
        ids = summarised_ids(read_object(http_request(request)))
        return success({"summary": metadata_summary_to_wire(summary_of(dataset.pk, ids))})

    @extend_schema(
        summary="Change metadata of documents",
        request=json_body(selector=_SELECTOR, updates=_CHANGES, deletes=_CHANGES),
    )
    def update(self, request: Request, dataset_id: str) -> Response:
        dataset = editable_dataset(caller(request), dataset_id)
        if dataset is None:
            raise _unknown(dataset_id)
        wanted = metadata_update(read_object(http_request(request)))
        ids = _selected(dataset, wanted)
        updated = change_metadata(dataset=dataset, ids=ids, updates=wanted.updates, deletes=wanted.deletes)
        return success({"updated": updated, "matched_docs": len(ids)})


def _unknown(dataset_id: str) -> NotFound:
    return NotFound(f"You don't own the dataset {dataset_id}. ")


def _selected(dataset: KnowledgeBase, wanted: MetadataUpdate) -> list[str]:
    """Return the documents to change: those named that satisfy the condition; without either, all of the dataset."""
    known = existing_ids(dataset, wanted.document_ids)
    foreign = dict.fromkeys(str(id_) for id_ in wanted.document_ids if not isinstance(id_, str) or id_ not in known)
    if foreign:
        raise NotFound(f"These documents do not belong to dataset {dataset.pk}: {', '.join(foreign)}")
    rows = documents_of(dataset)
    if wanted.document_ids:
        rows = rows.filter(among("pk", list(known)))
    if condition := read_condition(wanted.condition):
        rows = matches([dataset.pk], [condition]).among(rows)
    return list(rows.order_by("pk").values_list("pk", flat=True))
