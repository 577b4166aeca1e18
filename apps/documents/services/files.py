"""Writing the file manager: the root, uploads, folders, renaming and moving. `file_deleting` and `converting` follow.

Whoever changes a tree locks its root first, so changes of one tree take turns and it stays a tree.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.core.files import File as Upload
from django.core.files.storage import default_storage
from django.db import transaction

from apps.core.ids import new_id
from apps.core.names import free_name, name_key, split_suffix, taken_among
from apps.core.principal import Principal
from apps.documents.errors import FileNameTaken, FileNotFound, FileRefused
from apps.documents.file_tree import (
    MAX_DEPTH,
    content_of,
    editable_documents_from,
    file_of,
    folder_of,
    path_to_root,
    stored_files,
)
from apps.documents.file_types import type_of
from apps.documents.mirror import FOLDER_NAME
from apps.documents.models import Document, File
from apps.documents.selectors import documents_of
from apps.documents.services.auditing import note_document, note_files
from apps.documents.services.storing import MAX_NAME_BYTES, problem_with, undone_on_failure
from apps.documents.services.updating import rename_document

_TAKEN = "Duplicated file name in the same folder."


def root_of(principal: Principal) -> File:
    """Return the caller's root folder. It is made when it is first asked for, by one of those who ask at once."""
    return stored_files(principal).filter(parent=None).first() or _plant(principal)


@transaction.atomic
def _plant(principal: Principal) -> File:
    common = {"created_by": principal.tenant_id, "type": File.Type.FOLDER}
    root, is_new = File.objects.get_or_create(
        tenant_id=principal.tenant_id, parent=None, deleted_at=None, defaults=common | {"name": "/"}
    )
    if is_new:
        File.objects.create(
            tenant_id=principal.tenant_id,
            parent=root,
            name=FOLDER_NAME,
            source_type=File.Source.KNOWLEDGEBASE,
            **common,
        )
    return root


def lock_tree(principal: Principal) -> File:
    """Let nobody else change the caller's tree until the transaction ends. Return the root."""
    root = root_of(principal)
    return stored_files(principal).select_for_update(of=("self",)).get(pk=root.pk)


# -- adding --------------------------------------------------------------------------------------------------------


def upload_files(*, principal: Principal, parent_id: str, files: Sequence[Upload]) -> list[File]:  # type: ignore[type-arg]
    """Store files in a folder (the root when `parent_id` is empty), all or none. A name in use gets a number.

    What stands before the last `/` of a name are folders below it, which are made where they are missing. Raises
    FileRefused for names that cannot be kept, FileNotFound for an unknown folder, ServerFailure for a full storage.
    """
    paths = [_path_of(file.name or "") for file in files]
    parent = _parent(principal, parent_id, FileNotFound("Can't find this folder!", data=False))
    rows = [_draft(principal, path[-1], file.size) for path, file in zip(paths, files, strict=True)]
    with undone_on_failure([row.location for row in rows]):
        for row, file in zip(rows, files, strict=True):
            default_storage.save(row.location, file)
        _insert(principal, parent, paths, rows)
    return rows


def _path_of(name: str) -> list[str]:
    """Split a file name at its slashes. Only they mean anything: `..` is a name like any other, never a way up."""
    *folders, last = name.split("/")
    path = [folder for folder in folders if folder] + [last]
    if not last:
        raise FileRefused("No selected file!")
    for part in path:
        _require_storable(part)
    return path


def _require_storable(name: str) -> None:
    if problem := problem_with(name):
        raise FileRefused(problem)


def _parent(principal: Principal, folder_id: str, unknown: Exception) -> File:
    """Return the folder that something is to be put into. Raises `unknown`, or FileRefused for the mirror."""
    folder = folder_of(principal, folder_id) if folder_id else root_of(principal)
    if folder is None:
        raise unknown
    if folder.is_mirror:
        raise FileRefused(f"{FOLDER_NAME} shows what the datasets hold; add documents to a dataset instead.")
    return folder


def _draft(principal: Principal, name: str, size: int) -> File:
    """Return the unsaved row of a file. The key of its bytes is made of ids: a name never becomes a path."""
    file_id = new_id()
    return File(
        id=file_id,
        tenant_id=principal.tenant_id,
        created_by=principal.tenant_id,
        name=name,
        type=type_of(name) or File.Type.OTHER,
        location=f"files/{principal.tenant_id}/{file_id}",
        size=size,
    )


@transaction.atomic
def _insert(principal: Principal, parent: File, paths: Sequence[Sequence[str]], rows: Sequence[File]) -> None:
    lock_tree(principal)
    if not stored_files(principal).filter(pk=parent.pk).exists():
        raise FileNotFound("Folder not found!", data=False)
    _require_depth(_depth_of(parent) + max(len(path) for path in paths))
    known: dict[tuple[str, ...], File] = {(): parent}
    for row, path in zip(rows, paths, strict=True):
        row.parent = _folder_at(principal, tuple(path[:-1]), known)
        row.name = _free_name(row.parent, row.name)
        row.save(force_insert=True)
    note_files("create", principal, rows)


def _depth_of(folder: File) -> int:
    return len(path_to_root(folder)) - 1


def _require_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FileRefused(f"Folders cannot be nested deeper than {MAX_DEPTH} levels.")


def _folder_at(principal: Principal, path: tuple[str, ...], known: dict[tuple[str, ...], File]) -> File:
    """Return the folder at a path below the one that is known for (), and make what is missing on the way."""
    for end in range(1, len(path) + 1):
        if path[:end] not in known:
            known[path[:end]] = _subfolder(principal, known[path[: end - 1]], path[end - 1])
    return known[path]


