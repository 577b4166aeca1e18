"""What clients may send about chunks. The order of the checks is the contract's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.errors import BadValue, DataError
from apps.core.paging import DEFAULT_PAGE_SIZE
from apps.core.validation import integer
from apps.documents.schemas import NO_NEGATIVE_SLICES
from ragflow.engine.types import Position


@dataclass(frozen=True, slots=True)
class Window:
    offset: int
    limit: int


UNPAGED_CHUNKS = 10
DEEPEST_CHUNK = 10_000


def page_and_size(query: Mapping[str, str]) -> tuple[int, int]:
    """Read `page` and `page_size` of a chunk list. Raises BadValue for text that is no number."""
    return integer("page", query.get("page", 1)), integer("page_size", query.get("page_size", DEFAULT_PAGE_SIZE))


def chunk_window(page: int, size: int) -> Window:
    """Return which chunks a page shows. A size of 0 switches paging off and shows ten chunks at most.

    Raises BadValue for a page below 1, and for a page that lies beyond 10 000 chunks.
    """
    if size <= 0:
        return Window(0, UNPAGED_CHUNKS)
    if page <= 0:
        raise BadValue("`page` must be at least 1.", reference=repr(ValueError(NO_NEGATIVE_SLICES)))
    if page * size > DEEPEST_CHUNK:
        raise BadValue(f"`page` times `page_size` must not exceed {DEEPEST_CHUNK}.")
    return Window((page - 1) * size, size)


@dataclass(frozen=True, slots=True)
class NewChunk:
    content: str
    keywords: tuple[str, ...]
    questions: tuple[str, ...]


def new_chunk(payload: Mapping[str, Any]) -> NewChunk:
    """Read a chunk that is to be added. Raises DataError or BadValue."""
    content = payload.get("content", "")
    if not str(content).strip():
        raise DataError("`content` is required")
    keywords, questions = payload.get("important_keywords", []), payload.get("questions", [])
    for field, value in (("important_keywords", keywords), ("questions", questions)):
        if not isinstance(value, list):
            raise DataError(f"`{field}` is required to be a list")
    return NewChunk(_content(content), texts_of("important_keywords", keywords), _questions(questions))


def chunk_changes(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is to change of a chunk: values by field of `engine.types.Chunk`. Raises DataError or BadValue."""
    changes: dict[str, Any] = {}
    if "important_keywords" in payload:
        changes["keywords"] = texts_of("important_keywords", _list(payload, "important_keywords"))
    if "questions" in payload:
        changes["questions"] = _questions(_list(payload, "questions"))
    if "available" in payload:
        changes["available"] = bool(integer("available", payload["available"]))
    if "positions" in payload:
        changes["positions"] = tuple(map(_position, _list(payload, "positions")))
    if payload.get("content") is not None:
        changes["content"] = _content(payload["content"])
    return changes


def _content(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        error = TypeError('can only concatenate list (not "str") to list')
    else:
        error = TypeError(f"unsupported operand type(s) for +: '{type(value).__name__}' and 'str'")
    raise BadValue(f"`content` must be text, not {value!r}.", reference=repr(error))


def _list(payload: Mapping[str, Any], field: str) -> list[Any]:
    value = payload[field]
    if not isinstance(value, list):
        raise DataError(f"`{field}` should be a list")
    return value


def texts_of(field: str, values: list[Any]) -> tuple[str, ...]:
    """Read a list of texts as it is. Raises BadValue for anything else in it."""
    for index, value in enumerate(values):
        if not isinstance(value, str):
            error = TypeError(f"sequence item {index}: expected str instance, {type(value).__name__} found")
            raise BadValue(f"`{field}` must hold text only, not {value!r}.", reference=repr(error))
    return tuple(values)


def _questions(values: list[Any]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts_of("questions", values) if text.strip())


_LARGEST_EDGE = 2**31


def _position(value: Any) -> Position:
    """Read a place on a page. What a list could not show again is refused here, where somebody can correct it."""
    numbers = value if isinstance(value, list) else []
    is_place = len(numbers) == 5 and all(type(number) is int and abs(number) < _LARGEST_EDGE for number in numbers)
    if not is_place:
        raise BadValue(
            f"`positions` must hold lists of five whole numbers, [page, left, right, top, bottom], not {value!r}."
        )
    return Position(*numbers)
