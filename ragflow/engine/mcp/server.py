"""Where an MCP server is, and what its requests carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ragflow.engine.errors import MCPError
from ragflow.engine.http import DETAIL_LIMIT, SHORTEST_SECRET

SSE, STREAMABLE_HTTP = "sse", "streamable-http"
TRANSPORTS = (SSE, STREAMABLE_HTTP)

_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
        "host", "keep-alive", "last-event-id", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""What the protocols set themselves, beside all that begins with `mcp-`."""


@dataclass(frozen=True, slots=True)
class MCPServer:
    """The headers hold secrets, so they stay out of `repr`. A guarded server has to have a public address."""

    url: str
    transport: str  # one of TRANSPORTS
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    guarded: bool = True

    @property
    def host(self) -> str:
        """The host and port, without the credentials that a URL may hold."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def scrub(self, text: str) -> str:
        """Return a server's words on one line, shortened, without the headers that it was sent."""
        for value in self.headers.values():
            for secret in (value, value.rpartition(" ")[2]):
                if len(secret) >= SHORTEST_SECRET:
                    text = text.replace(secret, "***")
        return " ".join(text.split())[:DETAIL_LIMIT].rstrip(".")


Tool = dict[str, Any]
"""As its server describes it: `name`, `description` (or None), `inputSchema`, and what else the protocol has."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    text: str
    is_error: bool


def filled_headers(headers: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return headers to send, each `${name}` replaced by the variable; unknown names stay as they are.

    A header without a value is left out, also a credential of which only the scheme is left. Raises MCPError for a
    header that cannot be sent.
    """
    filled: dict[str, str] = {}
    for written, template in headers.items():
        name, value = _fill(written, variables).strip(), _fill(str(template), variables).strip()
        if not name or value.lower() in ("", "bearer"):
            continue
        if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise MCPError(f"The header {name[:60]!r} has characters that an HTTP header cannot carry.", final=True)
        if name.lower() in _OURS or name.lower().startswith("mcp-"):
            raise MCPError(f"The header {name} is set by the protocol and cannot be chosen.", final=True)
        filled[name] = value
    return filled


def _fill(template: str, variables: Mapping[str, Any]) -> str:
    def value_of(match: re.Match[str]) -> str:
        value = variables.get(match[1])
        return str(value) if isinstance(value, str | int | float) else match[0]

    return _PLACEHOLDER.sub(value_of, template)
