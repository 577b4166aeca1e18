"""Paths, JSON answers and Django's own error pages."""

from __future__ import annotations

import re
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse

from apps.core import errors

API_PREFIXES = ("/api/", "/v1/")
_SLASHES = re.compile(r"//+")


def canonical_path(path: str) -> str:
    """Return the path that routes are matched against.

    Clients of the contract rely on repeated slashes counting as one and on an ignored trailing slash (an empty id in a
    path thus names the shorter route). Pages for people keep their trailing slashes.
    """
    path = _SLASHES.sub("/", path)
    if path.startswith(API_PREFIXES) and len(path) > 1:
        return path.rstrip("/")
    return path


def dumps(content: Any) -> bytes:
    """Return compact JSON. Lone surrogates, which JSON can carry but UTF-8 cannot, become question marks."""
    try:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps(_without_surrogates(content), option=orjson.OPT_NON_STR_KEYS)


def _without_surrogates(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    if isinstance(content, dict):
        return {_without_surrogates(key): _without_surrogates(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_surrogates(item) for item in content]
    return content


def json_response(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(body) + b"\n", content_type="application/json", status=status)


def error_response(exc: BaseException) -> HttpResponse:
    answer = errors.answer_to(exc)
    return json_response(answer.body, answer.status)


def handler400(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(exception)


def handler403(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = errors.route_not_found(request.path)
    return json_response(answer.body, answer.status)


def handler500(request: HttpRequest) -> HttpResponse:
    import sys

    return error_response(sys.exc_info()[1] or RuntimeError("unknown failure"))
