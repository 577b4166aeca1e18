"""One OpenAPI document: drf-spectacular describes the ordinary half, and the streaming half is folded in."""

from __future__ import annotations

from typing import Any

from ragflow.streaming import api

BEARER = {"APIToken": {"type": "http", "scheme": "bearer", "description": "An API token: `ragflow-...`"}}


def fold_in_streaming_half(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Merge Ninja's paths and components (a drf-spectacular postprocessing hook).

    Raises ValueError if both halves claim a path with the same method.
    """
    streaming = api.get_openapi_schema(path_prefix="")
    for path, operations in streaming["paths"].items():
        known = result["paths"].setdefault(path, {})
        if both := known.keys() & operations.keys():
            raise ValueError(f"Both halves of the server describe {', '.join(sorted(both)).upper()} {path}.")
        known |= operations
    components = result.setdefault("components", {})
    for kind, named in streaming.get("components", {}).items():
        components[kind] = components.get(kind, {}) | named
    components["securitySchemes"] = BEARER
    return result
