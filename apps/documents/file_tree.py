"""Reading the file manager. Everything is restricted to the caller's tree; somebody else's file does not exist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connections, models, router

from apps.core.ids import is_id
from apps.core.many import among
from apps.core.names import named_like
from apps.core.paging import Page
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_datasets, editable_datasets
from apps.documents import mirror
from apps.documents.models import Document, File, FileLink
from apps.documents.selectors import documents_of

_Row = TypeVar("_Row", bound=models.Model)

MAX_DEPTH = 100
"""How many levels below the root an entry may lie. Queries along the tree look no further, so they always end."""

_TABLE = File._meta.db_table  # noqa: SLF001

_ABOVE = (
    "WITH RECURSIVE above(id, parent_id, level) AS ("  # noqa: S608 -- only the table's name is put in
    f"SELECT id, parent_id, 0 FROM {_TABLE} WHERE id = %s"
    f" UNION ALL SELECT file.id, file.parent_id, above.level + 1 FROM {_TABLE} file JOIN above"
    f" ON file.id = above.parent_id WHERE above.level <= {MAX_DEPTH})"
    f" SELECT file.* FROM above JOIN {_TABLE} file ON file.id = above.id ORDER BY above.level"
)
_BELOW = (
    "WITH RECURSIVE below(top, id, type, size, level) AS ("  # noqa: S608
    f"SELECT id, id, type, size, 0 FROM {_TABLE} WHERE id IN ({{tops}})"
    " UNION ALL SELECT below.top, file.id, file.type, file.size, below.level + 1"
    f" FROM {_TABLE} file JOIN below ON file.parent_id = below.id WHERE below.level <= {MAX_DEPTH}) "
)
_CONTENT = (
    "SELECT top, SUM(size), MAX(CASE WHEN level = 1 AND type = 'folder' THEN 1 ELSE 0 END), MAX(level)"
    " FROM below GROUP BY top"
)


def stored_files(principal: Principal) -> models.QuerySet[File]:
    """Return the live entries of the caller's tree; the mirror's are not stored."""
    return File.objects.filter(tenant_id=principal.tenant_id, deleted_at__isnull=True)


def file_of(principal: Principal, file_id: str) -> File | None:
    """Return an entry of the caller's tree or of the mirror in it."""
    if not is_id(file_id):
        return None
    return stored_files(principal).filter(pk=file_id).first() or mirror.entry_of(principal, file_id)


def folder_of(principal: Principal, folder_id: str) -> File | None:
    file = file_of(principal, folder_id)
    return file if file is not None and file.is_folder else None


def attachment_location(principal: Principal, attachment_id: str) -> str | None:
    """Return where what an agent produced for the caller is stored; None for what cannot be an id."""
    return f"attachments/{principal.tenant_id}/{attachment_id}" if is_id(attachment_id) else None


# -- along the tree ------------------------------------------------------------------------------------------------


def parent_of(file: File) -> File:
    """Return the folder that the entry lies in; the root lies in itself."""
    if isinstance(file.mirrors, Document):
        return mirror.folder_of_dataset(file.mirrors.dataset, mirror.mirror_folders().get(tenant_id=file.tenant_id))
    return file.parent or file


def path_to_root(file: File) -> list[File]:
    """Return the entry, its folder, and so on up to the root."""
    if file.mirrors is None:
        return list(File.objects.raw(_ABOVE, [file.pk]))
    return [file, *path_to_root(parent_of(file))]


@dataclass(frozen=True, slots=True)
class Content:
    """What lies below a folder: bytes, whether a folder is directly in it, and how many levels there are."""

    size: int = 0
    has_child_folder: bool = False
    height: int = 0


def content_of(folder_ids: Sequence[str]) -> dict[str, Content]:
    """Measure folders with everything below them, in one query."""
    if not folder_ids:
        return {}
    rows = _below(folder_ids, _CONTENT)
    return {top: Content(int(size), bool(folders), height) for top, size, folders, height in rows}


def ids_below(file_id: str) -> list[str]:
    """Return the ids of an entry and of everything below it."""
    return [id_ for (id_,) in _below([file_id], "SELECT id FROM below")]


def files_below(principal: Principal, file: File) -> list[File]:
    """Return the file, or of a folder the files at any depth, the oldest first."""
    if not file.is_folder:
        return [file]
    below = stored_files(principal).filter(among("pk", ids_below(file.pk))).exclude(type=File.Type.FOLDER)
    return list(below.order_by("created_at", "pk"))


