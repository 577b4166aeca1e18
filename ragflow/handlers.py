"""The two halves of the server as ASGI applications; `asgi.py` chooses between them.

Streams live on the event loop. Ordinary requests run as sync Django in the bounded pool of `apps.core.threads`:
long-lived threads keep their database connections, and nothing is created per request.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import IO, Any, TypeVar

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix

from apps.core.caller import forget_request
from apps.core.errors import NoSpace, TooLarge
from apps.core.http import error_response
from apps.core.middleware import CanonicalPath, CrossOrigin, RequestId
from apps.core.threads import submit
from ragflow.observed import ROUTE

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

BLOCK = 64 * 1024  # bytes of a download that are in memory at a time
_T = TypeVar("_T")


def too_large() -> TooLarge:
    return TooLarge(
        f"The request body is larger than the {settings.MAX_UPLOAD_BYTES} bytes that this server accepts.",
        reference="<RequestEntityTooLarge '413: Request Entity Too Large'>",
    )


def no_room() -> NoSpace:
    return NoSpace("The server has no room on its disk for the body of this request.")


class _LimitedHandler(ASGIHandler):
    """Django's handler with a limit on the request body, enforced while it arrives."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Django would give each request a thread of its own here, for as long as it lasts.
        try:
            if _announced_size(scope) > settings.MAX_UPLOAD_BYTES:
                raise too_large()
            await self.handle(scope, receive, send)
        except (TooLarge, NoSpace) as error:
            response = error_response(error)
            response["Connection"] = "close"  # the rest of the body is not read
            await self.send_response(response, send)

    def create_request(
        self, scope: Mapping[str, Any], body: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        """Build the request, with the length of its body. One that came in chunks announced none."""
        made = super().create_request(scope, body)
        if made[0] is not None:
            made[0].META["CONTENT_LENGTH"] = str(body.seek(0, os.SEEK_END))
            body.seek(0)
        return made

    def resolve_request(self, request: HttpRequest) -> Any:
        """Note the route, which is what requests are counted by."""
        match = super().resolve_request(request)
        request.scope[ROUTE] = match.route or "/"  # type: ignore[attr-defined]
        return match

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """Copy the body into a file that leaves memory when it grows. Raises TooLarge, NoSpace and RequestAborted."""
        body = tempfile.SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115 -- the request closes it
        try:
            await _copy_body(receive, body)
        except BaseException as error:
            body.close()
            if isinstance(error, OSError):
                raise no_room() from error
            raise
        body.seek(0)
        return body


class StreamingHalf(_LimitedHandler):
    """Django's own async handler, with middleware that never leaves the event loop.

    Its endpoints are authenticated by tokens, so they need no session and no CSRF protection.
    """

    def load_middleware(self, is_async: bool = True) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        handler: Any = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]
        for middleware in (CrossOrigin, CanonicalPath, RequestId):
            handler = convert_exception_to_response(middleware(handler))
        self._middleware_chain = handler

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, until its client leaves.

        Django's own keeps the request for as long as its answer flows, and takes its signals to a thread for the sake
        of database connections, which this thread never has.
        """
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with _WhileTheClientStays(receive):
            response = await self._response(scope, body)
            try:
                await self.send_response(response, send)
            finally:
                response.close()

    async def _response(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        """Return the answer of a view. The request has been closed."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        with body:
            request, refusal = self.create_request(scope, body)
            if request is None:
                assert refusal is not None
                return refusal
            response: HttpResponseBase = await self.get_response_async(request)
            response._handler_class = type(self)  # type: ignore[attr-defined]  # noqa: SLF001 -- as Django's handler
            response._resource_closers.remove(request.close)  # type: ignore[attr-defined]  # noqa: SLF001
            request.close()
            forget_request()
            return response

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """Add the headers that Django's other middleware gives to ordinary responses."""
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        await super().send_response(response, send)


