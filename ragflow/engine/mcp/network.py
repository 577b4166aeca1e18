"""What the `mcp` library sends and receives in one session: size and time limits, and failures in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2

from ragflow.engine.errors import MCPError
from ragflow.engine.mcp.failures import in_words, refusal
from ragflow.engine.mcp.server import SSE, MCPServer

LONGEST_ANSWERS = 4 << 20  # bytes of all answers of a session
GOODBYE_SECONDS = 1.0  # to end a session, after its time too


class Network(httpx2.AsyncBaseTransport):
    """Sends requests through a client of this process, with its guard and its connections.

    The library tells of many failures only in its log, and waits on. So `failure` remembers the latest one, and where
    nothing but an answer over an event stream would be waited for, the session is ended at once.
    """

    def __init__(self, client: httpx2.AsyncClient, server: MCPServer, limit: asyncio.Timeout) -> None:
        self.failure: MCPError | None = None
        self._client = client
        self._server = server
        self._limit = limit
        self._size = 0
        self._has_ended = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        until = self._deadline(request)
        try:
            async with asyncio.timeout_at(until):
                response = await self._client.send(request, stream=True)
                response.stream = _Body(response.stream, self, until)
                failure = None if response.is_success else await self._refusal(response)
        except TimeoutError:
            raise  # the session ends, and knows why
        except Exception as error:
            self._note(request, in_words(self._server, error))
            raise
        self._note(request, failure, redirects=response.has_redirect_location)
        return response

    def grow(self, size: int) -> None:
        """Count bytes of an answer. Raises MCPError when the session has sent too much."""
        self._size += size
        if self._size > LONGEST_ANSWERS:
            error = MCPError(f"The MCP server at {self._server.host} sent more than {LONGEST_ANSWERS} bytes.")
            self.give_up(error)
            raise error

    def give_up(self, failure: MCPError) -> None:
        """End the session, unless its time is over anyway."""
        if not (self._has_ended or self._limit.expired()):
            self._has_ended = True
            self.failure = failure
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _deadline(self, request: httpx2.Request) -> float:
        """Return when a request ends that outlives its session: the library would wait for it some seconds more."""
        end = None if request.method == "DELETE" else self._limit.when()
        return (end or asyncio.get_running_loop().time()) + GOODBYE_SECONDS

    async def _refusal(self, response: httpx2.Response) -> MCPError:
        try:
            return refusal(self._server, response, await response.aread())
        finally:
            await response.aclose()

    def _note(self, request: httpx2.Request, failure: MCPError | None, *, redirects: bool = False) -> None:
        over_sse = self._server.transport == SSE
        if self._has_ended or (request.method != "POST" and not over_sse):
            return  # the library also opens a stream for messages that nobody waits for, and says goodbye
        self.failure = failure
        if failure and over_sse and not redirects:  # the library follows redirects that it may follow
            self.give_up(failure)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: object, network: Network, until: float) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream = stream
        self._network = network
        self._until = until

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._stream)
        while True:
            async with asyncio.timeout_at(self._until):
                part = await anext(parts, None)
            if part is None:
                return
            self._network.grow(len(part))
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
