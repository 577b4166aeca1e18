"""What the OpenAPI document says of every endpoint of the ordinary half."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.openapi import AutoSchema

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


class EnvelopeSchema(AutoSchema):
    """Names operations after their view and action; without a declared response the contract's envelope is it."""

    def get_operation_id(self) -> str:
        resource = type(self.view).__name__.removesuffix("ViewSet").removesuffix("Views")
        action = getattr(self.view, "action", None)
        routed = getattr(self.view, "action_map", None) or {}
        actions = [name for method, name in routed.items() if method != "head"]  # DRF adds it with the first request
        words = [resource, action] if actions.count(action) == 1 else [resource, action, self.method]
        return "_".join(word for word in words if word).lower()

    def get_request_serializer(self) -> Any:
        return None

    def get_response_serializers(self) -> Any:
        return {200: ENVELOPE}
