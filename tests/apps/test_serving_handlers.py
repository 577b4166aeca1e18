"""The two halves of the server: where requests run, how bodies and downloads pass, what a leaving client sets free."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from apps.core.http import json_response
from ragflow.handlers import BLOCK, OrdinaryHalf, StreamingHalf
from tests.tools.asgi import Exchange

pytestmark = pytest.mark.django_db(transaction=True)

Gate = threading.Event


class Site:
    """A URLconf whose views note what they see."""

    handler404 = "apps.core.http.handler404"
    handler500 = "apps.core.http.handler500"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.threads: list[str] = []
        self.closed = Gate()
        self.entered, self.go_on = Gate(), Gate()
        self.urlpatterns = [
            path("echo", self.echo),
            path("form", self.form),
            path("file", self.file),
            path("rows", self.rows),
            path("wait", self.wait),
            path("broken", self.broken),
        ]

    @staticmethod
    @csrf_exempt
    def echo(request: HttpRequest) -> HttpResponse:
        return json_response({"size": len(request.body), "type": request.content_type})

    @staticmethod
    @csrf_exempt
    def form(request: HttpRequest) -> HttpResponse:
        return json_response({"sizes": [file.size for file in request.FILES.values()]})

    def file(self, _request: HttpRequest) -> FileResponse:
        return FileResponse((self.folder / "file").open("rb"))

    def rows(self, _request: HttpRequest) -> StreamingHttpResponse:
        def generate() -> Iterator[bytes]:
            try:
                for number in range(100_000):
                    self.threads.append(threading.current_thread().name)
                    yield b"%d\n" % number
            finally:
                self.closed.set()

        return StreamingHttpResponse(generate())

    def wait(self, _request: HttpRequest) -> HttpResponse:
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        self.go_on.wait(10)
        response = HttpResponse(b"waited")
        response._resource_closers.append(self.closed.set)
        return response

    def broken(self, _request: HttpRequest) -> HttpResponse:
        raise RuntimeError("a secret of the server")


@pytest.fixture
def site(settings: Any, tmp_path: Path) -> Site:
    settings.ROOT_URLCONF = Site(tmp_path)
    return settings.ROOT_URLCONF


def ask(path_: str, **request: Any) -> Exchange:
    return Exchange(OrdinaryHalf(), path_, **request).start()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- threads know nothing of the loop's events
            await asyncio.sleep(0.01)


async def test_views_run_in_the_pool_and_not_on_the_loop(site: Site) -> None:
    exchange = ask("/wait")
    await asyncio.to_thread(site.entered.wait, 10)
    site.go_on.set()
    await exchange.finish()
    assert exchange.content == b"waited"
    assert site.threads[0].startswith("ragflow")


async def test_a_body_arrives_whole_however_it_is_cut(site: Site) -> None:
    parts = [b"x" * 100_000] * 30
    exchange = await ask("/echo", method="POST", body=parts, headers={"Content-Type": "text/plain"}).finish()
    assert orjson.loads(exchange.content) == {"size": 3_000_000, "type": "text/plain"}


async def test_an_upload_is_received_without_holding_it_in_memory(site: Site) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = [head, *[b"x" * 500_000] * 10, b"\r\n--b--\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(sum(map(len, body)))}
    exchange = await ask("/form", method="POST", body=body, headers=headers).finish()
    assert orjson.loads(exchange.content) == {"sizes": [5_000_000]}


@pytest.mark.parametrize("half", [OrdinaryHalf, StreamingHalf])
async def test_a_body_beyond_the_limit_is_refused_before_its_end(half: Any, site: Site, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 1_000_000
    endless = [b"x" * 100_000] * 1000
    exchange = await Exchange(half(), "/echo", method="POST", body=endless).start().finish()
    assert exchange.status == 413
    assert orjson.loads(exchange.content)["message"].startswith("The request body is larger than the 1000000 bytes")
    assert exchange.received <= 1_100_000
    assert exchange.answer_headers["connection"] == "close"


async def test_an_announced_size_beyond_the_limit_is_refused_unread(site: Site, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 10
    exchange = await ask("/echo", method="POST", body=[b"x" * 11], headers={"Content-Length": "11"}).finish()
    assert (exchange.status, exchange.received) == (413, 0)
    settings.MAX_UPLOAD_BYTES = 11
    exchange = await ask("/echo", method="POST", body=[b"x" * 11], headers={"Content-Length": "11"}).finish()
    assert exchange.status == 200


async def test_a_download_travels_in_blocks_and_its_file_is_closed(site: Site) -> None:
    content = bytes(range(256)) * 1024
    (site.folder / "file").write_bytes(content)
    exchange = await ask("/file").finish()
    assert exchange.content == content
    assert max(map(len, exchange.blocks)) <= BLOCK
    assert exchange.answer_headers["content-length"] == str(len(content))


async def test_small_parts_of_a_sync_iterator_are_joined(site: Site) -> None:
    exchange = await ask("/rows").finish()
    assert exchange.content.split() == [b"%d" % number for number in range(100_000)]
    assert len(exchange.blocks) < 20
    assert all(name.startswith("ragflow") for name in site.threads)


async def test_a_client_that_leaves_ends_its_download(site: Site) -> None:
    exchange = ask("/rows")
    await exchange.until(b"1\n")
    exchange.leave()
    await exchange.finish()
    assert await asyncio.to_thread(site.closed.wait, 10)


async def test_a_view_whose_client_left_ends_unseen_and_is_closed(site: Site) -> None:
    exchange = ask("/wait")
    await asyncio.to_thread(site.entered.wait, 10)
    exchange.leave()
    await exchange.finish()
    assert exchange.sent == []
    site.go_on.set()
    assert await asyncio.to_thread(site.closed.wait, 10)


async def test_requests_whose_clients_left_in_the_queue_never_run(site: Site, settings: Any) -> None:
    busy = [ask("/wait") for _ in range(settings.THREADS)]
    await until(lambda: len(site.threads) == settings.THREADS)
    waiting = [ask("/wait") for _ in range(5)]
    await asyncio.sleep(0)
    for exchange in waiting:
        exchange.leave()
        await exchange.finish()
    site.go_on.set()
    for exchange in busy:
        await exchange.finish()
    assert len(site.threads) == settings.THREADS


async def test_head_has_the_headers_of_get_and_no_body(site: Site) -> None:
    (site.folder / "file").write_bytes(b"x" * 200_000)
    for path_ in ("/file", "/echo"):
        get = await ask(path_).finish()
        head = await ask(path_, method="HEAD").finish()
        assert head.content == b""
        assert head.answer_headers["content-length"] == get.answer_headers["content-length"]


async def test_an_unexpected_exception_is_an_envelope_that_keeps_secrets(site: Site) -> None:
    exchange = await ask("/broken").finish()
    assert exchange.status == 500
    body = orjson.loads(exchange.content)
    assert body["code"] == 100
    assert "secret" not in body["message"]
    assert exchange.answer_headers["x-request-id"] in body["message"]


async def test_each_request_is_announced_to_django_once(site: Site) -> None:
    seen: list[str] = []

    def started(**_kwargs: Any) -> None:
        seen.append("started")

    def finished(**_kwargs: Any) -> None:
        seen.append("finished")

    (site.folder / "file").write_bytes(b"x")
    request_started.connect(started)
    request_finished.connect(finished)
    try:
        await ask("/echo").finish()
        await ask("/file").finish()
        await until(lambda: len(seen) == 4)
    finally:
        request_started.disconnect(started)
        request_finished.disconnect(finished)
    assert seen == ["started", "finished"] * 2
