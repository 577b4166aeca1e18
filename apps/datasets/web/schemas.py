"""What the web API takes about datasets: the contract's stored names, and its wording of every mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import BadValue, DataError, InvalidArgument
from apps.core.validation import integer, number
from apps.datasets.models import ChunkMethod, KnowledgeBase
from apps.datasets.schemas import MAX_NAME, MAX_TEXT

CHUNK_METHODS = frozenset({*ChunkMethod.values, "knowledge_graph", "resume", "audio"})
FIXED = ("id", "tenant_id", "created_by", "create_time", "update_time", "create_date", "update_date")

_TIMES = {
    "create_time": "created_at",
    "create_date": "created_at",
    "update_time": "updated_at",
    "update_date": "updated_at",
}
_ORDERS = {
    **_TIMES,
    **{name: name for name in ("id", "name", "language", "description", "permission", "pagerank", "pipeline_id")},
    "tenant_id": "tenant_id",
    "created_by": "tenant_id",
    "doc_num": "document_count",
    "token_num": "token_count",
    "chunk_num": "chunk_count",
    "parser_id": "chunk_method",
    "embd_id": "embedding_model",
    "similarity_threshold": "similarity_threshold",
    "vector_similarity_weight": "vector_similarity_weight",
}


@dataclass(frozen=True, slots=True)
class DatasetData:
    """A request to create or change a dataset. What is None or missing was not given."""

    name: str
    columns: dict[str, Any] = field(default_factory=dict)
    embedding_model: str | None = None
    parser_config: dict[str, Any] | None = None


def create_dataset(body: Mapping[str, Any]) -> DatasetData:
    """Read the body of a creation. Unknown keys are ignored. Raises DataError, InvalidArgument and BadValue."""
    return _dataset(body, name_of(body["name"]))


def update_dataset(body: Mapping[str, Any]) -> DatasetData:
    """Read the body of an update. Raises BadValue for unknown keys too."""
    name = name_of(body["name"], counts_blanks=True)
    for key in body:
        if key not in {"kb_id", "name", "embd_id", "parser_config", "connectors", *_COLUMNS}:
            raise BadValue(
                f"`{key}` is not a field of a dataset.",
                reference=repr(AttributeError(f"type object 'Knowledgebase' has no attribute {key!r}")),
            )
    if body.get("connectors"):
        raise InvalidArgument("This server has no connectors: leave `connectors` empty.")
    return _dataset(body, name)


def name_of(value: Any, *, counts_blanks: bool = False) -> str:
    """Return the name of a dataset without blanks around it. Raises DataError."""
    if not isinstance(value, str):
        raise DataError("Dataset name must be string.")
    name = value.strip()
    if not name:
        raise DataError("Dataset name can't be empty.")
    if len(name.encode("utf-8", "replace")) > MAX_NAME:
        raise DataError(
            f"Dataset name length is {len(value if counts_blanks else name)} which is large than {MAX_NAME}"
        )
    if "\0" in name:
        raise DataError("Dataset name must not contain the character NUL.")
    return name


def order_of(query: Mapping[str, str]) -> str:
    """Return the column that a list is sorted by. Raises BadValue for one that datasets do not have."""
    wanted = query.get("orderby") or "create_time"
    if wanted not in _ORDERS:
        raise BadValue(
            f"`orderby` must be a field of a dataset, not {wanted!r}.",
            reference=repr(AttributeError(f"type object 'Knowledgebase' has no attribute {wanted!r}")),
        )
    return _ORDERS[wanted]


def _dataset(body: Mapping[str, Any], name: str) -> DatasetData:
    columns = {}
    for key, (column, read) in _COLUMNS.items():
        if key in body:
            columns[column] = read(key, body[key])
    model = body.get("embd_id")
    return DatasetData(
        name=name,
        columns=columns,
        embedding_model=None if model is None else _text("embd_id", model, 255),
        parser_config=_config(body),
    )


def _config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    config = body.get("parser_config")
    if config is not None and not isinstance(config, dict):
        raise BadValue(f"`parser_config` must be an object, not {config!r}.")
    return config


def _text(key: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise BadValue(f"`{key}` must be text, not {value!r}.")
    if len(value) > longest:
        raise InvalidArgument(f"`{key}` must have at most {longest} characters.")
    if "\0" in value:
        raise InvalidArgument(f"`{key}` must not contain the character NUL.")
    return value


def _nullable(longest: int) -> Callable[[str, Any], str | None]:
    return lambda key, value: None if value is None else _text(key, value, longest)


def _language(key: str, value: Any) -> str:
    return _text(key, value, 32)


def _permission(key: str, value: Any) -> str:
    if value not in KnowledgeBase.Permission.values:
        raise InvalidArgument(f"`{key}` must be `me` or `team`, not {value!r}.")
    return str(value)


def _chunk_method(key: str, value: Any) -> str:
    if not isinstance(value, str) or value not in CHUNK_METHODS:
        names = ", ".join(sorted(CHUNK_METHODS))
        raise BadValue(f"`{key}` must be one of {names}, not {value!r}.", reference=repr(KeyError(value)))
    return value


def _pagerank(key: str, value: Any) -> int:
    rank = integer(key, value)
    if not 0 <= rank <= 100:
        raise InvalidArgument(f"`{key}` must be between 0 and 100, not {rank}.")
    return rank


def _share(key: str, value: Any) -> float:
    share = number(key, value)
    if not 0 <= share <= 1:
        raise InvalidArgument(f"`{key}` must be between 0 and 1, not {share}.")
    return share


_COLUMNS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "avatar": ("avatar", _nullable(MAX_TEXT)),
    "description": ("description", _nullable(MAX_TEXT)),
    "language": ("language", _language),
    "permission": ("permission", _permission),
    "parser_id": ("chunk_method", _chunk_method),
    "pipeline_id": ("pipeline_id", _nullable(32)),
    "pagerank": ("pagerank", _pagerank),
    "similarity_threshold": ("similarity_threshold", _share),
    "vector_similarity_weight": ("vector_similarity_weight", _share),
}
"""What a body may say about a dataset, by the contract's stored name: the column, and how it is read."""
