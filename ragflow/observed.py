"""What surrounds every HTTP request, in whichever half of the server: its id, its log line and its numbers."""

from __future__ import annotations

import logging
import re
from time import perf_counter
from typing import Any

from apps.core import metrics
from apps.core.logs import begin_request

log = logging.getLogger("ragflow.access")

REQUEST_ID, ROUTE = "ragflow.request_id", "ragflow.route"  # keys of the scope
UNKNOWN = "unknown"  # the route of a path that is none of ours
_HARMLESS = re.compile(r"[0-9a-f-]{0,36}|[\w.-]{1,24}")  # parts of a path that are an id or a word, and no token


async def observed(app: Any, scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve a request by an ASGI application."""
    started, status = perf_counter(), 0
    request_id = begin_request(_proposed_id(scope))
    scope[REQUEST_ID] = request_id

    async def send_with_id(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            others = [pair for pair in message["headers"] if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*others, (b"X-Request-Id", request_id.encode())]}
        await send(message)

    metrics.open_requests.inc()
    try:
        await app(scope, receive, send_with_id)
    finally:
        metrics.open_requests.dec()
        seconds, route = perf_counter() - started, scope.get(ROUTE, UNKNOWN)
        # 499, as nginx has it: the client left before there was an answer.
        metrics.count_request(method=scope["method"], route=route, status=status or 499, seconds=seconds)
        if log.isEnabledFor(logging.DEBUG):
            _log(scope, route, status or 499, seconds)


def _proposed_id(scope: dict[str, Any]) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return bytes(value).decode("latin-1")
    return None


def _log(scope: dict[str, Any], route: str, status: int, seconds: float) -> None:
    """Queries and unknown paths may hold secrets, so they are not shown."""
    parts = scope["path"].split("/")
    path = "/".join(part if _HARMLESS.fullmatch(part) else "…" for part in parts)
    path = "(unknown path)" if route == UNKNOWN else path
    facts = {"method": scope["method"], "route": route, "status": status, "milliseconds": round(seconds * 1000, 1)}
    log.debug("%s %s %d %.0f ms", scope["method"], path, status, seconds * 1000, extra=facts)
