"""Reading request bodies, in the two ways the contract distinguishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from django.http import HttpRequest, QueryDict

from apps.core.errors import InvalidArgument, MalformedBody, MissingArguments
from apps.core.uploads import read_fields

DEEPEST = 100
"""Levels of nesting in a body. What is stored is shown again, and JSON writers give up somewhere beyond 200."""
_TOO_DEEP = f"The request body is nested deeper than {DEEPEST} levels."
_JSON = (b"{", b"[")  # how an object or a list begins; forms write these characters as %7B and %5B


def read_object(request: HttpRequest) -> dict[str, Any]:
    """Return the body as an object: JSON, or the fields of a form. No bytes at all count as an empty object.

    Raises MalformedBody.
    """
    if not _is_json(request):
        return _read_form(request)
    if not request.body:
        return {}
    try:
        payload = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(
            f"The request body is not valid JSON: {error}.", reference="<BadRequest '400: Bad Request'>"
        ) from None
    if isinstance(payload, str):
        raise MalformedBody(
            "The request body must be a JSON object, not a string.",
            reference="""AttributeError("'str' object has no attribute 'get'")""",
        )
    if not isinstance(payload, dict):
        raise MalformedBody(
            f"The request body must be a JSON object, not {_json_type(payload)}.",
            reference="TypeError('JSON payload must be an object.')",
        )
    if is_deeper(payload, DEEPEST):
        raise MalformedBody(_TOO_DEEP)
    return payload


def read_required(request: HttpRequest, names: Iterable[str]) -> dict[str, Any]:
    """Return the body of an endpoint that declares required arguments. Raises MissingArguments.

    A body that cannot be read lacks them, which is what the client is told.
    """
    payload = read_lenient(request)
    require(payload, names)
    return payload


def read_lenient(request: HttpRequest) -> dict[str, Any]:
    """Return the body as an object; one that cannot be read counts as empty."""
    try:
        return read_object(request)
    except MalformedBody:
        return {}


def read_validated_payload(request: HttpRequest) -> dict[str, Any]:
    """Return the body of an endpoint with a schema. A body that is not declared as JSON counts as empty.

    Raises InvalidArgument for syntax errors (an empty body is one), for anything truthy that is not an object, and for
    too many levels.
    """
    if (request.content_type or "").lower() != "application/json":
        return {}
    try:
        payload = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise InvalidArgument("Malformed JSON syntax: Missing commas/brackets or invalid encoding") from None
    if not payload:
        return {}
    if not isinstance(payload, dict):
        raise InvalidArgument(f"Invalid request payload: expected object, got {type(payload).__name__}")
    if is_deeper(payload, DEEPEST):
        raise InvalidArgument(_TOO_DEEP)
    return payload


def require(payload: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise MissingArguments unless every name is a key of the payload, whatever its value."""
    missing = [name for name in names if name not in payload]
    if missing:
        raise MissingArguments(missing)


def deny(payload: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise InvalidArgument if one of the names is a key of the payload; the first one is named."""
    for name in names:
        if name in payload:
            raise InvalidArgument(f"Parameter {name} isn't allowed", data=None)


def is_deeper(value: Any, levels: int) -> bool:
    """Tell whether a JSON value is nested deeper than this."""
    reached = [value]
    for _ in range(levels):
        reached = [
            inner
            for outer in reached
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not reached:
            return False
    return any(isinstance(inner, dict | list) for inner in reached)


def _is_json(request: HttpRequest) -> bool:
    return (request.content_type or "").lower().startswith("application/json")


def _read_form(request: HttpRequest) -> dict[str, Any]:
    """Return the first value of each field. JSON that is declared as a form, as curl does, is not one."""
    if request.content_type == "multipart/form-data":
        return _first_values(read_fields(request))
    if not request.body:
        return {}
    if request.content_type == "application/x-www-form-urlencoded" and not request.body.lstrip().startswith(_JSON):
        return _first_values(QueryDict(request.body, encoding="utf-8"))
    raise MalformedBody(
        "The request body must be JSON (Content-Type: application/json) or a form.",
        reference="TypeError('Request body is not a valid form payload.')",
    )


def _first_values(form: QueryDict) -> dict[str, Any]:
    return {name: values[0] for name, values in form.lists()}


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return "an array" if isinstance(value, list) else "a number"
