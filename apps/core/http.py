"""Paths, JSON answers and Django's own error pages."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.core import errors

API_PREFIXES = ("/api/", "/v1/")
_SLASHES = re.compile(r"//+")
_JSON_BITS = 63


def canonical_path(path: str) -> str:
    """Return the path that routes are matched against.

    Clients of the contract rely on repeated slashes counting as one and on an ignored trailing slash (an empty id in a
    path thus names the shorter route). Pages for people keep their trailing slashes.
    """
    path = _SLASHES.sub("/", path)
    return path.rstrip("/") if path.startswith(API_PREFIXES) else path


def dumps(content: Any) -> bytes:
    """Return compact JSON, also of stored values that have no exact form in it; see `_writable`."""
    try:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps(_writable(content), option=orjson.OPT_NON_STR_KEYS)


def _writable(content: Any) -> Any:
    """Put question marks for lone surrogates, which JSON can carry but UTF-8 cannot, and floats for huge integers.

    PostgreSQL gives a float such as 1e30 back as an integer; JSON writers stop at 64 bits.
    """
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode()
    if isinstance(content, int) and content.bit_length() > _JSON_BITS:
        return float(content)
    if isinstance(content, dict):
        return {_writable(key): _writable(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_writable(item) for item in content]
    return content


def source_address(request: HttpRequest) -> str:
    """Return the network address that a request came from, "unknown" where the server was not told.

    Behind proxies (PROXIES of them) it is the one that the outermost trusted proxy saw.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    if settings.PROXIES:
        forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        address = forwarded[-settings.PROXIES] if len(forwarded) >= settings.PROXIES else address
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return "unknown"


def client_address(request: HttpRequest) -> str:
    """Return the address that a request came from, for counting.

    A whole IPv6 network of 64 bits, which is what a household gets, counts as one address.
    """
    address = source_address(request)
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(dumps(body) + b"\n", content_type="application/json", status=status, headers=headers)


def success_response(data: Any) -> HttpResponse:
    """Wrap data as the web API does, and the endpoints that the contract took from there: with a message."""
    return json_response({"code": 0, "message": "success", "data": data})


def error_response(exc: BaseException) -> HttpResponse:
    answer = errors.answer_to(exc)
    return json_response(answer.body, answer.status, answer.headers)


def handler400(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(exception)


def handler403(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = errors.route_not_found(request.path)
    return json_response(answer.body, answer.status)


def handler500(_request: HttpRequest) -> HttpResponse:
    return error_response(sys.exc_info()[1] or RuntimeError("unknown failure"))
