"""Connections to addresses that a tenant chose: only to public ones, so that nobody looks into the server's network.

A name is resolved once, every address that it has is checked, and the connection goes to one of the checked addresses.
So a name whose answer changes in between leads nowhere else. No proxy is used: it would resolve the name again.
Answers are limited in size, and compressed ones are not taken.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore2
import httpx2

from ragflow.engine.errors import ModelError

LONGEST_ANSWER = 64 << 20  # bytes; 32 texts in 4096 dimensions take about 3 MB
NAT64 = IPv6Network("64:ff9b::/96")  # the last four bytes are an IPv4 address
PUBLIC_IPV6 = IPv6Network("2000::/3")  # what is given out; beside it lie translators of networks and retired ranges


class PrivateAddress(ModelError):
    """A host within this server's own network. Callers with another list of allowed hosts say so themselves."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is an address within this server's own network. Its operator can allow it with "
            "RAGFLOW_PRIVATE_MODEL_HOSTS.",
            code="INVALID_REQUEST",
        )
        self.host = host


def is_public(address: str) -> bool:
    """Tell whether an IP address, in any notation that a resolver returns, is one of the public internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip in NAT64:
            return is_public(str(ip_address(int(ip) & 0xFFFFFFFF)))
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if inner:
            return is_public(str(inner))
        if ip not in PUBLIC_IPV6:
            return False
    return ip.is_global and not ip.is_multicast


def guarded_transport(limits: httpx2.Limits, context: ssl.SSLContext) -> httpx2.HTTPTransport:
    return _Transport(limits, context)


def guarded_async_transport(limits: httpx2.Limits, context: ssl.SSLContext) -> httpx2.AsyncHTTPTransport:
    return _AsyncTransport(limits, context)


class _Transport(httpx2.HTTPTransport):
    def __init__(self, limits: httpx2.Limits, context: ssl.SSLContext) -> None:
        self._pool = httpcore2.ConnectionPool(network_backend=_PublicNetwork(), **_pool_options(limits, context))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        _ask_for_plain(request)
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _LimitedStream(response.stream)
        if not _is_plain(response):
            response.close()
            raise compressed(request.url.host)
        return response


class _AsyncTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, limits: httpx2.Limits, context: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=_AsyncPublicNetwork(), **_pool_options(limits, context)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        _ask_for_plain(request)
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _AsyncLimitedStream(response.stream)
        if not _is_plain(response):
            await response.aclose()
            raise compressed(request.url.host)
        return response


class _LimitedStream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size = grown(size, part)
            yield part

    def close(self) -> None:
        self._stream.close()


class _AsyncLimitedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size = grown(size, part)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def grown(size: int, part: bytes) -> int:
    """Return the size of an answer with one more part. Raises ModelError when that is more than one may have."""
    size += len(part)
    if size > LONGEST_ANSWER:
        message = f"The model provider sent more than the {LONGEST_ANSWER} bytes that one answer may have."
        raise ModelError(message, code="MODEL_ERROR")
    return size


def _ask_for_plain(request: httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


def _is_plain(response: httpx2.Response) -> bool:
    return response.headers.get("content-encoding", "identity").lower() == "identity"


def compressed(host: str) -> ModelError:
    message = f"The model provider at {host} compressed its answer, which it was not asked to do."
    return ModelError(message, code="MODEL_ERROR")


def _pool_options(limits: httpx2.Limits, context: ssl.SSLContext) -> dict[str, Any]:
    return {
        "ssl_context": context,
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
    }


class _PublicNetwork(httpcore2.SyncBackend):
    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _unknown(host, error) from error
        failure: httpcore2.ConnectError | None = None
        for address in _checked(host, found):
            try:
                return super().connect_tcp(address, port, *args, **kwargs)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure or _unknown(host, "it has no address")


class _AsyncPublicNetwork(httpcore2.AnyIOBackend):
    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _unknown(host, error) from error
        failure: httpcore2.ConnectError | None = None
        for address in _checked(host, found):
            try:
                return await super().connect_tcp(address, port, *args, **kwargs)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure or _unknown(host, "it has no address")


def _checked(host: str, found: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return the addresses of a host, each once. Raises PrivateAddress if one of them is not public."""
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    check(host, addresses)
    return addresses


def check(host: str, addresses: Iterable[str]) -> None:
    """Raise PrivateAddress if one of a host's IP addresses is not public."""
    if not all(map(is_public, addresses)):
        raise PrivateAddress(host)


def _unknown(host: str, reason: object) -> httpcore2.ConnectError:
    return httpcore2.ConnectError(f"{host} cannot be found ({reason})")
