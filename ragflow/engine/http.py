"""HTTP to model providers: shared connection pools, retries, and failures in words.

Addresses that the operator of the installation configured may be private; those that a tenant chose are reached through
`guard`. The proxy variables of the environment are honoured for the former, except for this machine itself.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ragflow.engine.calls import Kind, call
from ragflow.engine.errors import ModelError
from ragflow.engine.per_loop import PerLoop
from ragflow.engine.threads import waiter

if TYPE_CHECKING:
    import httpx2

USER_AGENT = "ragflow-django"
CONNECT_TIMEOUT = 10.0
KEPT_SECONDS = 30.0  # that an idle connection stays open
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")  # never reached through a proxy
MAX_ATTEMPTS = 4
FIRST_DELAY = 0.5  # seconds before the second attempt; doubles with each further one
RETRYABLE = frozenset({"RATE_LIMIT_EXCEEDED", "SERVER_ERROR", "CONNECTION_ERROR"})
DETAIL_LIMIT = 300  # characters of a provider's own words in our message

SHORTEST_SECRET = 8  # shorter keys are placeholders for servers without keys ("none", "ollama")
OPENAI_KEY = re.compile(r"\bsk-[\w*.-]{6,}")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider listens and the key it asks for. The key stays out of `repr` and of every message."""

    base_url: str  # with the version prefix, for example https://api.openai.com/v1
    api_key: str = field(default="", repr=False)
    guarded: bool = False  # a tenant chose the address: it has to be a public one

    def __post_init__(self) -> None:
        if not _is_url(self.base_url):
            message = "The base URL of the model provider is not one like https://models.example.com/v1."
            raise ModelError(message, code="INVALID_REQUEST")
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            message = f"The API key for {self.host} has characters that an HTTP header cannot carry."
            raise ModelError(message, code="AUTH_ERROR")

    @property
    def host(self) -> str:
        """The host and port, without the credentials that a URL may hold."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{path}"

    def scrub(self, text: str) -> str:
        """Return the text on one line, shortened, without anything that looks like a key."""
        if len(self.api_key) >= SHORTEST_SECRET:
            text = text.replace(self.api_key, "***")
        return OPENAI_KEY.sub("***", " ".join(text.split()))[:DETAIL_LIMIT]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port or an IPv6 address that is none
        return False


# -- clients -------------------------------------------------------------------------------------------------------


def _options(limits: httpx2.Limits) -> dict[str, Any]:
    return {
        **_common(),
        "limits": limits,
        "verify": ssl_context(),
        "mounts": {f"all://{host}": None for host in LOCAL_HOSTS},
    }


def _common() -> dict[str, Any]:
    """Return the options of every client. They serve many tenants and logins, so no cookie is ever kept."""
    return {
        "headers": {"User-Agent": USER_AGENT},
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    }


def _limits() -> httpx2.Limits:
    import httpx2

    return httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEPT_SECONDS)


@lru_cache(maxsize=2)
def blocking_client(guarded: bool) -> httpx2.Client:
    """Return the process's one client for threads, or its other one for addresses that tenants chose."""
    import httpx2

    if guarded:
        from ragflow.engine.guard import guarded_transport

        client = httpx2.Client(**_common(), transport=guarded_transport(_limits(), ssl_context()))
    else:
        client = httpx2.Client(**_options(_limits()))
    atexit.register(client.close)
    return client


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=blocking_client.cache_clear)  # two processes must not share a connection


@lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()  # reading the certificates takes 20 ms


def _open_client(guarded: bool) -> httpx2.AsyncClient:
    import httpx2

    if guarded:
        from ragflow.engine.guard import guarded_async_transport

        return httpx2.AsyncClient(**_common(), transport=guarded_async_transport(_limits(), ssl_context()))
    return httpx2.AsyncClient(**_options(_limits()))


async def _close_client(client: httpx2.AsyncClient) -> None:
    await client.aclose()


_clients: PerLoop[httpx2.AsyncClient] = PerLoop(_open_client, _close_client)


async def async_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    """Return a client of the running event loop."""
    return await _clients.get(endpoint.guarded)


# -- requests ------------------------------------------------------------------------------------------------------


def post_json(
    endpoint: Endpoint, path: str, body: Mapping[str, Any], *, kind: Kind, read_timeout: float, patience: float
) -> Any:
    """POST a JSON body and return the decoded JSON answer. Blocking.

    Rate limits, server errors and lost connections are tried again, as long as one wait is at most `patience` seconds.
    Raises ModelError.
    """
    if waiting := waiter():
        return waiting.result_of(
            apost_json(endpoint, path, body, kind=kind, read_timeout=read_timeout, patience=patience)
        )
    attempts = count(1)
    with call(kind):
        while True:
            try:
                return _decode(endpoint, _post(endpoint, path, body, read_timeout))
            except ModelError as error:
                delay = retry_delay(error, next(attempts), patience=patience)
                if delay is None:
                    raise
            time.sleep(delay)


async def apost_json(
    endpoint: Endpoint,
    path: str,
    body: Mapping[str, Any],
    *,
    kind: Kind,
    read_timeout: float,
    patience: float,
) -> Any:
    """`post_json` for the event loop."""

    async def post() -> Any:
        return _decode(endpoint, await _apost(endpoint, path, body, read_timeout))

    with call(kind):
        return await retried(post, patience=patience)


