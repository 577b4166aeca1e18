"""What clients may send to the file manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.errors import BadValue
from apps.core.paging import descending, page_of
from apps.documents.file_tree import Listing
from apps.documents.models import File
from apps.documents.schemas import id_list

_PAGE_SIZE = 15
_COLUMNS = {
    "create_time": "created_at",
    "create_date": "created_at",
    "update_time": "updated_at",
    "update_date": "updated_at",
} | {
    name: name
    for name in ("id", "parent_id", "tenant_id", "created_by", "name", "location", "size", "type", "source_type")
}


def listing_of(query: Mapping[str, str]) -> Listing:
    """Read what a list shows. Raises BadValue for a page that is no number and for an unknown column."""
    wanted = query.get("orderby") or "create_time"
    if wanted not in _COLUMNS:
        raise BadValue(
            f"`orderby` must be a field of a file, not {wanted!r}.",
            reference=repr(AttributeError(f"type object 'File' has no attribute {wanted!r}")),
        )
    return Listing(
        page=page_of(query, _PAGE_SIZE),
        keywords=query.get("keywords", ""),
        order=_COLUMNS[wanted],
        descending=descending(query) and query.get("desc") != "",
    )


def required_text(payload: Mapping[str, Any], name: str) -> str:
    """Return a text that has to be there. Raises BadValue."""
    if name not in payload:
        raise _missing(name)
    return _text(name, payload[name])


def optional_text(payload: Mapping[str, Any], name: str) -> str:
    """Return a text; absent and null are empty. Raises BadValue."""
    value = payload.get(name)
    return "" if value is None else _text(name, value)


def required_ids(payload: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of ids that has to be there, each id once. Raises BadValue."""
    if name not in payload:
        raise _missing(name)
    return id_list(name, payload[name], kind="file").ids


def created_type(payload: Mapping[str, Any]) -> File.Type:
    """Return the type of an entry to create: a folder when it says so in any letter case, otherwise virtual."""
    return File.Type.FOLDER if optional_text(payload, "type").lower() == "folder" else File.Type.VIRTUAL


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"`{name}` must be text, not {value!r}.")
    return value


def _missing(name: str) -> BadValue:
    return BadValue(f"`{name}` is required.", reference=repr(KeyError(name)))
