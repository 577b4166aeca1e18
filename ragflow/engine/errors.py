"""Everything the engine raises on purpose.

Callers translate these into their own protocol (the services turn them into HTTP answers, the worker into the
state of a document). Each message is one sentence for the person who has to act on it; it never holds a secret.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all deliberate failures. `str(error)` is a sentence fit to be shown to a user."""


# -- parsing -------------------------------------------------------------------------------------------------------


class ParseError(EngineError):
    """A file could not be read. `reason` is a stable key: it is stored with the document and counted in metrics."""

    reason = "unreadable"


class UnsupportedFormat(ParseError):
    reason = "unsupported"


class MalformedFile(ParseError):
    """The content is damaged, or is not what the name of the file says."""

    reason = "malformed"


class EncryptedFile(ParseError):
    reason = "encrypted"


class LimitExceeded(ParseError):
    """Size, page, expansion or time limit of `parsing.Limits`."""

    reason = "limit"


# -- models --------------------------------------------------------------------------------------------------------


class ModelError(EngineError):
    """A chat, embedding or rerank model did not deliver.

    `code` is one of the words clients of the contract know: RATE_LIMIT_EXCEEDED, AUTH_ERROR, INVALID_REQUEST,
    SERVER_ERROR, TIMEOUT, CONNECTION_ERROR, MODEL_ERROR, CONTENT_FILTERED, QUOTA_EXCEEDED, GENERIC_ERROR.
    `retry_after` is in seconds, when the provider named a time; `status` is that of an HTTP answer without success.
    """

    status: int | None = None

    def __init__(self, message: str, *, code: str = "GENERIC_ERROR", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class ModelNotFound(ModelError):
    """The named model is not configured, or its files are not on this machine."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="INVALID_REQUEST")


class DimensionMismatch(ModelError):
    """An embedding model answered with vectors of another length than the dataset holds."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="MODEL_ERROR")


# -- tools ---------------------------------------------------------------------------------------------------------


class MCPError(EngineError):
    """An MCP server did not deliver. `final`: it never will, as its address or headers cannot be used."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


# -- store and retrieval -------------------------------------------------------------------------------------------


class StoreError(EngineError):
    """The document store refused or lost an operation (disk full, server away, corrupt file)."""


class StoreFull(StoreError):
    """The disk of the document store is full. Reading goes on; writing works again when there is room."""


class StoreUnavailable(StoreError):
    """The document store is away or overloaded. The same call may succeed a little later."""


class VectorsMissing(StoreError):
    """Chunks have no vector in the space that a search asks for."""

    def __init__(self) -> None:
        super().__init__(
            "Chunks of the dataset have no vectors of the embedding model that the question was asked with. Ask again; "
            "if it stays like this, embed the dataset anew: manage.py reembed."
        )


class InvalidQuery(EngineError):
    """A retrieval parameter is outside its range. `field` names it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class SQLRefused(EngineError):
    """An SQL statement over a spreadsheet cannot be run. The message is for whoever wrote the statement."""


# -- generation and ingest -----------------------------------------------------------------------------------------


class MissingParameter(EngineError):
    """A placeholder of the system prompt has no value. `key` is its name."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The prompt needs a value for '{key}', and the request gives none.")
        self.key = key


class Cancelled(EngineError):
    """The caller asked a running ingest to stop. Raised between two slices of work, never inside one."""