class OrdinaryHalf(_LimitedHandler):
    """Sync Django, one pool thread per request."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        client = _Client(receive)
        try:
            response = await self._response(scope, body, client)
            await self._deliver(response, send, client)
        except RequestAborted:
            pass
        finally:
            client.forget()

    async def _response(self, scope: Scope, body: IO[bytes], client: _Client) -> HttpResponseBase:
        job = submit(self._respond, scope, body)
        try:
            return await client.wait_for(job)
        except BaseException:
            if job.cancel():
                body.close()
            else:
                job.add_done_callback(_close_result)  # it runs to its end, unseen
            raise

    def _respond(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        """Handle the request, in a thread of the pool. Only streaming responses are left open."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body)
        if request is None:
            assert refusal is not None
            body.close()
            return refusal
        response: Any = self.get_response(request)
        response._handler_class = type(self)  # noqa: SLF001 -- the sender of request_finished, as in Django's handler
        if request.method == "HEAD":
            _drop_body(response)
        if isinstance(response, FileResponse):
            response.block_size = BLOCK
        if not response.streaming:
            response.close()
        return response  # type: ignore[no-any-return]

    async def _deliver(self, response: HttpResponseBase, send: Send, client: _Client) -> None:
        if not isinstance(response, StreamingHttpResponse):
            await self.send_response(response, send)
            return
        download = _Download(response)
        if not response.is_async:
            response.streaming_content = download.blocks(client)
        try:
            await self.send_response(response, send)
        finally:
            submit(download.close)


class _WhileTheClientStays:
    """Ends what the current task does within, without an error, as soon as the client has left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_left = False
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._leaving = asyncio.ensure_future(self._receive())  # after the body comes nothing but a disconnect
        self._leaving.add_done_callback(self._leave)

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        self._is_over = True
        self._leaving.cancel()
        return self._has_left and self._task.uncancel() == 0 and isinstance(error, asyncio.CancelledError)

    def _leave(self, _message: object) -> None:
        if not self._is_over:
            self._has_left = True
            self._task.cancel()


class _Client:
    """Notices when the client leaves while a thread works for it."""

    def __init__(self, receive: Receive) -> None:
        self._leaving = asyncio.ensure_future(receive())  # after the body comes nothing but a disconnect

    async def wait_for(self, job: Future[_T]) -> _T:
        """Return the result of a job. Raises RequestAborted as soon as the client has left."""
        result = asyncio.wrap_future(job)
        either: tuple[asyncio.Future[Any], ...] = (result, self._leaving)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise RequestAborted

    def forget(self) -> None:
        self._leaving.cancel()


class _Download:
    """A response with a sync iterator, read block by block in the pool; never read and closed at the same time.

    Between blocks no thread is held, so slow clients cost none.
    """

    def __init__(self, response: StreamingHttpResponse) -> None:
        self._response = response
        self._parts: Iterator[Any] = iter(()) if response.is_async else iter(response)
        self._lock = threading.Lock()

    async def blocks(self, client: _Client) -> AsyncGenerator[bytes, None]:
        while block := await client.wait_for(submit(self._next_block)):
            yield block

    def close(self) -> None:
        with self._lock:
            self._response.close()

    def _next_block(self) -> bytes:
        parts, size = [], 0
        with self._lock:
            for part in self._parts:
                parts.append(part)
                size += len(part)
                if size >= BLOCK:
                    break
        return b"".join(parts)


async def _copy_body(receive: Receive, body: IO[bytes]) -> None:
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        part = message.get("body", b"")
        size += len(part)
        if size > settings.MAX_UPLOAD_BYTES:
            raise too_large()
        body.write(part)
        if not message.get("more_body", False):
            return


def _announced_size(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _drop_body(response: HttpResponseBase) -> None:
    """Leave the headers of a GET, its length among them."""
    if response.streaming:
        response.streaming_content = ()  # type: ignore[attr-defined]
    else:
        response.content = b""  # type: ignore[attr-defined]


def _close_result(job: Future[HttpResponseBase]) -> None:
    if not job.cancelled() and job.exception() is None:
        job.result().close()
