"""What the OpenAPI document says of every endpoint of the ordinary half."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc

ENVELOPE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["code"],
    "properties": {
        "code": {"type": "integer", "description": "0 when it went well."},
        "message": {"type": "string", "description": "What went wrong, in a sentence."},
        "data": {},
    },
    "example": {"code": 0, "data": {}},
}


TEXT: Final[dict[str, Any]] = {"type": "string"}
TEXTS: Final[dict[str, Any]] = {"type": "array", "items": TEXT}


def json_body(*required: str, **fields: dict[str, Any]) -> dict[str, Any]:
    """Describe a body for `extend_schema(request=...)`: the schemas of its fields, and which must be there."""
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    return {"application/json": schema | ({"required": list(required)} if required else {})}


class EnvelopeSchema(AutoSchema):
    """Names operations after their view and action; without a declared response the contract's envelope is it."""

    def get_operation_id(self) -> str:
        resource = type(self.view).__name__.removesuffix("ViewSet").removesuffix("Views")
        action = getattr(self.view, "action", None)
        routed = getattr(self.view, "action_map", None) or {}
        actions = [name for method, name in routed.items() if method != "head"]  # DRF adds it with the first request
        words = [resource, action] if actions.count(action) == 1 else [resource, action, self.method]
        return "_".join(word for word in words if word).lower()

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular calls it
        """What the action or its own class says; docstrings of base classes tell how views are built."""
        action = getattr(type(self.view), getattr(self.view, "action", None) or "", None)
        return get_doc(action) or cleandoc(vars(type(self.view)).get("__doc__") or "")

    def get_request_serializer(self) -> Any:
        return None

    def get_response_serializers(self) -> Any:
        return {200: ENVELOPE}
