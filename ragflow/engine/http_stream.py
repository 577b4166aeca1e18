"""POST requests whose answer flows for a while: the server-sent events of a chat model.

They go through aiohttp, everything else through httpx2: an open stream holds a third of the memory here, and a request
costs a tenth of the CPU time.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass  # noqa: TID251 -- they read the environment and ask nobody

import aiohttp
from aiohttp.abc import ResolveResult

from ragflow.engine import guard
from ragflow.engine.errors import ModelError
from ragflow.engine.http import (
    CONNECT_TIMEOUT,
    KEPT_SECONDS,
    LOCAL_HOSTS,
    USER_AGENT,
    Endpoint,
    encoded,
    malformed,
    ssl_context,
    status_error,
    transport_error,
)
from ragflow.engine.per_loop import PerLoop

END_SECONDS = 1.0  # until the end of a body that is complete
LINE_LIMIT = 8 << 20  # bytes

_endings: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references


async def post(endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> EventBody:
    """POST a JSON body and return the answer once its headers are there; the caller closes it. Time is not limited.

    Raises ModelError, also for every status that is not a success.
    """
    session = await _sessions.get(endpoint.guarded)
    try:
        response = await session.post(
            endpoint.url(path),
            data=encoded(body),
            headers={"Content-Type": "application/json", **endpoint.headers},
            proxy=_proxy(endpoint),
            allow_redirects=False,
        )
    except (aiohttp.InvalidURL, ValueError) as exc:  # credentials in the URL beside a key are a ValueError
        message = f"The base URL of the model provider at {endpoint.host} cannot be asked: {endpoint.scrub(str(exc))}."
        raise ModelError(message, code="INVALID_REQUEST") from exc
    except (aiohttp.ClientError, OSError) as exc:
        # aiohttp's own sentence names the host again, and "ssl:default" where no TLS is spoken.
        raise transport_error(endpoint, getattr(exc, "os_error", exc)) from exc
    answer = EventBody(endpoint, response)
    if response.status < 300:
        return answer
    try:
        text = (await answer.whole()).decode("utf-8", "replace")
    finally:
        answer.close()
    raise status_error(endpoint, response.status, text, response.headers)


class EventBody:
    """The body of an answer, frame by frame.

    Its reader calls `end` after the last frame; or `close`, which ends the request upstream.
    """

    __slots__ = ("_endpoint", "_frames", "_response", "_rest", "_size")

    def __init__(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        if endpoint.guarded and response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise guard.compressed(endpoint.host)
        self._endpoint = endpoint
        self._response = response
        self._size = 0
        self._rest = b""  # of a line that goes on
        self._frames: deque[bytes] = deque()

    async def next(self) -> bytes | None:
        """Return the data of the next frame, or None after the last one. Raises ModelError.

        A provider that does not stream answers with one JSON body, which counts as a frame.
        """
        while not self._frames:
            if self._response.content_type == "application/json":
                return await self.whole() or None
            if piece := await self._read():
                self._split(piece)
            elif self._rest:
                self._split(b"\n")
            else:
                return None
        return self._frames.popleft()

    async def whole(self) -> bytes:
        """Return all that is left of the body."""
        parts = []
        while part := await self._read():
            parts.append(part)
        return b"".join(parts)

    def end(self) -> None:
        """Leave the provider a moment to end the body, so that the connection can serve again. Nobody waits for it."""
        ending = asyncio.ensure_future(self._read_to_the_end())
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)

    def close(self) -> None:
        self._response.close()

    async def _read_to_the_end(self) -> None:
        try:
            with suppress(TimeoutError, ModelError):
                async with asyncio.timeout(END_SECONDS):
                    while await self._read():
                        pass
        finally:
            self.close()

    async def _read(self) -> bytes:
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise malformed(self._endpoint, "an answer that broke off") from exc
        self._size = guard.grown(self._size, piece)
        return piece

    def _split(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._frames.extend(line[5:].strip() for line in lines if line.startswith(b"data:"))
        if len(self._rest) > LINE_LIMIT:
            raise malformed(self._endpoint, "a line without end")


# -- sessions ------------------------------------------------------------------------------------------------------


def _open_session(guarded: bool) -> aiohttp.ClientSession:
    """Return a session without a cookie jar: it serves many tenants."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # whoever asks limits the streams
            keepalive_timeout=KEPT_SECONDS,
            ssl=ssl_context(),
            resolver=_PublicResolver() if guarded else None,
            socket_factory=_public_socket if guarded else None,
        ),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
    )


_sessions: PerLoop[aiohttp.ClientSession] = PerLoop(_open_session, aiohttp.ClientSession.close)


class _PublicResolver(aiohttp.ThreadedResolver):
    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        guard.check(host, [address["host"] for address in found])
        return found


def _public_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket for an address to connect to: an IP address in the URL never meets the resolver."""
    family, kind, protocol, _, (host, *_) = address
    guard.check(str(host), [str(host)])
    return socket.socket(family, kind, protocol)


def _proxy(endpoint: Endpoint) -> str | None:
    return None if endpoint.guarded else _proxy_for(endpoint.base_url)


@lru_cache(maxsize=256)
def _proxy_for(base_url: str) -> str | None:
    """Return the proxy that the environment names for a URL."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in LOCAL_HOSTS or f"[{host}]" in LOCAL_HOSTS or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