def _subfolder(principal: Principal, parent: File, name: str) -> File:
    """Return the folder with this name, written exactly so or else in other letter case, or make it."""
    alike = list(parent.children.filter(name_key=name_key(name)).order_by("created_at", "pk"))
    folders = [file for file in alike if file.is_folder]
    found = next((folder for folder in folders if folder.name == name), next(iter(folders), None))
    if found is None and alike:
        raise FileNameTaken(f"{name} is a file in this folder, so nothing can be put into it.")
    if found is not None and found.is_mirror:
        raise FileRefused(f"{FOLDER_NAME} shows what the datasets hold; add documents to a dataset instead.")
    return found or _create(principal, parent, name, File.Type.FOLDER)


def _create(principal: Principal, parent: File, name: str, type_: str) -> File:
    return File.objects.create(
        tenant_id=principal.tenant_id, created_by=principal.tenant_id, parent=parent, name=name, type=type_
    )


def _free_name(folder: File, name: str) -> str:
    return free_name(name, taken_among(folder.children.all(), name, max_bytes=MAX_NAME_BYTES), max_bytes=MAX_NAME_BYTES)


@transaction.atomic
def create_file(*, principal: Principal, parent_id: str, name: str, type_: str) -> File:
    """Create a folder, or an entry of another type without bytes, in a folder (the root when `parent_id` is empty).

    Raises FileRefused for an unknown parent or a name that cannot be kept, FileNameTaken in any letter case.
    """
    lock_tree(principal)
    parent = _parent(principal, parent_id, FileRefused("Parent Folder Doesn't Exist!"))
    if not name:
        raise FileRefused("The name must not be empty.")
    _require_storable(name)
    _require_depth(_depth_of(parent) + 1)
    if parent.children.filter(name_key=name_key(name)).exists():
        raise FileNameTaken("Duplicated folder name in the same folder.")
    file = _create(principal, parent, name, type_)
    note_files("create", principal, [file])
    return file


# -- changing ------------------------------------------------------------------------------------------------------


@transaction.atomic
def move_files(*, principal: Principal, ids: Sequence[str], destination_id: str) -> None:
    """Move entries with everything below them into a folder, all or none. A name in use there gets a number.

    Raises FileNotFound for unknown ids; FileRefused for the root and the mirror, for a destination that is no folder,
    and for a folder that would end up inside itself.
    """
    lock_tree(principal)
    files = [_movable(principal, id_) for id_ in ids]
    destination = file_of(principal, destination_id)
    if destination is None:
        raise FileNotFound("Parent Folder not found!")
    if not destination.is_folder or destination.is_mirror:
        raise FileRefused(f"Nothing can be moved into {destination.name}.")
    above = [folder.pk for folder in path_to_root(destination)]
    heights = content_of([file.pk for file in files])
    for file in files:
        if file.pk in above:
            raise FileRefused(f"The folder {file.name} cannot be moved into itself.")
        if file.parent_id == destination.pk:
            continue
        _require_depth(len(above) + heights[file.pk].height)
        file.name = _free_name(destination, file.name)
        file.parent = destination
        file.save()
    note_files("move", principal, files, destination=destination.pk)


def _movable(principal: Principal, file_id: str) -> File:
    file = file_of(principal, file_id)
    if file is None:
        raise FileNotFound("File or Folder not found!")
    require_changeable(file)
    return file


def require_changeable(file: File) -> None:
    """Raise FileRefused for the root, and for what changes with its dataset only."""
    if file.is_mirror:
        raise FileRefused(f"{file.name} belongs to the datasets and can be changed there only.")
    if file.parent_id is None:
        raise FileRefused("The root folder cannot be changed.")


def rename_file(*, principal: Principal, file_id: str, name: str) -> None:
    """Rename an entry, and the first document made from it. An entry of the mirror is the document itself.

    Raises FileNotFound; FileRefused for another extension, for a name that cannot be kept, for the root and for the
    folders of the mirror; FileNameTaken.
    """
    file = file_of(principal, file_id)
    if file is None:
        raise FileNotFound("File not found!")
    if isinstance(file.mirrors, Document):
        _check_new_name(file, name)
        if documents_of(file.mirrors.dataset).filter(name=name).exclude(pk=file.pk).exists():
            raise FileNameTaken(_TAKEN)
        rename_document(document=file.mirrors, name=name)
        note_document("update", file.mirrors, fields=["name"])
        return
    require_changeable(file)
    _rename(principal, file_id, name)
    for document in editable_documents_from(principal, [file_id])[:1]:
        others = documents_of(document.dataset).exclude(pk=document.pk)
        is_taken = taken_among(others, name, max_bytes=MAX_NAME_BYTES)
        rename_document(document=document, name=free_name(name, is_taken, max_bytes=MAX_NAME_BYTES))


@transaction.atomic
def _rename(principal: Principal, file_id: str, name: str) -> None:
    lock_tree(principal)
    file = stored_files(principal).filter(pk=file_id).first()
    if file is None:
        raise FileNotFound("File not found!")
    _check_new_name(file, name)
    if stored_files(principal).filter(parent=file.parent_id, name=name).exclude(pk=file.pk).exists():
        raise FileNameTaken(_TAKEN)
    file.name = name
    file.save(update_fields=["name", "name_key", "updated_at"])
    note_files("rename", principal, [file])


def _check_new_name(file: File, name: str) -> None:
    if not name:
        raise FileRefused("The name must not be empty.")
    _require_storable(name)
    if not file.is_folder and split_suffix(name.lower())[1] != split_suffix(file.name.lower())[1]:
        raise FileRefused("The extension of file can't be changed")
