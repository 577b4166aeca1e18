"""The web process itself, under Daphne: memory, refusals and restarts. It is the only place where these can be seen."""

from __future__ import annotations

import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
BLOCK = 64 * 1024
LARGE = 200 * MIB
LIMIT = 300 * MIB

SETTINGS = """
from ragflow.settings import *
ROOT_URLCONF = "site_under_test"
"""
SITE = """
import __main__, asyncio, tempfile, time
from django.http import FileResponse, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from apps.core.sse import sse_response

__main__.GRACE_SECONDS = 2
handler500 = "apps.core.http.handler500"

@csrf_exempt
def upload(request):
    return HttpResponse(str(sum(file.size for file in request.FILES.values())))

def download(request):
    file = tempfile.TemporaryFile()
    file.truncate(int(request.GET["size"]))
    return FileResponse(file)

def whole(request):
    return HttpResponse(bytes(int(request.GET["size"])))

def slow(request):
    time.sleep(1)
    return HttpResponse("done")

async def flow(request):
    async def frames():
        yield b"data:begun\\n\\n"
        await asyncio.sleep(60)
    return await sse_response(frames(), on_error=lambda error: [f"data:{error}\\n\\n".encode(), b"data:end\\n\\n"])

urlpatterns = [path(view.__name__, view) for view in (upload, download, whole, slow)]
urlpatterns += [path("api/v1/sessions/ask", flow)]
"""


class Server:
    def __init__(self, folder: Path) -> None:
        (folder / "settings_under_test.py").write_text(SETTINGS)
        (folder / "site_under_test.py").write_text(SITE)
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "settings_under_test",
            "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}",
            "RAGFLOW_DATA_DIR": str(folder),
            "RAGFLOW_PORT": "0",
            "RAGFLOW_MAX_UPLOAD_BYTES": str(LIMIT),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ragflow.web"], env=environment, stderr=subprocess.PIPE, text=True
        )
        self.port = self._port()

    def _port(self) -> int:
        for line in self.process.stderr:
            if found := re.search(r"Listening on http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
        raise AssertionError(f"The server ended with {self.process.wait()}.")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def peak_memory(self) -> int:
        """Return the largest resident size so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("web"))
    yield running
    running.process.kill()
    running.process.wait()
    running.process.stderr.close()


def multipart(size: int) -> tuple[dict[str, str], Iterator[bytes]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    tail = b"\r\n--b--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(size // MIB):
            yield b"x" * MIB
        yield tail

    length = len(head) + size + len(tail)
    return {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(length)}, body()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_uploads_and_downloads(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/download?size=1")
    assert connection.getresponse().read() == b"\0"
    before = server.peak_memory()

    headers, body = multipart(LARGE)
    connection.request("POST", "/upload", body, headers)
    assert connection.getresponse().read() == str(LARGE).encode()
    connection.request("GET", f"/download?size={LARGE}")
    response = connection.getresponse()
    received = 0
    while block := response.read(MIB):
        received += len(block)
    assert received == LARGE
    assert server.peak_memory() - before < 30 * MIB
    connection.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_slow_reader_costs_no_memory(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/download?size=1")
    connection.getresponse().read()
    before = server.peak_memory()
    connection.request("GET", f"/download?size={LARGE}")
    response = connection.getresponse()
    response.read(1)
    time.sleep(1)  # long enough to read all of the file, were nothing to hold the server back
    assert server.peak_memory() - before < 30 * MIB
    connection.close()


def test_an_announced_size_beyond_the_limit_is_refused_unread(server: Server) -> None:
    connection = server.connect()
    connection.putrequest("POST", "/upload")
    connection.putheader("Content-Length", str(LIMIT + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b"larger than" in response.read()
    connection.close()


def test_a_body_without_announced_size_is_refused_at_the_limit(server: Server) -> None:
    connection = server.connect()
    endless = (b"x" * MIB for _ in range(2 * LIMIT // MIB))
    connection.request("POST", "/upload", endless, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    assert response.status == 413
    connection.close()


@pytest.mark.parametrize("request_", [b"GET /%b HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: %b\r\n"])
def test_an_address_or_header_that_is_too_long_is_refused_with_a_sentence(server: Server, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(request_ % (b"a" * 64 * 1024) + b"\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"is too long" in answer


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Only Linux limits the files of another process.")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_room_on_the_disk_is_refused(server: Server, chunked: bool) -> None:
    def upload() -> tuple[int, bytes]:
        blocks = (b"x" * BLOCK for _ in range(8 * MIB // BLOCK))
        headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(8 * MIB)}
        with closing(server.connect()) as connection:
            connection.request("POST", "/upload", blocks, encode_chunked=chunked, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (MIB, limit[1]))
    try:
        status, body = upload()
        assert status == 507
        assert b"no room on its disk" in body
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
    assert upload()[0] == 200


def test_a_head_request_leaves_the_connection_usable(server: Server) -> None:
    connection = server.connect()
    for _ in range(2):
        connection.request("HEAD", f"/download?size={MIB}")
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Length"]) == (200, str(MIB))
        response.read()
        connection.request("GET", "/download?size=3")
        assert connection.getresponse().read() == b"\0\0\0"
    connection.close()


def test_a_stopping_server_finishes_what_it_began_and_accepts_no_more(tmp_path: Path) -> None:
    server = Server(tmp_path)
    answers: list[bytes] = []

    def ask() -> None:
        connection = server.connect()
        connection.request("GET", "/slow")
        answers.append(connection.getresponse().read())
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    assert server.stop() == 0
    asking.join()
    server.process.stderr.close()
    assert answers == [b"done"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_a_stopping_server_ends_its_streams_with_a_sentence(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with closing(server.connect()) as connection:
        connection.request("POST", "/api/v1/sessions/ask", b"{}")
        stream = connection.getresponse()
        assert stream.readline() + stream.readline() == b"data:begun\n\n"
        server.process.terminate()
        rest = stream.read().decode()  # fails when the stream is cut off
    assert rest.split("\n\n") == ["data:The server is being stopped, so the answer ends here.", "data:end", ""]
    assert server.process.wait(30) == 0
    server.process.stderr.close()


def test_an_answer_that_fills_the_buffer_at_its_end_has_ended(tmp_path: Path) -> None:
    server = Server(tmp_path)
    connection = server.connect()
    for blocks in (1, 2, 3):  # Twisted's buffer takes one, and Django writes one at a time
        connection.request("GET", f"/whole?size={blocks * BLOCK}")
        assert len(connection.getresponse().read()) == blocks * BLOCK
    connection.close()
    assert server.stop() == 0
    with server.process.stderr as log:
        assert "requests are running" not in log.read()


def test_a_taken_port_is_a_clear_failure(server: Server, tmp_path: Path) -> None:
    environment = os.environ | {"RAGFLOW_DATA_DIR": str(tmp_path), "RAGFLOW_PORT": str(server.port)}
    ended = subprocess.run(
        [sys.executable, "-m", "ragflow.web"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "Cannot listen" in ended.stderr
    assert "Traceback" not in ended.stderr
