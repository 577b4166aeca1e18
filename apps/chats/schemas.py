"""What the bodies of chats, sessions and search apps mean. The contract is lax about types, so each key tells how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apps.chats.prompt_config import COLUMNS, column_value, read_llm, read_prompt
from apps.core.errors import BadValue, DataError

_MAX_NAME = 255

# Columns of an assistant that a body may set by themselves, by the contract's stored names.
_TEXT_COLUMNS = {
    "description": "description",
    "avatar": "avatar",
    "icon": "avatar",
    "language": "language",
    "prompt_type": "prompt_type",
    "do_refer": "do_refer",
    "show_quotation": "do_refer",
}
_COLUMN_LENGTHS = {"language": 32, "prompt_type": 16, "do_refer": 16}
_OWN_KEYS = {"name", "dataset_ids", "kb_ids", "llm", "llm_id", "llm_setting", "prompt", "prompt_config"}
_UPDATABLE = _OWN_KEYS | set(_TEXT_COLUMNS) | {"meta_data_filter", *COLUMNS}


@dataclass(frozen=True, slots=True)
class AssistantData:
    """A request to create or change an assistant. What is None or missing was not given."""

    columns: dict[str, Any] = field(default_factory=dict)
    prompt_config: dict[str, Any] = field(default_factory=dict)  # by stored names
    model_name: str | None = None
    options: dict[str, Any] | None = None
    dataset_ids: list[Any] | None = None
    names_tenant: bool = False
    unrecognized: str = ""  # a key that an update does not know; the contract looks at it last


def create_assistant(body: Mapping[str, Any]) -> AssistantData:
    """Read the body of a creation. Unknown keys are ignored. Raises BadValue."""
    return _assistant(body)


def update_assistant(body: Mapping[str, Any]) -> AssistantData:
    """Read the body of an update. No datasets may be null here, and an empty `prompt` or `llm` is no known key.

    Raises BadValue.
    """
    data = _assistant({**body, "dataset_ids": body["dataset_ids"] or []} if "dataset_ids" in body else body)
    unknown = (key for key in body if key not in _UPDATABLE or (key in {"prompt", "llm"} and not body[key]))
    return replace(data, unrecognized=next(unknown, ""))


def _assistant(body: Mapping[str, Any]) -> AssistantData:
    model_name, options = _llm(body)
    prompt = read_prompt(_object(body, "prompt") or _object(body, "prompt_config"))
    columns: dict[str, Any] = {
        column: _text(key, body[key], column) for key, column in _TEXT_COLUMNS.items() if key in body
    }
    columns |= {column: column_value(column, body[key]) for key, column in COLUMNS.items() if key in body}
    if "name" in body:
        columns["name"] = _short_text(body, "name")
    if "meta_data_filter" in body:
        columns["metadata_filter"] = _object(body, "meta_data_filter")
    return AssistantData(
        columns=columns | prompt.columns,
        prompt_config=prompt.config,
        model_name=model_name,
        options=options,
        dataset_ids=_dataset_ids(body),
        names_tenant=bool(body.get("tenant_id")),
    )


def _llm(body: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    llm = _object(body, "llm")
    if not llm:
        model_name, _ = read_llm({"model_name": body.get("llm_id")})
        return model_name, _object(body, "llm_setting") or None
    return read_llm(llm)


def _object(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise BadValue(
            f"`{key}` must be an object, not {value!r}.",
            reference=f"AttributeError(\"'{type(value).__name__}' object has no attribute 'get'\")",
        )
    return value or {}


def _text(key: str, value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int) and column == "do_refer":
        return str(int(value))
    if not isinstance(value, str):
        raise BadValue(f"`{key}` must be text, not {value!r}.")
    limit = _COLUMN_LENGTHS.get(column)
    if limit is not None and len(value) > limit:
        raise BadValue(f"`{key}` must have at most {limit} characters.")
    return value


def _dataset_ids(body: Mapping[str, Any]) -> list[Any] | None:
    """Return the named datasets; text counts as a list of its characters, as clients of the contract expect."""
    key = "dataset_ids" if "dataset_ids" in body else "kb_ids"
    if key not in body:
        return None
    try:
        return list(body[key])
    except TypeError as error:
        raise BadValue(f"`{key}` must be a list of dataset ids, not {body[key]!r}.", reference=repr(error)) from None


@dataclass(frozen=True, slots=True)
class SessionData:
    name: str | None = None
    user_id: str | None = None


def session(body: Mapping[str, Any]) -> SessionData:
    """Read the body of a session's creation. Raises DataError for an empty name, BadValue."""
    if "name" in body and not body["name"]:
        raise DataError("`name` can not be empty.")
    return SessionData(_short_text(body, "name"), _short_text(body, "user_id"))


def update_session(body: Mapping[str, Any]) -> SessionData:
    """Read the body of a session's update. Raises DataError for what cannot change, BadValue for unknown keys."""
    if "message" in body or "messages" in body:
        raise DataError("`message` can not be change")
    if "reference" in body:
        raise DataError("`reference` can not be change")
    data = session(body)
    for key in body:
        if key not in {"name", "user_id"}:
            raise unrecognized(key)
    return data


@dataclass(frozen=True, slots=True)
class SearchAppData:
    """A request to create or change a search app."""

    name: str
    search_config: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


def create_search_app(body: Mapping[str, Any]) -> SearchAppData:
    """Read the body of a creation. Raises DataError and BadValue."""
    config = {} if body.get("search_config") is None else body["search_config"]
    return _search_app(body, config, longest_name=255, ending=".")


def update_search_app(body: Mapping[str, Any]) -> SearchAppData:
    """Read the body of an update, which has all required keys. Raises DataError and BadValue."""
    return _search_app(body, body["search_config"], longest_name=128, ending="")


def _search_app(body: Mapping[str, Any], config: Any, *, longest_name: int, ending: str) -> SearchAppData:
    name = body["name"]
    if not isinstance(name, str):
        raise DataError("Search name must be string.")
    if not name.strip():
        raise DataError("Search name can't be empty.")
    size = len(name.encode("utf-8", "replace"))
    if size > longest_name:
        raise DataError(f"Search name length is {size} which is large than {longest_name}{ending}")
    if not isinstance(config, dict):
        raise DataError("search_config must be a JSON object")
    columns = {column: _text(column, body[column], column) for column in ("description", "avatar") if column in body}
    return SearchAppData(name.strip(), config, columns)


def _short_text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadValue(f"`{key}` must be text, not {value!r}.")
    if len(value) > _MAX_NAME:
        raise BadValue(f"`{key}` must have at most {_MAX_NAME} characters.")
    return value


def ids_of(body: Mapping[str, Any]) -> list[str]:
    """Return the `ids` to delete as they came; an empty list means all. Raises BadValue."""
    ids = body.get("ids") or []
    if not isinstance(ids, Iterable) or isinstance(ids, Mapping):
        raise BadValue(f"`ids` must be a list of ids, not {ids!r}.")
    return [str(element) for element in ids]


def unrecognized(key: str) -> BadValue:
    return BadValue(
        f'Unrecognized field name: "{key}".',
        reference=repr(ValueError(f'Unrecognized field name: "{key}" in {{}}.')),
    )
