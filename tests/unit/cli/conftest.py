"""A server that answers by script, and a client that talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from ragflow.cli.client import Client
from ragflow.cli.context import Context
from ragflow.cli.grammar import Mode
from ragflow.cli.passwords import DEFAULT_KEY
from ragflow.cli.shell import execute, understood


def ok(data: Any = None, **more: Any) -> httpx2.Response:
    return httpx2.Response(200, json={"code": 0, "message": "success", "data": data} | more)


@dataclass
class Server:
    """Answers by method and path; every request is kept."""

    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.url.raw_path.decode()}")
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, httpx2.Response):  # may be asked for again
            return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return httpx2.Response(404, text="<html>nothing here</html>")

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Method and path of each request with its JSON, None where there was no body."""
        return [
            (
                f"{request.method} {request.url.raw_path.decode()}",
                json.loads(request.content) if request.content else None,
            )
            for request in self.requests
        ]


@dataclass
class Session:
    """A client with what it printed."""

    context: Context
    lines: list[str]
    succeeded: bool = True

    def run(self, line: str) -> list[str]:
        statement = understood(self.context, line)
        self.succeeded = statement is not None and execute(self.context, statement)
        return self.lines


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def connect(server: Server) -> Callable[..., Session]:
    def make(mode: Mode = Mode.USER, **answers: Any) -> Session:
        server.answers |= answers
        lines: list[str] = []
        client = Client(
            "server", 9380, mode, public_key=DEFAULT_KEY, token="session", transport=httpx2.MockTransport(server)
        )
        context = Context(client, lines.append, lambda _prompt: "typed", lambda _seconds: None)
        return Session(context, lines)

    return make
