"""The Elasticsearch server of a store: its address, a client per process, and what its failures mean."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from elastic_transport import ConnectionTimeout, TlsError
from elasticsearch import ApiError, Elasticsearch, TransportError, UnsupportedProductError
from elasticsearch.serializer import OrjsonSerializer

from ragflow.engine.errors import StoreError, StoreUnavailable

TIMEOUT = 60.0  # seconds for one request
DEFAULT_INDEX = "ragflow-chunks"
DEFAULT_PORTS = {"http": 9200, "https": 443}
OPTIONS = {"index", "api_key", "ca_certs"}

Failure = ApiError | TransportError

FULL = (
    "Elasticsearch has made the index read-only, as it does when its disk is nearly full. "
    "Free some space there, then try again."
)
BUSY = "Elasticsearch has more work than it can take at the moment. Try again later."

# What the types of Elasticsearch's errors mean to the person who runs the store.
SENTENCES = {
    "cluster_block_exception": FULL,
    "circuit_breaking_exception": BUSY,
    "es_rejected_execution_exception": BUSY,
    "index_not_found_exception": "The index is gone from Elasticsearch. It is made anew, empty, when it is used next.",
}
STATUSES = {
    401: "Elasticsearch does not accept the user and password, or the API key, of ELASTICSEARCH_URL.",
    403: "The user or API key of ELASTICSEARCH_URL may not do this in Elasticsearch.",
    413: "A chunk is larger than Elasticsearch accepts in one request.",
    429: BUSY,
}
UNAVAILABLE = "Elasticsearch answers, but the index, or a part of it, is not available."


class Server:
    """Parses `http[s]://[user:password@]host[:port][/path][?index=...&api_key=...&ca_certs=...]`.

    Raises StoreError for anything else; no message ever repeats the URL, which may hold a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StoreError("ELASTICSEARCH_URL is not a URL: its host or port cannot be read.") from error
        options = dict(parse_qsl(parts.query))
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise StoreError("ELASTICSEARCH_URL must look like http://host:9200 or https://user:password@host.")
        if unknown := set(options) - OPTIONS:
            raise StoreError(f"ELASTICSEARCH_URL has an unknown option: {min(unknown)}.")
        self.index = options.get("index", DEFAULT_INDEX)
        self._node: dict[str, str | int] = {
            "scheme": parts.scheme,
            "host": parts.hostname,
            "port": port or DEFAULT_PORTS[parts.scheme],
            "path_prefix": parts.path,
        }
        self._ca_certs = options.get("ca_certs") if parts.scheme == "https" else None
        self._identity: dict[str, Any] = {"api_key": options.get("api_key")}
        if parts.username and "api_key" not in options:
            self._identity = {"basic_auth": (unquote(parts.username), unquote(parts.password or ""))}
        self._client: Elasticsearch | None = None
        self._owner = 0

    @property
    def client(self) -> Elasticsearch:
        """The client of this process; its threads share it. Connections that a fork carried over are never used."""
        client = self._client
        if client is None or self._owner != os.getpid():
            client = self._connect()
            self._client, self._owner = client, os.getpid()
        return client

    def _connect(self) -> Elasticsearch:
        options = dict(self._identity)
        if self._ca_certs:
            try:
                options["ssl_context"] = ssl.create_default_context(cafile=self._ca_certs)
            except OSError as error:
                raise StoreError("The certificates that ELASTICSEARCH_URL names in ca_certs cannot be read.") from error
        return Elasticsearch([self._node], serializer=OrjsonSerializer(), request_timeout=TIMEOUT, **options)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._owner == os.getpid():
            client.close()


def store_error(error: Failure) -> StoreError:
    """Translate a failed request into a sentence; StoreUnavailable if it is worth another try."""
    if isinstance(error, ConnectionTimeout):
        return StoreUnavailable(f"Elasticsearch did not answer within {TIMEOUT:.0f} seconds.")
    if isinstance(error, TlsError):
        return StoreError(
            "The certificate of Elasticsearch is not trusted. Name its authority in ELASTICSEARCH_URL: ?ca_certs=/path."
        )
    if isinstance(error, UnsupportedProductError):
        return StoreError("The server that ELASTICSEARCH_URL names is not Elasticsearch.")
    if isinstance(error, ApiError):
        details = error.body.get("error") if isinstance(error.body, Mapping) else None
        return refusal(error.meta.status, details)
    return StoreUnavailable("Elasticsearch cannot be reached. Check that it runs and that ELASTICSEARCH_URL names it.")


def refusal(status: int, details: object) -> StoreError:
    """Translate the error of an answer, or of one part of it, into a sentence."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:  # a node that starts, or has no master, blocks its indices too
        return StoreUnavailable(UNAVAILABLE)
    error = details if isinstance(details, Mapping) else {}
    causes = [error, *(error.get("root_cause") or ())]
    known = [SENTENCES.get(cause.get("type", "")) for cause in causes]
    if sentence := next(filter(None, [*known, STATUSES.get(status)]), None):
        return StoreUnavailable(sentence) if sentence is BUSY else StoreError(sentence)
    reason = causes[-1].get("reason") or f"status {status}"
    return StoreError(f"Elasticsearch refused the request: {str(reason)[:300]}")


def is_gone(result: Mapping[str, Any]) -> bool:
    """Tell whether an action came too late for its chunk (and not for the whole index)."""
    return result.get("result") == "not_found" or result.get("error", {}).get("type") == "document_missing_exception"
