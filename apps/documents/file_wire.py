"""The file manager as the contract shows it."""

from __future__ import annotations

import re
from typing import Any

from apps.core.clock import timestamps
from apps.documents.file_tree import Listed
from apps.documents.file_types import suffix_of
from apps.documents.models import Document, File, FileLink


def new_file_to_wire(file: File) -> dict[str, Any]:
    """Return an entry as the answers to an upload and a creation hold it: without times."""
    return {
        "id": file.pk,
        "parent_id": file.parent_id or file.pk,
        "tenant_id": file.tenant_id,
        "created_by": file.created_by,
        "name": file.name,
        "type": file.type,
        "location": file.location,
        "size": file.size,
        "source_type": file.source_type,
    }


def file_to_wire(file: File) -> dict[str, Any]:
    return {**new_file_to_wire(file), **timestamps(file.created_at, file.updated_at)}


def listed_to_wire(listed: Listed) -> dict[str, Any]:
    wire = {**file_to_wire(listed.file), "kbs_info": [_dataset_to_wire(document) for document in listed.documents]}
    if listed.content is not None:
        wire |= {"size": listed.content.size, "has_child_folder": listed.content.has_child_folder}
    return wire


def _dataset_to_wire(document: Document) -> dict[str, str]:
    return {"kb_id": document.dataset_id, "kb_name": document.dataset.name, "document_id": document.pk}


def link_to_wire(link: FileLink) -> dict[str, str]:
    return {"id": link.pk, "file_id": link.file_id, "document_id": link.document_id}


# -- content types -------------------------------------------------------------------------------------------------

_UNKNOWN = "application/octet-stream"
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}")  # what RFC 6838 lets a subtype consist of

_OFFICE = "application/vnd.openxmlformats-officedocument"
_EXTENSIONS = {
    f"{_OFFICE}.wordprocessingml.document": ("docx",),
    f"{_OFFICE}.spreadsheetml.sheet": ("xlsx",),
    f"{_OFFICE}.presentationml.presentation": ("pptx",),
    "application/msword": ("doc",),
    "application/vnd.ms-excel": ("xls",),
    "application/vnd.ms-powerpoint": ("ppt",),
    "application/pdf": ("pdf",),
    "application/json": ("json",),
    "text/csv": ("csv",),
    "text/html": ("htm", "html"),
    "text/markdown": ("md", "markdown", "mdx"),
    "text/plain": ("txt", "py", "js", "java", "c", "cpp", "h", "php", "go", "ts", "sh", "cs", "kt", "sql"),
    "image/jpeg": ("jpg", "jpeg"),
    "image/tiff": ("tif", "tiff"),
    "image/svg+xml": ("svg",),
    "image/x-icon": ("ico",),
} | {f"image/{name}": (name,) for name in ("png", "gif", "bmp", "webp", "avif", "heic")}
_CONTENT_TYPES = {extension: type_ for type_, extensions in _EXTENSIONS.items() for extension in extensions}


def content_type_of(file: File) -> str:
    """Return the contract's content type of a file: its extension as the name has it, below `image` or `application`.

    An extension that HTTP cannot carry says nothing.
    """
    suffix = suffix_of(file.name)
    if not suffix:
        return "text/html; charset=utf-8"
    if not _TOKEN.fullmatch(suffix):
        return _UNKNOWN
    return f"image/{suffix}" if file.type == File.Type.VISUAL else f"application/{suffix}"


def content_type_of_attachment(extension: str) -> str:
    known = _CONTENT_TYPES.get(extension)
    if known is not None:
        return known
    return f"application/{extension}" if _TOKEN.fullmatch(extension) else _UNKNOWN
