"""Writing several documents at once, as the web API names them: by id alone, whatever datasets they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from apps.accounts.errors import NotYours
from apps.core.errors import InvalidArgument, NotFound, RagflowError
from apps.core.ids import is_id
from apps.core.many import among
from apps.core.names import split_suffix
from apps.core.principal import Principal
from apps.datasets.selectors import editable_datasets
from apps.documents.models import Document
from apps.documents.selectors import document_in, documents_in
from apps.documents.services import deleting, parsing, updating
from apps.documents.services.auditing import note_document
from apps.documents.services.rows import locked
from apps.documents.services.storing import problem_with


def editable_documents(principal: Principal, ids: Sequence[str]) -> list[Document]:
    """Return the documents with these ids, in their order. Raises NotYours unless the caller may change all of them."""
    wanted = [id_ for id_ in ids if is_id(id_)]
    rows = documents_in(editable_datasets(principal)).filter(among("pk", wanted)) if wanted else ()
    found = {document.pk: document for document in rows}
    if any(id_ not in found for id_ in ids):
        raise NotYours
    return [found[id_] for id_ in ids]


def delete_documents(*, principal: Principal, ids: Sequence[str]) -> None:
    """Delete documents, all or none of them. Raises NotYours, and StoreError as `deleting.delete_documents` does."""
    documents = editable_documents(principal, ids)
    for dataset in {document.dataset_id: document.dataset for document in documents}.values():
        inside = [document.pk for document in documents if document.dataset_id == dataset.pk]
        deleting.delete_documents(dataset=dataset, ids=inside)


def start_parsing(*, principal: Principal, ids: Sequence[str], anew: bool, as_dataset: bool) -> None:
    """Queue documents for parsing. `as_dataset` gives them their dataset's description of metadata first.

    Those that are being parsed go on. Raises NotYours; then nothing is started.
    """
    documents = editable_documents(principal, ids)
    for document in documents:
        if as_dataset:
            _take_over(document)
        parsing.parse_if_needed(document=document, anew=anew)


@transaction.atomic
def _take_over(document: Document) -> None:
    row = locked(document)
    if row is None:
        return
    of_dataset = document.dataset.parser_config
    given = {key: of_dataset[key] for key in ("llm_id", "enable_metadata", "metadata") if key in of_dataset}
    row.parser_config = {**row.parser_config, **given}
    row.save(update_fields=["parser_config", "updated_at"])


def stop_parsing(*, principal: Principal, ids: Sequence[str]) -> None:
    """Cancel parsing, one document after the other. Raises NotYours, DataError at the first that is not running."""
    for document in editable_documents(principal, ids):
        parsing.stop_if_running(document=document)


def set_enabled(*, principal: Principal, ids: Sequence[str], enabled: bool) -> dict[str, str]:
    """Decide whether retrieval considers documents. Return a sentence for each that could not be changed."""
    problems = {}
    for id_ in ids:
        document = document_in(editable_datasets(principal), id_)
        if document is None:
            problems[id_] = NotYours().message
            continue
        try:
            updating.set_enabled(document=document, enabled=enabled)
        except RagflowError as error:
            problems[id_] = error.message
        else:
            note_document("update", document, fields=["enabled"])
    return problems


def rename_document(*, document: Document, name: Any) -> None:
    """Give a document a new name. Raises InvalidArgument for one that it cannot have, Conflict for one in use."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgument("File name can't be empty.", data=False)
    if split_suffix(name.lower())[1] != split_suffix(document.name.lower())[1]:
        raise InvalidArgument("The extension of file can't be changed", data=False)
    if problem := problem_with(name):
        raise InvalidArgument(problem, data=False)
    updating.rename_document(document=document, name=name)
    note_document("update", document, fields=["name"])


@transaction.atomic
def describe_metadata(*, document: Document, metadata: Any) -> Document:
    """Set what the metadata of a document should hold. Raises NotFound when it has been deleted meanwhile."""
    row = locked(document)
    if row is None:
        raise NotFound("Document not found!")
    row.parser_config = {**row.parser_config, "metadata": metadata}
    row.save(update_fields=["parser_config", "updated_at"])
    note_document("update", row, fields=["metadata"])
    return row