async def retried(attempt: Callable[[], Awaitable[_T]], *, patience: float) -> _T:
    """Await an attempt again and again, by the rules of `retry_delay`. Raises its last ModelError."""
    attempts = count(1)
    while True:
        try:
            return await attempt()
        except ModelError as error:
            delay = retry_delay(error, next(attempts), patience=patience)
            if delay is None:
                raise
        await asyncio.sleep(delay)


def _post(endpoint: Endpoint, path: str, body: Mapping[str, Any], read_timeout: float) -> httpx2.Response:
    import httpx2

    try:
        return blocking_client(endpoint.guarded).post(**_request(endpoint, path, body, read_timeout))
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        raise transport_error(endpoint, exc) from exc


async def _apost(endpoint: Endpoint, path: str, body: Mapping[str, Any], read_timeout: float) -> httpx2.Response:
    import httpx2

    client = await async_client(endpoint)
    try:
        return await client.post(**_request(endpoint, path, body, read_timeout))
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        raise transport_error(endpoint, exc) from exc


def _request(endpoint: Endpoint, path: str, body: Mapping[str, Any], read_timeout: float) -> dict[str, Any]:
    import httpx2

    return {
        "url": endpoint.url(path),
        "content": encoded(body),
        "headers": {"Content-Type": "application/json", **endpoint.headers},
        "timeout": httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT),
    }


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON. A lone surrogate becomes a question mark."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _decode(endpoint: Endpoint, response: httpx2.Response) -> Any:
    import orjson

    if not response.is_success:
        raise status_error(endpoint, response.status_code, response.text, response.headers)
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError as exc:
        raise malformed(endpoint, "text that is not JSON") from exc
    if isinstance(answer, dict) and answer.get("error"):
        raise reported_error(endpoint, answer)
    return answer


# -- failures ------------------------------------------------------------------------------------------------------


def retry_delay(error: ModelError, attempt: int, *, patience: float) -> float | None:
    """Return how many seconds to wait before trying again, or None when this error is final.

    `attempt` counts from 1. The provider's Retry-After is honoured; otherwise the wait doubles, with jitter so that
    many callers do not come back together.
    """
    if error.code not in RETRYABLE or attempt >= MAX_ATTEMPTS:
        return None
    delay = error.retry_after
    if delay is None:
        delay = FIRST_DELAY * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
    return delay if delay <= patience else None


def transport_error(endpoint: Endpoint, cause: BaseException) -> ModelError:
    """Return the error for what an HTTP client raised before an answer was there."""
    import httpx2

    if isinstance(cause, ModelError):  # the guard refused the address
        return cause
    if isinstance(cause, httpx2.TimeoutException | TimeoutError):
        return ModelError(f"The model provider at {endpoint.host} did not answer in time.", code="TIMEOUT")
    detail = (endpoint.scrub(str(cause)) or type(cause).__name__).rstrip(".")
    message = f"The connection to the model provider at {endpoint.host} failed: {detail}."
    return ModelError(message, code="CONNECTION_ERROR")


def malformed(endpoint: Endpoint, what: str) -> ModelError:
    return ModelError(f"The model provider at {endpoint.host} sent {what}.", code="MODEL_ERROR")


def status_error(endpoint: Endpoint, status: int, body: str, headers: Mapping[str, str]) -> ModelError:
    """Return the error that an HTTP answer without success stands for."""
    error = _spoken_error(endpoint, status, body, f"answered with status {status}", _retry_after(headers))
    error.status = status
    return error


def reported_error(endpoint: Endpoint, answer: Mapping[str, Any]) -> ModelError:
    """Return the error in a body or stream frame {"error": ...} that came with status 200."""
    error = answer["error"]
    code = error.get("code") if isinstance(error, dict) else None
    status = int(str(code)) if str(code).isdecimal() else 200
    return _spoken_error(endpoint, status, json.dumps(answer), "reported an error", None)


def _spoken_error(endpoint: Endpoint, status: int, body: str, what: str, retry_after: float | None) -> ModelError:
    detail = endpoint.scrub(own_words(body)).rstrip(".")
    message = f"The model provider at {endpoint.host} {what}"
    return ModelError(
        f"{message}: {detail}." if detail else f"{message}.",
        code=_code_of(status, body.lower()),
        retry_after=retry_after,
    )


def _code_of(status: int, body: str) -> str:
    if status == 402 or "insufficient_quota" in body:
        return "QUOTA_EXCEEDED"
    if "content_filter" in body:
        return "CONTENT_FILTERED"
    if status in (401, 403):
        return "AUTH_ERROR"
    if status == 429 or "rate_limit" in body:
        return "RATE_LIMIT_EXCEEDED"
    if status == 408:
        return "TIMEOUT"
    if status < 300:
        return "MODEL_ERROR"
    return "SERVER_ERROR" if status >= 500 else "INVALID_REQUEST"


def own_words(body: str) -> str:
    """Return the sentence inside an error body such as {"error": {"message": ...}}; nothing of an HTML page."""
    import orjson

    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "" if body.lstrip().startswith("<") else body
    while isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail", "msg") if found.get(key)), "")
    return found if isinstance(found, str) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or an HTTP date."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
