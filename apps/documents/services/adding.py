"""Adding documents to a dataset. The bytes are stored first, then the rows; what fails leaves neither."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Sum

from apps.core.errors import Conflict, DataError, InvalidArgument, LookupFailed
from apps.core.ids import new_id
from apps.core.many import among
from apps.core.names import free_name, name_key, taken_among
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import editable_dataset
from apps.documents.file_types import chunk_method_of, suffix_of, type_of
from apps.documents.models import Document
from apps.documents.selectors import documents_of
from apps.documents.services.auditing import note_documents
from apps.documents.services.storing import MAX_NAME_BYTES, problem_with, undone_on_failure

NO_ROOM = "Exceed the maximum file number of a free user!"


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the files of an upload: their documents, in order, and one line per file that was refused."""

    documents: Sequence[Document]
    refusals: Sequence[str]


def add_documents(*, principal: Principal, dataset_id: str, files: Sequence[File]) -> Added:  # type: ignore[type-arg]
    """Store files as documents of a dataset. A name in use gets a number; files of an unknown type are refused.

    Raises InvalidArgument for a name that cannot be kept, LookupFailed for a dataset that the caller may not change,
    and NoSpace when the storage is full; then none of the files is kept.
    """
    check_names(files)
    dataset = editable_dataset(principal, dataset_id)
    if dataset is None:
        raise _no_dataset(dataset_id)
    return add_to(dataset=dataset, principal=principal, files=files)


def add_to(*, dataset: KnowledgeBase, principal: Principal, files: Sequence[File]) -> Added:  # type: ignore[type-arg]
    """The same for a dataset that the caller may change, and files with names that can be kept."""
    accepted: list[File] = []  # type: ignore[type-arg]
    refusals: list[str] = []
    room = room_of(dataset.tenant_id)
    for file in files:
        if type_of(file.name or "") is None:
            refusals.append(f"{file.name}: This type of file has not been supported yet!")
        elif room is not None and len(accepted) >= room:
            refusals.append(f"{file.name}: {NO_ROOM}")
        else:
            accepted.append(file)
    documents = [draft(dataset, file.name or "", file.size, principal) for file in accepted]
    with undone_on_failure([document.location for document in documents]):
        for document, file in zip(documents, accepted, strict=True):
            default_storage.save(document.location, file)
        insert(dataset, documents)
    return Added(documents, refusals)


def room_of(tenant_id: str) -> int | None:
    """Return how many more documents a tenant may have, negative if it has too many; None where nothing limits it.

    Uploads to several datasets at the same moment do not see each other, so together they may go beyond the limit.
    """
    if not settings.MAX_DOCUMENTS_OF_TENANT:
        return None
    live = KnowledgeBase.objects.filter(tenant_id=tenant_id, deleted_at=None).order_by()
    stored: int = live.aggregate(sum=Sum("document_count", default=0))["sum"]
    return settings.MAX_DOCUMENTS_OF_TENANT - stored


def check_names(files: Sequence[File]) -> None:  # type: ignore[type-arg]
    """Raise InvalidArgument unless every file has a name that can be kept."""
    for file in files:
        if not file.name:
            raise InvalidArgument("No file selected!")
        if problem := problem_with(file.name):
            raise InvalidArgument(problem)


def add_empty(*, dataset: KnowledgeBase, principal: Principal, name: str) -> Document:
    """Add a document without content, for chunks that are written by hand. Raises Conflict when its name is in use."""
    document = draft(dataset, name, 0, principal)
    document.type = Document.Type.VIRTUAL
    with undone_on_failure([document.location]):
        default_storage.save(document.location, ContentFile(b""))
        with transaction.atomic():
            insert(dataset, [document])
            if document.name != name:
                raise Conflict("Duplicated document name in the same dataset.")
    return document


def _no_dataset(dataset_id: str) -> LookupFailed:
    return LookupFailed(f"Can't find the dataset with ID {dataset_id}!")


def draft(dataset: KnowledgeBase, name: str, size: int, principal: Principal) -> Document:
    """Return the unsaved row of a file. The key of its bytes is made of ids: a name never becomes a path."""
    type_ = type_of(name) or ""
    document_id = new_id()
    return Document(
        id=document_id,
        dataset=dataset,
        created_by=principal.tenant_id,
        name=name,
        suffix=suffix_of(name),
        location=f"{dataset.pk}/{document_id}",
        size=size,
        type=type_,
        chunk_method=chunk_method_of(name, type_, default=dataset.chunk_method),
        parser_config=dataset.parser_config,
        pipeline_id=dataset.pipeline_id,
    )


@transaction.atomic
def insert(dataset: KnowledgeBase, documents: Sequence[Document]) -> None:
    """Insert the rows under free names. Counting locks the dataset's row, so uploads take turns choosing names.

    Raises LookupFailed when the dataset has been deleted meanwhile, DataError when its tenant has no room for them.
    """
    live = KnowledgeBase.objects.filter(pk=dataset.pk, deleted_at__isnull=True)
    if not live.update(document_count=F("document_count") + len(documents)):
        raise _no_dataset(dataset.pk)
    room = room_of(dataset.tenant_id)  # these are counted now
    if room is not None and room < 0:
        raise DataError(NO_ROOM)
    _choose_names(dataset, documents)
    Document.objects.bulk_create(documents, batch_size=500)
    note_documents("create", dataset, documents)


def _choose_names(dataset: KnowledgeBase, documents: Sequence[Document]) -> None:
    """Give each document a name that neither another of the dataset has nor one before it here."""
    keys = [name_key(document.name) for document in documents]
    alike = documents_of(dataset).filter(among("name_key", keys)).order_by()
    taken = set(alike.values_list("name_key", flat=True))
    chosen: set[str] = set()
    for document, key in zip(documents, keys, strict=True):
        if key in taken or key in chosen:
            document.name = _free_name(dataset, document.name, chosen)
        document.name_key = name_key(document.name)
        chosen.add(document.name_key)


def _free_name(dataset: KnowledgeBase, name: str, chosen: AbstractSet[str]) -> str:
    is_stored = taken_among(documents_of(dataset), name, max_bytes=MAX_NAME_BYTES)

    def is_taken(candidate: str) -> bool:
        return name_key(candidate) in chosen or is_stored(candidate)

    return free_name(name, is_taken, max_bytes=MAX_NAME_BYTES)
