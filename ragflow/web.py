"""The web process: `python -m ragflow.web`. Daphne, made safe for large uploads, slow readers and restarts.

As shipped, Daphne parses multipart bodies in memory before the application sees them, keeps a whole request body in one
queue and a whole response in one buffer, and drops running requests when it is stopped.
"""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import sys
from contextvars import copy_context
from functools import partial
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragflow.settings")

from daphne import http_protocol, server
from django.conf import settings
from twisted.internet import defer, reactor
from twisted.internet.interfaces import IPushProducer
from twisted.web.http import HTTPChannel
from zope.interface import implementer  # type: ignore[import-untyped]

from apps.core.errors import HeadersTooLarge, RagflowError
from apps.core.http import error_response
from apps.core.logs import begin_request
from apps.core.sse import end_all
from ragflow.handlers import no_room, too_large

log = logging.getLogger("ragflow.web")

BACKLOG = 2048  # connections that may wait to be accepted; Twisted's own 50 refuses bursts
BLOCK = 64 * 1024
GRACE_SECONDS = 7.0  # for running requests when the server is stopped
LAST_SECONDS = 1.0  # for streams to say that they end here, and then for all to store what they have
LINGER_SECONDS = 5.0  # for a client to notice a refusal while it is still sending


@implementer(IPushProducer)
class Request(http_protocol.WebRequest):  # type: ignore[misc]
    """A request whose body stays in Twisted's temporary file and whose response waits for the client to read it."""

    content: io.IOBase

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False)
        self.caught_up: asyncio.Future[None] | None = None  # while the client has to read what was written
        self._refused = False

    # The body: refused before it is read if its length is announced, else at the byte that is too many. The temporary
    # file fails when the disk is full.

    def gotLength(self, length: int | None) -> None:  # noqa: N802
        if length is not None and length > settings.MAX_UPLOAD_BYTES:
            self._refuse(too_large())
            return
        try:
            super().gotLength(length)
        except OSError:
            self._refuse(no_room())

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        if self._refused:
            return
        if self.content.tell() + len(data) > settings.MAX_UPLOAD_BYTES:
            self._refuse(too_large())
            return
        try:
            super().handleContentChunk(data)
        except OSError:
            self._refuse(no_room())

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def take_body(self) -> io.IOBase:
        """Hand over the file that holds the body; Daphne finds an empty one."""
        body, self.content = self.content, io.BytesIO()
        return body

    def _refuse(self, error: RagflowError) -> None:
        """Answer at once. What still arrives is dropped for a moment, so that the client can read the answer."""
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")  # else Twisted would ask for the body
        proposed = self.requestHeaders.getRawHeaders("x-request-id", [None])[0]
        self.channel.write(_refusal(error, proposed))
        reactor.callLater(LINGER_SECONDS, self.channel.forceAbortClient)  # type: ignore[arg-type]

    # The response: Twisted calls the producer methods when its buffer is full, drained or gone.

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and self.channel is not None and not self.producer:
            self.registerProducer(self, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
        self.resumeProducing()  # Twisted tells only a registered producer that its buffer has drained
        super().finish()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.resumeProducing()
        super().connectionLost(reason)

    def pauseProducing(self) -> None:  # noqa: N802
        if self.caught_up is None:
            self.caught_up = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802
        caught_up, self.caught_up = self.caught_up, None
        if caught_up and not caught_up.done():
            caught_up.set_result(None)

    stopProducing = resumeProducing  # noqa: N815


class Inbox:
    """What the client sends to one application. An asyncio.Queue costs 3 KB more for each open stream."""

    __slots__ = ("_messages", "_waiting")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Any:
        while not self._messages:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._messages.pop(0)


http_protocol.WebRequest = Request  # Daphne's factory names its request class; it takes no other


def _refuse_long_line(channel: Any, _line: bytes) -> None:
    """Answer a request whose first line or header is too long. Twisted would hang up without a word."""
    channel.dataReceived = lambda _data: None  # what still arrives is dropped, as above
    channel.transport.write(_refusal(HeadersTooLarge("The address or a header of the request is too long.")))
    reactor.callLater(LINGER_SECONDS, channel.forceAbortClient)  # type: ignore[arg-type]


HTTPChannel.lineLengthExceeded = _refuse_long_line  # type: ignore[method-assign]  # its factory, too, names its class


def _refusal(error: RagflowError, proposed_id: str | None = None) -> bytes:
    """Return a whole answer, for what is refused before there is a request whose lines of the log it could name."""
    response = error_response(error)
    request_id = copy_context().run(begin_request, proposed_id)
    return (
        b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nX-Request-Id: %s\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
    ) % (
        response.status_code,
        response.reason_phrase.encode(),
        request_id.encode(),
        len(response.content),
        response.content,
    )


class Server(server.Server):  # type: ignore[misc]
    """Daphne's server: streams bodies both ways, says where it listens, and lets requests finish when it stops."""

    has_failed = False

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Inbox | None:
        """Run the application for a new connection, as Daphne's own does, and return where to put its messages."""
        inbox = Inbox()
        scope.setdefault("asgi", {"version": "3.0"})
        send = partial(self.handle_reply, protocol)
        if scope["type"] == "http":
            application = self._serve(protocol, protocol.take_body(), scope, inbox.get, send)
        else:
            application = self.application(scope, inbox.get, send)
        if protocol not in self.connections:
            application.close()
            return None
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(application)
        return inbox

    async def _serve(self, request: Request, body: io.IOBase, scope: Any, receive: Any, send: Any) -> None:
        async def receive_from_file() -> Any:
            part = body.read(BLOCK)
            if not part:
                return await receive()  # Daphne's own empty end of the body, then a disconnect
            await asyncio.sleep(0)  # a large body must not keep the loop from other requests
            return {"type": "http.request", "body": part, "more_body": True}

        async def send_at_the_clients_pace(message: Any) -> None:
            await send(message)
            if request.caught_up:
                await request.caught_up

        with body:
            await self.application(scope, receive_from_file, send_at_the_clients_pace)

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        host, number = self.listening_addresses[-1]
        log.info("Listening on http://%s:%d", f"[{host}]" if ":" in host else host, number)

    def listen_error(self, failure: Any) -> None:
        """Do without the admin port when it is taken: what it serves is on the first port, too."""
        if getattr(failure.value, "port", None) == settings.ADMIN_PORT != settings.PORT:
            log.warning("Cannot listen for the admin API: %s", failure.getErrorMessage())
            return
        log.critical("Cannot listen: %s", failure.getErrorMessage())
        self.has_failed = True
        self.stop()

    def kill_all_applications(self) -> Any:
        """Let running requests finish (Twisted waits for the result before it stops)."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        for listener in self.listeners:
            listener.addCallback(lambda port: port and port.stopListening())
        tasks = {protocol: details.get("application_instance") for protocol, details in self.connections.items()}
        running = {protocol: task for protocol, task in tasks.items() if task is not None and not task.done()}
        if not running:
            return
        log.info("Stopping; %d requests are running", len(running))
        self._tell_they_are_gone(protocol for protocol in running if not isinstance(protocol, Request))
        await asyncio.wait(running.values(), timeout=GRACE_SECONDS)
        end_all("The server is being stopped, so the answer ends here.")
        await asyncio.wait(running.values(), timeout=LAST_SECONDS)
        self._tell_they_are_gone(protocol for protocol, task in running.items() if not task.done())
        await asyncio.wait(running.values(), timeout=LAST_SECONDS)

    @staticmethod
    def _tell_they_are_gone(protocols: Any) -> None:
        """Make applications believe that their clients left, which is how they know to stop."""
        for protocol in protocols:
            kind = "http" if isinstance(protocol, Request) else "websocket"
            protocol.application_queue.put_nowait({"type": f"{kind}.disconnect", "code": 1001})


def main() -> int:
    from ragflow.asgi import application

    # What is loaded now stays for good: the collector need not walk it again and again while requests are served.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)

    web = Server(application, endpoints=endpoints(), server_name="")
    web.run()
    return 1 if web.has_failed else 0


def endpoints() -> list[str]:
    """Return where to listen, as Twisted describes it. All of it leads to the same application."""
    ports = dict.fromkeys([settings.PORT, settings.ADMIN_PORT or settings.PORT])
    interface = settings.HOST.replace(":", r"\:")
    return [f"tcp:port={port}:interface={interface}:backlog={BACKLOG}" for port in ports]


if __name__ == "__main__":
    sys.exit(main())
