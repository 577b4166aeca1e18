"""What the web API takes about documents, with the contract's wording of every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import QueryDict

from apps.core.errors import BadValue, DataError, InvalidArgument
from apps.documents.metadata.condition import MOST_COMPARISONS, Comparison, Condition, read_condition
from apps.documents.models import Document, File
from apps.documents.schemas import document_filter
from apps.documents.selectors import DocumentFilter
from apps.documents.services.storing import problem_with

START, CANCEL = "1", "2"
_SCHEDULED = "5"
_TYPES = frozenset({*File.Type.values})


def filter_of(query: QueryDict, body: Mapping[str, Any]) -> DocumentFilter:
    """Read the restrictions of a document list. Raises DataError and BadValue."""
    sent = document_filter(query)
    states, types = _list(body, "run_status"), _list(body, "types")
    if wrong := [state for state in states if state not in {*Document.State.values, _SCHEDULED}]:
        raise DataError(f"Invalid filter run status conditions: {', '.join(wrong)}")
    if wrong := [type_ for type_ in types if type_ not in _TYPES]:
        raise DataError(f"Invalid filter conditions: {', '.join(wrong)} type{'s' if len(wrong) > 1 else ''}")
    return DocumentFilter(
        keywords=sent.keywords,
        suffixes=tuple(suffix.replace("\0", "\ufffd") for suffix in _list(body, "suffix")),
        types=tuple(types),
        states=tuple(states),
        created_from=sent.created_from,
        created_before=sent.created_before,
    )


def metadata_conditions(body: Mapping[str, Any]) -> list[Condition]:
    """Read what documents must satisfy: a condition, and for each key of `metadata` one of the values listed there.

    Raises DataError and BadValue.
    """
    sent = body.get("metadata_condition")
    if sent and not isinstance(sent, dict):
        raise DataError("metadata_condition must be an object.")
    wanted = body.get("metadata") or {}
    if not isinstance(wanted, dict):
        raise DataError("metadata must be an object.")
    conditions = [_one_of(key, value) for key, value in wanted.items() if key != "empty_metadata"]
    if sum(len(condition.comparisons) for condition in conditions) > MOST_COMPARISONS:
        raise BadValue(f"`metadata` must not name more than {MOST_COMPARISONS} values.")
    condition = read_condition(sent)
    return [*conditions, condition] if condition and condition.comparisons else conditions


def _one_of(key: str, value: Any) -> Condition:
    values = value if isinstance(value, list) else [value]
    return Condition(tuple(Comparison((key,), "=", item) for item in values), needs_all=False)


def wants_empty_metadata(body: Mapping[str, Any]) -> bool:
    wanted = body.get("metadata")
    return bool(body.get("return_empty_metadata") or (isinstance(wanted, dict) and wanted.get("empty_metadata")))


def new_name(value: Any) -> str:
    """Read the name of a document without content. Raises InvalidArgument."""
    if not isinstance(value, str):
        raise _invalid("File name must be text.")
    if problem := problem_with(value):
        raise _invalid(problem)
    if not value.strip():
        raise _invalid("File name can't be empty.")
    return value.strip()


def run_of(value: Any) -> str:
    """Read whether documents are to be parsed or not. Raises InvalidArgument."""
    if str(value) not in {START, CANCEL}:
        raise _invalid(f'`run` must be "{START}" to start or "{CANCEL}" to cancel, not {value!r}.')
    return str(value)


def ids_of(value: Any, field: str) -> list[str]:
    """Read an id or a list of them; each once, in order. Raises BadValue."""
    ids = [value] if isinstance(value, str) else value
    if not isinstance(ids, list):
        raise BadValue(
            f"`{field}` must be a list of ids.",
            reference=repr(TypeError(f"'{type(value).__name__}' object is not iterable")),
        )
    return list(dict.fromkeys(str(id_) for id_ in ids))


def status_of(value: Any) -> bool:
    """Read whether retrieval is to consider a document. Raises InvalidArgument."""
    if str(value) not in {"0", "1"}:
        raise _invalid('"Status" must be either 0 or 1!')
    return str(value) == "1"


def metadata_of(text: Any) -> dict[str, Any]:
    """Read metadata sent as JSON text. Raises InvalidArgument."""
    try:
        fields = orjson.loads(text)
    except (TypeError, ValueError) as error:
        raise _invalid(f"Json syntax error: {error}") from None
    if not isinstance(fields, dict):
        raise _invalid("Only dictionary type supported.")
    for value in fields.values():
        if isinstance(value, list):
            if not all(isinstance(item, str | int | float) for item in value):
                raise _invalid(f"The type is not supported in list: {value}")
        elif not isinstance(value, str | int | float):
            raise _invalid(f"The type is not supported: {value}")
    return fields


def _list(body: Mapping[str, Any], key: str) -> list[str]:
    values = body.get(key) or []
    if not isinstance(values, list):
        raise BadValue(f"`{key}` must be a list, not {values!r}.")
    return [str(value) for value in values]


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, data=False)
