"""The streaming half: endpoints whose answer may flow, in one NinjaAPI on the event loop.

Which half serves a request is decided by STREAMING_PATHS, which derives from the routes of the routers below.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from ninja import NinjaAPI, Router
from ninja.errors import HttpError, ValidationError
from ninja.security.base import AuthBase

from apps.accounts.authentication import principal_of_request
from apps.agents.streams import router as mcp_servers
from apps.chats.streams import ROUTERS as CHATS
from apps.core.errors import InvalidArgument, MalformedBody, MethodNotAllowed, TooLarge
from apps.core.http import error_response
from apps.core.principal import Principal
from apps.core.threads import in_database

View = Callable[..., Awaitable[HttpResponseBase]]
LONGEST_BODY = 4 * 1024**2  # bytes of a body that is read on the event loop, where everybody waits meanwhile
UPLOADS = frozenset({"api/v1/sequence2txt"})  # whose body is read in a thread
_PARAMETER = re.compile(r"<[^>]+>")


class APITokenAuth(AuthBase):
    """`Authorization: Bearer <API token>`. The view finds the Principal in `request.auth`."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    is_async = True

    async def __call__(self, request: HttpRequest) -> Principal:
        return await in_database(principal_of_request, request)


def build_api(routers: Iterable[Router]) -> NinjaAPI:
    """Return a NinjaAPI over routers whose routes are full paths. Its pages are left to the one OpenAPI document."""
    api = NinjaAPI(docs_url=None, openapi_url=None, auth=APITokenAuth(), urls_namespace="streaming")
    for router in routers:
        api.add_router("", router)
    api.add_exception_handler(Exception, _failed)
    api.add_exception_handler(Http404, _failed)
    api.add_exception_handler(HttpError, _unreadable)
    api.add_exception_handler(ValidationError, _invalid)
    return api


def _failed(_request: HttpRequest, exc: Any) -> HttpResponse:
    return error_response(exc)


def _unreadable(_request: HttpRequest, exc: Any) -> HttpResponse:
    return error_response(MalformedBody(str(exc), reference="<BadRequest '400: Bad Request'>"))


def _invalid(_request: HttpRequest, exc: Any) -> HttpResponse:
    return error_response(InvalidArgument("; ".join(f"{error['loc'][-1]}: {error['msg']}" for error in exc.errors)))


def methods_by_route(routers: Iterable[Router]) -> dict[str, frozenset[str]]:
    """Return the methods of each route, in Django's notation: `api/v1/chats/<chat_id>/completions`."""
    return {
        path.strip("/").replace("{", "<").replace("}", ">"): frozenset(
            method for operation in view.operations for method in operation.methods
        )
        for router in routers
        for path, view in router.path_operations.items()
    }


def streaming_urls(api: NinjaAPI, methods: Mapping[str, frozenset[str]]) -> list[URLPattern]:
    """Return Ninja's routes, without its start page, answering what they do not take as the rest of the API does."""
    patterns: dict[str, URLPattern] = {}
    for pattern in api.urls[0]:
        assert isinstance(pattern, URLPattern)
        route = str(pattern.pattern)
        if route in methods and route not in patterns:  # the operations of one route share a view
            view: Any = pattern.callback
            pattern.callback = _guarded(view, methods[route], takes_files=route in UPLOADS)
            patterns[route] = pattern
    return list(patterns.values())


def _guarded(view: View, methods: frozenset[str], *, takes_files: bool) -> View:
    """Answer other methods and longer bodies before the view, which looks at the credentials, sees them."""

    @functools.wraps(view)
    async def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(headers={"Allow": ", ".join(sorted(methods | {"OPTIONS"}))})
        if request.method not in methods:
            return error_response(MethodNotAllowed())
        if not takes_files and int(request.META.get("CONTENT_LENGTH") or 0) > LONGEST_BODY:
            return error_response(TooLarge(f"The body of this request may have at most {LONGEST_BODY} bytes."))
        return await view(request, *args, **kwargs)

    return answer


def compile_paths(routes: Iterable[str]) -> re.Pattern[str]:
    """Return one expression that matches the canonical paths of all routes (and nothing, if there are none)."""
    alternatives = "|".join("/" + _PARAMETER.sub("[^/]+", route) for route in routes)
    return re.compile(f"(?:{alternatives})" if alternatives else r"(?!)")


ROUTERS: tuple[Router, ...] = (*CHATS, mcp_servers)
METHODS = methods_by_route(ROUTERS)
STREAMING_PATHS = compile_paths(METHODS)
api = build_api(ROUTERS)
urlpatterns = streaming_urls(api, METHODS)
