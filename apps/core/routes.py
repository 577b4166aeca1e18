"""Routes of the web API, where an operation is the last part of a path."""

from __future__ import annotations

from collections.abc import Mapping

from django.urls import URLPattern, path
from rest_framework.viewsets import ViewSet


def web_routes(module: str, view_set: type[ViewSet], operations: Mapping[str, Mapping[str, str]]) -> list[URLPattern]:
    """Return the routes `v1/<module>/<operation>`; each operation maps methods to those of the view set."""
    return [
        path(f"v1/{module}/{name}", view_set.as_view(dict(methods)), name=f"web-{module}-{name}")
        for name, methods in operations.items()
    ]
