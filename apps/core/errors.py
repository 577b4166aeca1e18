"""Every deliberate error, and the one function that turns any exception into an answer.

DRF, Ninja, Django's own handlers and event streams all call `answer_to(exc)`, so a failure reads the same wherever it
happens. An error has a stable key, a `code` of the contract, an honest HTTP status and a message; what the wire profile
makes of them is decided in `wire_profile`.
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import DataError as DatabaseDataError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

from apps.core.logs import current_request_id
from apps.core.wire_profile import profile
from ragflow.engine import errors as engine

log = logging.getLogger(__name__)


class Absent:
    """Marks an envelope without a `data` key; null is a value of its own there."""


ABSENT: Final = Absent()


class RagflowError(Exception):
    """Base of all errors that a caller is told about.

    `reference` is what the reference server sends where it differs from ours: a text, or the Python exception that it
    fails with. `data` replaces that of the class (some endpoints of the contract say `"data": false` beside the same
    error).
    """

    key = "data_error"
    code = 102
    status = 400
    data: Any = ABSENT
    headers: Mapping[str, str] = {}

    def __init__(self, message: str, *, reference: str | Exception | None = None, data: Any = ABSENT) -> None:
        super().__init__(message)
        self.message = message
        self.reference = reference
        if data is not ABSENT:
            self.data = data


class InvalidArgument(RagflowError):
    key, code, status = "invalid_argument", 101, 400


class MissingArguments(InvalidArgument):
    data = None

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"required argument are missing: {','.join(names)}; ")


class DataError(RagflowError):
    """A business rule is broken."""


class NotFound(RagflowError):
    """The object does not exist, or is somebody else's: the two are not told apart."""

    key, code, status = "not_found", 102, 404


class LookupFailed(NotFound):
    """The same where the reference fails with a LookupError or another exception."""

    key = "lookup_failed"
    data = None

    def __init__(self, message: str, exception: type[Exception] = LookupError) -> None:
        super().__init__(message, reference=exception(message))


class ChunkNotFound(NotFound):
    code = 404


class Conflict(RagflowError):
    key, code, status = "conflict", 102, 409


class LacksPermission(RagflowError):
    key, code, status = "lacks_permission", 108, 403


class AccessDenied(RagflowError):
    key, code, status = "access_denied", 109, 403


class OperationRefused(RagflowError):
    """The operation is switched off, or not for this caller."""

    key, code, status = "operation_refused", 103, 403


class LacksScope(RagflowError):
    """The API token is good, but not for this."""

    key, code, status = "lacks_scope", 108, 403
    data = None

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API token lacks the scope `{scope}`, which the request needs.")


class TooManyRequests(RagflowError):
    key, code, status = "too_many_requests", 429, 429
    data = None

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests. Try again in {retry_after} seconds.")
        self.headers = {"Retry-After": str(retry_after)}


class ServerFailure(RagflowError):
    """Something of ours failed, and we know what."""

    key, code, status = "server_failure", 500, 500


class NoSpace(ServerFailure):
    """A disk of ours is full. Reading goes on; writing works again as soon as there is room."""

    key, status = "no_space", 507


class DatabaseAway(ServerFailure):
    """The database does not answer, or is kept busy by others. The same request may succeed a little later."""

    key, status = "database_away", 503


class Unavailable(RagflowError):
    """A model provider or another service behind us failed."""

    key, code, status = "unavailable", 100, 502
    data = None


class ModelUnavailable(RagflowError):
    """A model is named that the tenant cannot use."""

    key, code, status = "model_unavailable", 100, 400
    data = None


class TooLarge(RagflowError):
    key, code, status = "too_large", 101, 413
    data = None


class HeadersTooLarge(RagflowError):
    key, code, status = "headers_too_large", 101, 431
    data = None


class BadValue(RagflowError):
    """A value of the wrong type or form where the reference fails with a Python exception (its text: `reference`)."""

    key, code, status = "bad_value", 101, 400
    data = None


class MalformedBody(BadValue):
    key = "malformed_body"


class AuthorizationMissing(RagflowError):
    key, code, status = "authorization_missing", 401, 401
    data = False

    def __init__(self) -> None:
        super().__init__("`Authorization` can't be empty")


class AuthorizationMalformed(RagflowError):
    key, code, status = "authorization_malformed", 401, 401
    data = False

    def __init__(self) -> None:
        super().__init__("Please check your authorization format.")


class InvalidAPIKey(RagflowError):
    key, code, status = "api_key_invalid", 109, 401
    data = False

    def __init__(self) -> None:
        super().__init__("Authentication error: API key is invalid!")


class Unauthorized(RagflowError):
    """No valid session or key on an endpoint that takes either."""

    key, code, status = "unauthorized", 401, 401
    data = None

    def __init__(self) -> None:
        super().__init__("<Unauthorized '401: Unauthorized'>")


class MethodNotAllowed(RagflowError):
    key, code, status = "method_not_allowed", 100, 405
    data = None

    def __init__(self) -> None:
        super().__init__("<MethodNotAllowed '405: Method Not Allowed'>")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def route_not_found(path: str) -> Answer:
    return Answer(404, {"code": 404, "message": f"Not Found: {path}", "data": None, "error": "Not Found"})