def _below(tops: Sequence[str], select: str) -> list[Any]:
    """Run a query over the entries and all that lies below them."""
    seed, parameters = File.objects.filter(among("pk", tops)).order_by().values("pk").query.sql_with_params()
    with connections[router.db_for_read(File)].cursor() as cursor:
        cursor.execute(_BELOW.format(tops=seed) + select, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows


# -- folders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list of a folder shows. `order` is a column of File."""

    page: Page
    keywords: str = ""
    order: str = "created_at"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a list with what lies below it (folders) and the documents made from it (files)."""

    file: File
    content: Content | None
    documents: Sequence[Document]


def list_folder(principal: Principal, folder: File, wanted: Listing) -> tuple[int, list[Listed]]:
    """Return how many entries of the folder match, and a page of them."""
    if isinstance(folder.mirrors, KnowledgeBase):
        return _list_documents(folder.mirrors, wanted)
    if folder.is_mirror:
        return _list_datasets(principal, folder, wanted)
    total, files = _page(stored_files(principal).filter(parent=folder), wanted, _COLUMNS)
    contents = content_of([file.pk for file in files if file.is_folder and not file.is_mirror])
    contents |= {file.pk: _content_of_mirror(principal) for file in files if file.is_mirror}
    linked = documents_from(principal, [file.pk for file in files if not file.is_folder])
    return total, [
        Listed(file, contents.get(file.pk, Content()) if file.is_folder else None, linked.get(file.pk, ()))
        for file in files
    ]


def _list_datasets(principal: Principal, folder: File, wanted: Listing) -> tuple[int, list[Listed]]:
    total, datasets = _page(mirror.mirrored_datasets(principal), wanted, _COLUMNS_OF_DATASETS)
    return total, [
        # The annotation is not a field, so the type checker does not know it.
        Listed(mirror.folder_of_dataset(dataset, folder), Content(size=dataset.size), ())  # type: ignore[attr-defined]
        for dataset in datasets
    ]


def _list_documents(dataset: KnowledgeBase, wanted: Listing) -> tuple[int, list[Listed]]:
    total, documents = _page(documents_of(dataset).select_related("dataset"), wanted, _COLUMNS_OF_DOCUMENTS)
    return total, [Listed(mirror.file_of_document(document), None, [document]) for document in documents]


def _content_of_mirror(principal: Principal) -> Content:
    datasets = mirror.mirrored_datasets(principal)
    return Content(size=mirror.mirrored_size(principal), has_child_folder=datasets.exists())


_COLUMNS = frozenset(field.attname for field in File._meta.concrete_fields)  # noqa: SLF001
_COLUMNS_OF_DATASETS = frozenset({"id", "name", "size", "created_at", "updated_at"})
_COLUMNS_OF_DOCUMENTS = _COLUMNS_OF_DATASETS | {"type", "location", "created_by"}


def _page(rows: models.QuerySet[_Row], wanted: Listing, columns: frozenset[str]) -> tuple[int, list[_Row]]:
    """Count what matches and read a page. What is the same for all rows of a kind is no column of theirs."""
    rows = named_like(rows, wanted.keywords)
    sign = "-" if wanted.descending else ""
    order = wanted.order if wanted.order in columns else "created_at"
    total = rows.count()
    return total, wanted.page.read(rows.order_by(sign + order, sign + "pk"), total)


# -- documents made from files -------------------------------------------------------------------------------------


def documents_from(principal: Principal, file_ids: Sequence[str]) -> dict[str, list[Document]]:
    """Return the documents made from each of the files, as far as the caller may read their datasets."""
    documents: dict[str, list[Document]] = defaultdict(list)
    for link in _links(file_ids, accessible_datasets(principal)):
        documents[link.file_id].append(link.document)
    return documents


def editable_documents_from(principal: Principal, file_ids: Sequence[str]) -> list[Document]:
    """Return the documents made from the files, the oldest first, as far as the caller may change their datasets."""
    return [link.document for link in _links(file_ids, editable_datasets(principal))]


def _links(file_ids: Sequence[str], datasets: models.QuerySet[KnowledgeBase]) -> models.QuerySet[FileLink]:
    links = FileLink.objects.filter(
        among("file_id", file_ids), document__deleted_at__isnull=True, document__dataset__in=datasets.order_by()
    )
    return links.select_related("document__dataset").order_by("created_at", "pk")
