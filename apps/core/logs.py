"""The request id, in every log line of a request."""

from __future__ import annotations

import logging
import secrets
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="-")


def begin_request() -> str:
    """Give the current request (thread or task) a fresh id and return it."""
    request_id = secrets.token_hex(6)
    _request_id.set(request_id)
    return request_id


def current_request_id() -> str:
    return _request_id.get()


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True