def answer_to(exc: BaseException) -> Answer:
    """Return the HTTP status and body for any exception. Unexpected ones are logged with their traceback."""
    error = _deliberate(exc)
    if error is None:
        return _unexpected(exc)
    policy = profile()
    status, code = policy.outcome(error.key, error.status, error.code)
    body: dict[str, Any] = {"code": code, "message": _text_of(error, repr)}
    if error.data is not ABSENT:
        body["data"] = error.data
    return Answer(status, body, error.headers)


def text_in_stream(exc: BaseException) -> str:
    """Return what a stream says of any exception. The reference tells its exceptions there without their class."""
    error = _deliberate(exc)
    return str(answer_to(exc).body["message"]) if error is None else _text_of(error, str)


def _text_of(error: RagflowError, told: Callable[[Exception], str]) -> str:
    if not (profile().shows_reference_text and error.reference):
        return error.message
    return error.reference if isinstance(error.reference, str) else told(error.reference)


def _deliberate(exc: BaseException) -> RagflowError | None:
    if isinstance(exc, RagflowError):
        return exc
    if isinstance(exc, engine.EngineError):
        return _from_engine(exc)
    if isinstance(exc, RequestDataTooBig):
        return TooLarge(
            "The request body is larger than this server accepts.",
            reference="<RequestEntityTooLarge '413: Request Entity Too Large'>",
        )
    if isinstance(exc, DisallowedHost):
        return MalformedBody(
            "This server does not answer under that host name. Its operator can allow it with RAGFLOW_ALLOWED_HOSTS.",
            reference="<BadRequest '400: Bad Request'>",
        )
    if isinstance(exc, TooManyFieldsSent | MultiPartParserError):
        return MalformedBody(f"The request could not be read: {exc}", reference="<BadRequest '400: Bad Request'>")
    if isinstance(exc, SuspiciousOperation):  # its text may name files of this machine
        return MalformedBody("The request could not be read.", reference="<BadRequest '400: Bad Request'>")
    if isinstance(exc, DatabaseDataError):
        return BadValue("The request holds a value that the database cannot store, such as the character NUL.")
    if isinstance(exc, OperationalError | InterfaceError):
        return _from_database(exc)
    if is_full(exc):
        return NoSpace("A disk of the server is full.")
    if isinstance(exc, Http404):
        return NotFound(str(exc) or "Not found.")
    if isinstance(exc, PermissionDenied):
        return AccessDenied("No authorization.")
    return None


_FULL, _PASSING = "SQLITE_FULL", ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
_POSTGRESQL_FULL = "53100"  # disk_full


def is_full(exc: BaseException) -> bool:
    """Tell whether an operation failed because a disk is full or a quota used up: of files, or of the database."""
    if isinstance(exc, OperationalError):
        cause = exc.__cause__
        return getattr(cause, "sqlite_errorname", "") == _FULL or getattr(cause, "sqlstate", "") == _POSTGRESQL_FULL
    return isinstance(exc, OSError) and exc.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _from_database(exc: OperationalError | InterfaceError) -> RagflowError | None:
    """Return what is told of a database that cannot answer; None for statements that are wrong, which are our mistakes.

    PostgreSQL has another class for those. SQLite has not, but names its reasons.
    """
    name = getattr(exc.__cause__, "sqlite_errorname", None)
    if name is not None and not name.startswith((_FULL, *_PASSING)):
        return None
    log.error("Database: %s", exc)
    if is_full(exc):
        return NoSpace("The disk of the database is full, so nothing can be changed until there is room.")
    return DatabaseAway("The database does not answer at the moment. Try again a little later.")


def _from_engine(exc: engine.EngineError) -> RagflowError:
    if isinstance(exc, engine.InvalidQuery):
        return BadValue(str(exc), reference=ValueError(str(exc)))
    if isinstance(exc, engine.MissingParameter):
        return BadValue(str(exc), reference=KeyError(f"Miss parameter: {exc.key}"))
    if isinstance(exc, engine.ModelNotFound):
        return ModelUnavailable(str(exc), reference=LookupError(str(exc)))
    if isinstance(exc, engine.ModelError):
        unavailable = Unavailable(str(exc))
        if exc.retry_after is not None:
            unavailable.headers = {"Retry-After": str(math.ceil(exc.retry_after))}
        return unavailable
    if isinstance(exc, engine.StoreFull):
        return NoSpace(str(exc))
    if isinstance(exc, engine.StoreError):
        log.error("Document store: %s", exc)
        return ServerFailure(str(exc))
    return DataError(str(exc))


def _unexpected(exc: BaseException) -> Answer:
    log.error("Unexpected %s", type(exc).__name__, exc_info=exc)
    if not profile().shows_exception_text:
        sentence = f"The server failed to handle this request. Its log has the details under {current_request_id()}."
        return Answer(500, {"code": 100, "message": sentence, "data": None})
    text = repr(exc)
    if "unauthorized" in text.lower() or "401" in text:
        return Answer(401, {"code": 401, "message": "Unauthorized", "data": None})
    return Answer(200, {"code": 100, "message": text, "data": None})
