"""A Langfuse server on loopback: projects by their keys, and what is ingested, with faults on demand.

with LangfuseServer() as server:
    batch = server.batches.get(timeout=5)
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, Self

PUBLIC_KEY, SECRET_KEY = "pk-lf-of-the-tests", "sk-lf-planted-secret-key"


class LangfuseServer:
    """`answer`: a status and a body in place of the true ones. `gate`: answers wait until it is set."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.batches: Queue[list[dict[str, Any]]] = Queue()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_exc: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def keys(self) -> dict[str, str]:
        return {"host": self.url, "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY}

    def respond(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        if method == "POST":
            self.batches.put(json.loads(body)["batch"])
        self.gate.wait(10)
        if self.answer is not None:
            return self.answer
        if authorization != "Basic " + base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode():
            return 401, {"message": f"Invalid credentials {authorization}"}
        if (method, path) == ("GET", "/api/public/projects"):
            return 200, {"data": [{"id": "p1", "name": "Bridges", "metadata": {}}]}
        if (method, path) == ("POST", "/api/public/ingestion"):
            return 207, {"successes": [{"id": "x", "status": 201}], "errors": []}
        return 404, {}


def _handler(server: LangfuseServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = server.respond(self.command, self.path, self.headers.get("Authorization", ""), body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._respond()

        def do_POST(self) -> None:
            self._respond()

        def log_message(self, *_args: object) -> None:
            pass

    return Handler
