"""What clients may send about MCP servers, checked in the contract's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from apps.agents.models import NAME_BYTES, TOOLS, MCPServer
from apps.core.bodies import DEEPEST, is_deeper
from apps.core.errors import BadValue, Conflict, DataError, InvalidArgument
from ragflow.engine.mcp import TRANSPORTS, Tool

DEFAULT_SECONDS, MOST_SECONDS = 10.0, 300.0
LONGEST_URL = 2048
LONGEST_SECRETS = 64 << 10  # bytes of JSON
LONGEST_TOOLS = 4 << 20
MOST_IMPORTED = 100
TOKEN = "authorization_token"  # noqa: S105 -- the name of the variable


@dataclass(frozen=True, slots=True)
class MCPServerData:
    """A server as it is to be. The variables are without its tools."""

    name: str
    url: str
    transport: str
    description: str
    headers: Mapping[str, Any]
    variables: Mapping[str, Any]


FIELDS = {
    "name": "name",
    "url": "url",
    "server_type": "transport",
    "description": "description",
    "headers": "headers",
    "variables": "variables",
}
"""Ours, by the contract's names."""


def mcp_server(body: Mapping[str, Any], is_taken: Callable[[str], bool] | None = None) -> MCPServerData:
    """Read a whole description; a name may be checked for being free, too.

    Raises DataError, Conflict, BadValue and InvalidArgument.
    """
    _check_transport(body["server_type"])
    _check_name(body["name"])
    if is_taken and is_taken(body["name"]):
        raise Conflict("Duplicated MCP server name.")
    _check_address(body["url"])
    return _data(body)


def changed_mcp_server(body: Mapping[str, Any], server: MCPServer) -> MCPServerData:
    """Read the body of an update: the server as it is to be. Raises as `mcp_server`."""
    stored = {name: getattr(server, field) for name, field in FIELDS.items()}
    return mcp_server(stored | {name: body[name] for name in _named(body)})


def changed_fields(body: Mapping[str, Any]) -> set[str]:
    """Return what an update names. Null changes nothing."""
    return {FIELDS[name] for name in _named(body)}


def _named(body: Mapping[str, Any]) -> list[str]:
    return [name for name in FIELDS if body.get(name) is not None]


def imported_mcp_server(name: str, described: Any) -> MCPServerData:
    """Read one entry of an import. A token becomes a variable and the credential that is sent.

    Raises DataError and BadValue.
    """
    if not isinstance(described, dict) or not {"type", "url"} <= described.keys():
        raise DataError("Missing required fields (type or url)")
    token = described.get(TOKEN) or ""
    body = {
        "name": name,
        "url": described["url"],
        "server_type": described["type"],
        "headers": {"Authorization": f"Bearer ${{{TOKEN}}}"} if token else {},
        "variables": {TOKEN: token},
    }
    return mcp_server(body)


def tried_mcp_server(body: Mapping[str, Any]) -> MCPServerData:
    """Read the body of a trial. Raises DataError and BadValue."""
    _check_address(body["url"], message="Invalid MCP url.")
    _check_transport(body["server_type"])
    return _data({**body, "name": ""})


def _check_transport(value: Any) -> None:
    if value not in TRANSPORTS:
        raise DataError("Unsupported MCP server type.")


def _check_name(value: Any) -> None:
    if not isinstance(value, str):
        raise BadValue(f"`name` must be text, not {value!r:.80}.")
    size = len(value.encode())
    if not 0 < size <= NAME_BYTES:
        raise DataError(f"Invalid MCP name or length is {size} which is large than {NAME_BYTES}.")


def _check_address(value: Any, *, message: str = "Invalid url.") -> None:
    """Raise DataError unless this is the address of a web server."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(value) > LONGEST_URL or not value.isprintable():
        raise DataError(message)


def seconds_of(body: Mapping[str, Any]) -> float:
    """Read how long a server may take. What is no positive number means the default."""
    try:
        seconds = float(body.get("timeout", DEFAULT_SECONDS))
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    return min(seconds, MOST_SECONDS) if seconds > 0 and math.isfinite(seconds) else DEFAULT_SECONDS


def ids_of(body: Mapping[str, Any]) -> list[str]:
    """Read a list of ids, or nothing. Raises BadValue."""
    ids = body.get("mcp_ids") or []
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
        raise BadValue(f"`mcp_ids` must be a list of ids, not {ids!r:.80}.")
    return ids


def named_ids_of(body: Mapping[str, Any]) -> list[str]:
    """The same where at least one is needed. Raises DataError too."""
    ids = ids_of(body)
    if not ids:
        raise DataError("No MCP server IDs provided.")
    return ids


def server_id_of(body: Mapping[str, Any]) -> str:
    """Read the id of one server. Raises DataError."""
    if not body["mcp_id"]:
        raise DataError("No MCP server ID provided.")
    return str(body["mcp_id"])


def imports_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the servers to import, by name. Raises DataError and BadValue."""
    servers = body["mcpServers"]
    if not servers:
        raise DataError("No MCP servers provided.")
    if not isinstance(servers, dict):
        raise BadValue(f"`mcpServers` must be an object, not {servers!r:.80}.")
    if len(servers) > MOST_IMPORTED:
        raise DataError(f"At most {MOST_IMPORTED} MCP servers can be imported at once.")
    return servers


def tool_call_of(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Read the name of a tool and its arguments. Raises DataError and BadValue."""
    name, arguments = body["tool_name"], body["arguments"]
    if not name or not arguments:
        raise DataError("Require provide tool name and arguments.")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise BadValue("`tool_name` must be text and `arguments` an object.")
    return name, arguments


def tools_of(body: Mapping[str, Any]) -> dict[str, Tool]:
    """Read tools to keep, by name. What has no name is left out. Raises BadValue and InvalidArgument."""
    tools = body["tools"]
    if not isinstance(tools, list):
        raise BadValue(f"`tools` must be a list, not {tools!r:.80}.")
    named = by_name(tools)
    if len(orjson.dumps(named)) > LONGEST_TOOLS:
        raise InvalidArgument(f"`tools` may have at most {LONGEST_TOOLS} bytes.")
    return named


def by_name(tools: Sequence[Any]) -> dict[str, Tool]:
    return {tool["name"]: tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)}


def _data(body: Mapping[str, Any]) -> MCPServerData:
    headers, variables = _object("headers", body), _object("variables", body, without=TOOLS)
    for name, value in headers.items():
        if not isinstance(value, str):
            raise InvalidArgument(f"The header `{name}` must be text, not {value!r:.80}.")
    return MCPServerData(
        name=_text("name", body["name"]),
        url=body["url"],
        transport=body["server_type"],
        description=_text("description", body.get("description") or ""),
        headers=headers,
        variables=variables,
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadValue(f"`{name}` must be text without the character NUL.")
    return value


def _object(name: str, body: Mapping[str, Any], *, without: str = "") -> dict[str, Any]:
    """Read an object, or its JSON text, without one of its entries. Raises InvalidArgument."""
    value = body.get(name) or {}
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise InvalidArgument(f"`{name}` is text that is not JSON.") from None
    if not isinstance(value, dict) or is_deeper(value, DEEPEST):
        raise InvalidArgument(f"`{name}` must be an object or its JSON text.")
    wanted = {key: item for key, item in value.items() if key != without}
    if len(orjson.dumps(wanted)) > LONGEST_SECRETS:
        raise InvalidArgument(f"`{name}` may have at most {LONGEST_SECRETS} bytes.")
    return wanted
