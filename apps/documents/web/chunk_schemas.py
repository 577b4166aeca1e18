"""What the web API takes about chunks. The order of the checks is the contract's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.errors import BadValue, DataError
from apps.core.paging import DEFAULT_PAGE_SIZE
from apps.core.validation import integer
from apps.documents.chunk_schemas import Window, chunk_window, page_and_size, texts_of

_NOTHING_TO_EMBED = (
    'Error: 413 - {"error":"Input validation error: `inputs` cannot be empty","error_type":"Validation"}'
)


@dataclass(frozen=True, slots=True)
class NewChunk:
    document_id: Any
    content: str
    keywords: tuple[str, ...]
    questions: tuple[str, ...]


def new_chunk(body: Mapping[str, Any]) -> NewChunk:
    """Read a chunk that is to be added. Raises DataError and BadValue."""
    content = body["content_with_weight"]
    if not isinstance(content, str):
        error = TypeError(f"unsupported operand type(s) for +: '{type(content).__name__}' and 'str'")
        raise _not_text(content, error)
    return NewChunk(
        body["doc_id"],
        content,
        keywords=_texts(body, "important_kwd", "is required to be a list"),
        questions=_texts(body, "question_kwd", "is required to be a list"),
    )


def chunk_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a chunk is to be: values by field of `engine.types.Chunk`. Raises DataError and BadValue."""
    content = body["content_with_weight"]
    if not isinstance(content, str):
        raise _not_text(content, TypeError("expected string or bytes-like object"))
    changes: dict[str, Any] = {"content": content}
    for key, field in (("important_kwd", "keywords"), ("question_kwd", "questions")):
        if key in body:
            changes[field] = _texts(body, key, "should be a list")
    if "available_int" in body:
        changes["available"] = available_of(body["available_int"])
    return changes


def require_text(content: str, questions: Sequence[str]) -> None:
    """Raise BadValue if there is nothing to embed: the questions stand for the content where there are any."""
    if not ("\n".join(questions) if questions else content):
        raise BadValue("A chunk needs text: its content, or questions.", reference=repr(Exception(_NOTHING_TO_EMBED)))


def window_of(body: Mapping[str, Any]) -> Window:
    """Read `page` and `size` of a list. Raises BadValue."""
    return chunk_window(*page_and_size({"page": body.get("page", 1), "page_size": body.get("size", DEFAULT_PAGE_SIZE)}))


def keywords_of(body: Mapping[str, Any]) -> str:
    text = body.get("keywords") or ""
    if not isinstance(text, str):
        raise BadValue(f"`keywords` must be text, not {text!r}.")
    return text


def availability_of(body: Mapping[str, Any]) -> bool | None:
    """Return which chunks a list is narrowed to; None: to none."""
    return None if body.get("available_int") is None else available_of(body["available_int"])


def available_of(value: Any) -> bool:
    """Read whether retrieval is to consider a chunk. Raises BadValue."""
    return bool(integer("available_int", value))


def chunk_ids_of(value: Any) -> list[str]:
    """Read the ids of chunks; each once, in order. Raises DataError."""
    ids = [value] if isinstance(value, str) else value
    if not isinstance(ids, list):
        raise DataError("`chunk_ids` should be a list")
    return list(dict.fromkeys(str(id_) for id_ in ids))


def _texts(body: Mapping[str, Any], key: str, refusal: str) -> tuple[str, ...]:
    values = body.get(key, [])
    if not isinstance(values, list):
        raise DataError(f"`{key}` {refusal}")
    return texts_of(key, values)


def _not_text(value: Any, error: TypeError) -> BadValue:
    return BadValue(f"`content_with_weight` must be text, not {value!r}.", reference=repr(error))
