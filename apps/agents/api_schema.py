"""How the OpenAPI document describes MCP servers: what to send, in short."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter

from apps.core.schema import ENVELOPE
from ragflow.engine.mcp import TRANSPORTS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_IDS: Schema = {"type": "array", "items": _TEXT}
_TRANSPORT: Schema = {"type": "string", "enum": list(TRANSPORTS)}
_URL: Schema = {"type": "string", "example": "https://tools.example.com/mcp"}
_SECONDS: Schema = {"type": "number", "default": 10, "description": "How long the server may take"}
_SECRETS: Schema = {
    "headers": {
        "type": "object",
        "description": "Sent with every request; `${name}` stands for a variable",
        "example": {"Authorization": "Bearer ${authorization_token}"},
    },
    "variables": {"type": "object", "example": {"authorization_token": "..."}},
}
_SERVER: Schema = {"name": _TEXT, "url": _URL, "server_type": _TRANSPORT, "description": _TEXT, **_SECRETS}


def _body(properties: Schema, *required: str) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {"application/json": schema | ({"required": list(required)} if required else {})}


def _streamed(properties: Schema, *required: str) -> Schema:
    content = {"application/json": {"schema": ENVELOPE}}
    return {
        "requestBody": {
            "content": {kind: {"schema": schema} for kind, schema in _body(properties, *required).items()},
            "required": True,
        },
        "responses": {200: {"description": "The envelope", "content": content}},
    }


FILTERS = [
    OpenApiParameter(name, type_)
    for name, type_ in {"keywords": str, "page": int, "page_size": int, "orderby": str, "desc": bool}.items()
]
SERVER_ID = [OpenApiParameter("mcp_id", str, required=True)]
SOME_IDS = _body({"mcp_ids": _IDS})
IDS = _body({"mcp_ids": _IDS}, "mcp_ids")
TOOLS = _body({"mcp_id": _TEXT, "tools": {"type": "array", "items": {"type": "object"}}}, "mcp_id", "tools")
CREATE = _streamed({**_SERVER, "timeout": _SECONDS}, "name", "url", "server_type")
UPDATE = _streamed({"mcp_id": _TEXT, **_SERVER, "timeout": _SECONDS}, "mcp_id")
IMPORT = _streamed(
    {
        "mcpServers": {
            "type": "object",
            "example": {"tools": {"type": "sse", "url": "https://tools.example.com/sse", "authorization_token": "..."}},
        },
        "timeout": _SECONDS,
    },
    "mcpServers",
)
LIST_TOOLS = _streamed({"mcp_ids": _IDS, "timeout": _SECONDS}, "mcp_ids")
TEST_TOOL = _streamed(
    {"mcp_id": _TEXT, "tool_name": _TEXT, "arguments": {"type": "object"}, "timeout": _SECONDS},
    *("mcp_id", "tool_name", "arguments"),
)
TEST_SERVER = _streamed({"url": _URL, "server_type": _TRANSPORT, **_SECRETS, "timeout": _SECONDS}, "url", "server_type")
