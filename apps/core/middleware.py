"""What every request passes. Each works in both halves of the server, without a thread hop in the streaming one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware

from apps.core.caller import begin_caller
from apps.core.http import API_PREFIXES, canonical_path, source_address
from apps.core.logs import begin_request

Handler = Callable[[HttpRequest], Any]


def _around(
    get_response: Handler,
    before: Callable[[HttpRequest], HttpResponse | None],
    after: Callable[[HttpRequest, HttpResponseBase], None],
) -> Handler:
    """Build a middleware that runs `before` and `after` around the rest, sync or async as the rest is."""

    async def async_middleware(request: HttpRequest) -> HttpResponseBase:
        early = before(request)
        if early is not None:
            return early
        response: HttpResponseBase = await get_response(request)
        after(request, response)
        return response

    def sync_middleware(request: HttpRequest) -> HttpResponseBase:
        early = before(request)
        if early is not None:
            return early
        response: HttpResponseBase = get_response(request)
        after(request, response)
        return response

    return async_middleware if iscoroutinefunction(get_response) else sync_middleware


@sync_and_async_middleware
def RequestId(get_response: Handler) -> Handler:  # noqa: N802
    """Name the request in the log and in the answer, and remember where it came from."""

    def before(request: HttpRequest) -> None:
        # An ASGI server's request has its id already (ragflow.observed).
        known = getattr(request, "scope", {}).get("ragflow.request_id")
        request.META["ragflow.request_id"] = known or begin_request(request.headers.get("X-Request-Id"))
        begin_caller(source_address(request), request)

    def after(request: HttpRequest, response: HttpResponseBase) -> None:
        response.headers["X-Request-Id"] = request.META["ragflow.request_id"]

    return _around(get_response, before, after)


@sync_and_async_middleware
def CanonicalPath(get_response: Handler) -> Handler:  # noqa: N802
    """Match routes against the canonical path; error messages keep naming the path as sent."""

    def before(request: HttpRequest) -> None:
        request.path_info = canonical_path(request.path_info)

    return _around(get_response, before, lambda _request, _response: None)


@sync_and_async_middleware
def CrossOrigin(get_response: Handler) -> Handler:  # noqa: N802
    """Let browser programs of the allowed origins call the API with a token: pages that embed a chat, for example.

    Cookies are never allowed across origins.
    """

    def before(request: HttpRequest) -> HttpResponse | None:
        if request.method != "OPTIONS" or not request.path_info.startswith(API_PREFIXES):
            return None
        if "Access-Control-Request-Method" not in request.headers:
            return None
        answer = HttpResponse(status=200)
        answer["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
        answer["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "*")
        answer["Access-Control-Max-Age"] = "86400"
        after(request, answer)
        return answer

    def after(request: HttpRequest, response: HttpResponseBase) -> None:
        if not request.path_info.startswith(API_PREFIXES):
            return
        origin, allowed = request.headers.get("Origin"), settings.CORS_ORIGINS
        if "*" not in allowed:
            patch_vary_headers(response, ["Origin"])
            response.headers.pop("Access-Control-Allow-Origin", None)  # what a login's answer says by the contract
        if origin and ("*" in allowed or origin in allowed):
            response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
            response.headers["Access-Control-Expose-Headers"] = "Authorization, X-Request-Id"

    return _around(get_response, before, after)
