"""System checks of the wiring: which half of the server answers what.

The streaming half is imported when the checks run, so that a worker, which skips them, does not carry it.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern, get_resolver


@register("urls")
def each_path_has_one_half(**_options: Any) -> list[CheckMessage]:
    """A path of the streaming half that the ordinary half also routes would never reach its view there."""
    from ragflow import streaming

    streaming_patterns = {id(pattern) for pattern in streaming.urlpatterns}
    return [
        Error(f"/{route} is routed in both halves of the server.", id="ragflow.E001")
        for route, pattern in _routes(get_resolver().url_patterns)
        if id(pattern) not in streaming_patterns and streaming.STREAMING_PATHS.fullmatch(f"/{route}")
    ]


@register("urls")
def streaming_views_are_coroutines(**_options: Any) -> list[CheckMessage]:
    """A blocking view on the event loop would halt every stream."""
    from ragflow import streaming

    return [
        Error(f"{operation.view_func.__name__} of {path} must be `async def`.", id="ragflow.E002")
        for router in streaming.ROUTERS
        for path, view in router.path_operations.items()
        for operation in view.operations
        if not iscoroutinefunction(operation.view_func)
    ]


def _routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route, pattern
        else:
            yield from _routes(pattern.url_patterns, route)
