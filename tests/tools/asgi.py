"""Speaks to an ASGI application as a server does, message by message, and shows when each answer message came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One HTTP request. `sent` fills while the application answers; `leave()` is the client hanging up."""

    app: Any
    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = (b"",)
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0  # bytes of the body that the application took

    def __post_init__(self) -> None:
        self._parts = [(part, True) for part in self.body]
        self._parts[-1] = (self._parts[-1][0], False)
        self._gone = asyncio.Event()
        self._news = asyncio.Event()

    def start(self) -> Exchange:
        self.task = asyncio.create_task(self.app(self._scope(), self._receive, self._send))
        return self

    async def finish(self) -> Exchange:
        await self.task
        return self

    def leave(self) -> None:
        self._gone.set()

    async def until(self, text: bytes) -> None:
        """Wait until the body received so far contains the text."""
        while text not in self.content:
            assert not self.task.done(), self.content
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def answer_headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def blocks(self) -> list[bytes]:
        return [message.get("body", b"") for message in self.sent[1:]]

    @property
    def content(self) -> bytes:
        return b"".join(self.blocks)

    def _scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **self.headers}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

    async def _receive(self) -> dict[str, Any]:
        if self._parts:
            part, more = self._parts.pop(0)
            self.received += len(part)
            return {"type": "http.request", "body": part, "more_body": more}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._news.set()
