"""What log lines say about where they come from: the request or task, and on whose behalf it runs."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class _Context:
    """Shared by all threads that serve a request: what one learns, the lines of the others say, too."""

    request_id: str = ""
    task_id: str = ""
    tenant_id: str = ""


_context: ContextVar[_Context] = ContextVar("log context", default=_Context())  # noqa: B039 -- never written to


def begin_request(proposed: str | None = None) -> str:
    """Name the current request, by the id that its client or a proxy gave it if that is well-formed. Return the id."""
    is_good = proposed is not None and _WELL_FORMED.fullmatch(proposed) is not None
    request_id = proposed if is_good and proposed else secrets.token_hex(6)
    _context.set(_Context(request_id=request_id))
    return request_id


def current_request_id() -> str:
    return _context.get().request_id or "-"


def note_tenant(tenant_id: str) -> None:
    """Say on whose behalf the current request or task runs, once that is known. Elsewhere nothing happens."""
    context = _context.get()
    if context.request_id or context.task_id:
        context.tenant_id = tenant_id


@contextmanager
def working_on(task_id: str) -> Iterator[None]:
    """Name the task in the lines within."""
    token = _context.set(_Context(task_id=task_id))
    try:
        yield
    finally:
        _context.reset(token)


class ContextFilter(logging.Filter):
    """Gives records `request_id`, `task_id`, `tenant_id`, and for lines of text the first of them (`origin`)."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = _context.get()
        record.request_id = context.request_id
        record.task_id = context.task_id
        record.tenant_id = context.tenant_id
        record.origin = context.request_id or context.task_id or "-"
        return True


# What ends a line or commands a terminal, by how Python would write it: names that clients chose are logged, too.
_ESCAPES = {
    ord(character): repr(character)[1:-1] for character in map(chr, (*range(32), *range(127, 160), 0x2028, 0x2029))
}


class TextFormatter(logging.Formatter):
    """One line per event. Only tracebacks have more, which are indented: nothing looks like an event that is none."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's own name
        return super().formatMessage(record).translate(_ESCAPES)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join("  " + line.translate(_ESCAPES) for line in super().formatException(ei).split("\n"))


class JSONFormatter(logging.Formatter):
    """One JSON object per line. What a call gives as `extra` becomes fields of it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in _extra(record).items() if value != ""},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _dumped(line)


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "origin", "taskName"}
_NAMES = {"tenant_id": "tenant"}


def _extra(record: logging.LogRecord) -> Mapping[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {_NAMES.get(name, name): value for name, value in given.items()}


def _dumped(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, or an object within itself
        safe = {str(name): str(value).encode("utf-8", "backslashreplace").decode() for name, value in line.items()}
        return orjson.dumps(safe).decode()
