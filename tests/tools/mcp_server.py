"""A scripted MCP server on loopback, for both transports, with faults on demand.

with ScriptedMCPServer() as server:
    server.faults["tools/list"] = Fault(status=500)
    ...                       # talk to server.url or server.sse_url
    server.requests[-1]       # what came: (method, path, headers, JSON body)
"""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

ECHO = {"name": "echo", "description": "Says it again.", "inputSchema": {"type": "object"}}
MODERN = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}  # what newer results have besides
SESSION = "session-1"


@dataclass
class Fault:
    """How one JSON-RPC method is answered instead of as it should be."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None  # this body
    type: str = "application/json"
    error: Any = None  # a JSON-RPC error
    result: Any = None  # another result
    hang: bool = False
    silent: bool = False  # over SSE the message is accepted, and nothing comes after it
    dies: bool = False  # and all connections with it
    once: bool = False


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedMCPServer:
    def __init__(self, tools: list[Any] | None = None, *, streams: bool = False) -> None:
        self.tools = [ECHO] if tools is None else tools
        self.page_size = 100
        self.version = "2025-06-18"
        self.streams = streams  # answer POSTs with events
        self.modern = False  # speak the version of the protocol that has no greeting, too
        self.before: list[dict[str, Any]] = []  # messages that come before each answer
        self.endpoint = ""  # that SSE streams name; else each has its own
        self.faults: dict[str, Fault] = {}  # by JSON-RPC method, or HTTP method
        self.requests: list[Received] = []
        self.connections = 0
        self._ready = threading.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._streams: dict[str, asyncio.StreamWriter] = {}  # by the address that each names

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def sse_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/sse"

    @property
    def open_streams(self) -> int:
        """How many clients of the SSE transport listen."""
        return sum(not writer.is_closing() for writer in self._streams.values())

    def asked(self, method: str) -> list[Any]:
        """Return the bodies of this JSON-RPC method."""
        return [each.body for each in self.requests if each.body and each.body.get("method") == method]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(content) if content else None
        self.requests.append(Received(method, path, headers, body))
        fault = self._fault(method, body)
        if fault and fault.silent and path in self._streams:
            self._answer(writer, "Accepted", "text/plain", 202, {})
            return True
        if fault and (fault.hang or fault.silent):
            await reader.read(1)  # until the client leaves
            return False
        if fault and fault.dies:
            for each in self._open:
                each.transport.abort()
            return False
        if fault and (fault.raw is not None or fault.status != 200):
            self._answer(writer, fault.raw or "", fault.type, fault.status, fault.headers)
        elif method == "GET" and path == "/sse":
            endpoint = self.endpoint or f"/messages?session={len(self._streams)}"
            self._streams[endpoint] = writer
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\r\n\r\n")
            writer.write(f"event: endpoint\r\ndata: {endpoint}\r\n\r\n".encode())
        elif method == "GET":
            self._answer(writer, "", "text/plain", 405, {})
        elif method == "DELETE" or "id" not in body or "method" not in body:
            self._answer(writer, "", "text/plain", 202, {})
        elif path.startswith("/messages"):
            self._answer(writer, "Accepted", "text/plain", 202, {})
            self._streams[path].write(_events([*self.before, self._reply(body, fault)]))
        else:
            begins = {"Mcp-Session-Id": SESSION} if body["method"] == "initialize" else {}
            if self.streams:
                text = _events([*self.before, self._reply(body, fault)]).decode()
                self._answer(writer, text, "text/event-stream", 200, begins)
            else:
                self._answer(writer, json.dumps(self._reply(body, fault)), "application/json", 200, begins)
        await writer.drain()
        return True

    def _fault(self, method: str, body: Any) -> Fault | None:
        name = (body or {}).get("method") or method
        fault = self.faults.get(name)
        if fault and fault.once:
            del self.faults[name]
        return fault

    def _reply(self, asked: Any, fault: Fault | None) -> dict[str, Any]:
        reply = {"jsonrpc": "2.0", "id": asked["id"]}
        if fault and fault.error is not None:
            return reply | {"error": fault.error}
        if asked["method"] == "server/discover" and not self.modern and not fault:
            return reply | {"error": {"code": -32601, "message": "Method not found"}}
        result = fault.result if fault else self._result(asked["method"], asked.get("params") or {})
        return reply | {"result": result}

    def _result(self, method: str, params: dict[str, Any]) -> Any:
        if method == "server/discover":
            return {**MODERN, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        if method == "initialize":
            info = {"name": "scripted", "version": "1"}
            return {"protocolVersion": self.version, "capabilities": {"tools": {}}, "serverInfo": info}
        if method == "tools/list":
            start = int(params.get("cursor", 0))
            end = start + self.page_size
            more = {"nextCursor": str(end)} if end < len(self.tools) else {}
            return {"tools": self.tools[start:end]} | more | (MODERN if self.modern else {})
        text = f"{params['name']} {json.dumps(params['arguments'])}"
        return {"content": [{"type": "text", "text": text}]} | (MODERN if self.modern else {})

    @staticmethod
    def _answer(writer: asyncio.StreamWriter, text: str, type_: str, status: int, headers: dict[str, str]) -> None:
        known = {"Content-Type": type_, "Content-Length": str(len(text.encode())), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in known.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n{text}".encode())


def _events(messages: list[dict[str, Any]]) -> bytes:
    return "".join(f"event: message\ndata: {json.dumps(message)}\n\n" for message in messages).encode()
