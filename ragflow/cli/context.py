"""What a statement works with: the server, and where to print and ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragflow.cli.client import Answer, Client
from ragflow.cli.errors import CommandFailed
from ragflow.cli.table import table


@dataclass
class Context:
    client: Client
    write: Callable[[str], None]
    ask_password: Callable[[str], str]  # takes the prompt; nothing is echoed
    wait: Callable[[float], None]  # seconds
    datasets: dict[str, str] | None = None  # ids by name, once looked up; None: they are looked up each time

    def call(self, failure: str, method: str, path: str, **request: Any) -> Answer:
        """Send a request of the client's mode. Raises CommandFailed, with `failure` first, unless it succeeds."""
        return succeeded(self.client.call(method, path, **request), failure)

    def show(self, data: Any, *, without: Sequence[str] = ()) -> None:
        self.write(table(data, without=without))


def succeeded(answer: Answer, failure: str) -> Answer:
    if not answer.succeeded:
        raise CommandFailed(f"{failure}, code: {answer.code}, message: {answer.message}")
    return answer


def field_of(answer: Answer, name: str) -> Any:
    """Return an entry of an answer's object, None if there is no such thing."""
    return answer.data.get(name) if isinstance(answer.data, dict) else None
