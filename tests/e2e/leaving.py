"""Clients that hang up while a model is asked for them, in a real server: when is the model's connection closed?"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.server import Server, running_server
from tests.tools.model_server import Exchange, ModelServer, Reply

BRIDGE = "The red bridge of Ulm was built in 1903 by the engineer Clara Nord."
QUESTION = "Who built the red bridge of Ulm?"
DEADLINE = 20.0  # seconds for anything
HEARTBEAT = 16.0  # seconds after which a stream has begun without a frame

SILENT = Reply(endpoint="chat", hang_after=-1)
HALF_WAY = Reply(endpoint="chat", text="One two three four", hang_after=2)
CHAT, OPENAI = "/api/v1/chats/{chat}/completions", "/api/v1/chats_openai/{chat}/chat/completions"
ASK, CHATBOT, SEARCHBOT = "/api/v1/sessions/ask", "/api/v1/chatbots/{chat}/completions", "/api/v1/searchbots/ask"

WITHIN = {"question": QUESTION, "session_id": "{session}"}
SAID = {"model": "any", "messages": [{"role": "user", "content": QUESTION}]}
ASKED = {"question": QUESTION, "dataset_ids": ["{dataset}"]}
VISITED = {"question": QUESTION, "kb_ids": ["{dataset}"]}


@dataclass(frozen=True)
class Case:
    """A request, and how the models reply to it. The last reply hangs."""

    path: str
    body: dict[str, Any]
    replies: tuple[Reply, ...]
    wait: float = 0.0  # seconds between the hanging and the hanging up


CASES = {
    **{
        f"{name}, {moment}": Case(path, body, (reply,))
        for name, path, body in (
            ("completion", CHAT, WITHIN),
            ("whole completion", CHAT, WITHIN | {"stream": False}),
            ("OpenAI", OPENAI, SAID),
            ("whole OpenAI", OPENAI, SAID | {"stream": False}),
            ("ask", ASK, ASKED),
            ("chatbot", CHATBOT, WITHIN),
            ("searchbot", SEARCHBOT, VISITED),
        )
        for moment, reply in (("silent model", SILENT), ("half way", HALF_WAY))
    },
    "completion, after a heartbeat": Case(CHAT, WITHIN, (SILENT,), HEARTBEAT),
    "completion, embedding": Case(CHAT, WITHIN, (Reply(endpoint="embeddings", hang_after=-1),)),
    "completion, reranking": Case(
        CHAT.replace("{chat}", "{ranked}"), WITHIN | {"session_id": "{ranked_session}"},
        (Reply(endpoint="rerank", hang_after=-1),),
    ),
    "completion, keywords": Case(
        CHAT.replace("{chat}", "{helped}"), WITHIN | {"session_id": "{helped_session}"}, (SILENT,)
    ),
    "completion, research": Case(CHAT, WITHIN | {"reasoning": True}, (SILENT,)),
    "completion, second round of research": Case(
        CHAT, WITHIN | {"reasoning": True},
        (Reply(endpoint="chat", text="1. bridge of Ulm"), Reply(endpoint="embeddings"),
         Reply(endpoint="embeddings", hang_after=-1)),
    ),
    "whole completion, citations": Case(
        CHAT, WITHIN | {"stream": False}, (Reply(endpoint="embeddings"), Reply(endpoint="embeddings", hang_after=-1))
    ),
    "related questions": Case("/api/v1/sessions/related_questions", {"question": QUESTION}, (SILENT,)),
    "mind map": Case("/api/v1/searchbots/mindmap", VISITED, (SILENT,)),
    "embeddings": Case(
        "/api/v1/openai/embeddings", {"model": "vectors@OpenAI", "input": "x"},
        (Reply(endpoint="embeddings", hang_after=-1),),
    ),
}  # fmt: skip
"""By name. The endpoints of pages, whose names have "bot" in them, are asked with a share token."""


@dataclass
class Leaver:
    server: Server
    models: ModelServer
    page_token: str
    names: dict[str, str] = field(default_factory=dict)

    def seconds_until_left(self, name: str) -> float:
        """Ask, hang up when the model hangs, and return how long its connection stays open after that."""
        case = CASES[name]
        self.models.reset()
        self.models.script(*case.replies)
        with self._request(case) as connection:
            exchange = self._hanging(case)
            connection.settimeout(0)
            time.sleep(case.wait)
        hung_up = time.monotonic()
        assert exchange.ended.wait(DEADLINE), f"{name}: the model is still asked"
        assert exchange.client_left_after is not None, f"{name}: the model had answered"
        return exchange.started + exchange.client_left_after - hung_up

    @contextmanager
    def _request(self, case: Case) -> Iterator[socket.socket]:
        address = urlsplit(self.server.url)
        token = self.page_token if "bots/" in case.path else self.server.token
        body = self._filled_in(json.dumps(case.body)).encode()
        head = [
            f"POST {self._filled_in(case.path)} HTTP/1.1",
            f"Host: {address.netloc}",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "\r\n",
        ]
        with socket.create_connection((address.hostname, address.port), DEADLINE) as connection:
            connection.sendall("\r\n".join(head).encode() + body)
            yield connection

    def _hanging(self, case: Case) -> Exchange:
        """Return the request to a model that does not go on."""
        sent = max(case.replies[-1].hang_after or 0, 0)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            open_ones = [one for one in self.models.exchanges if not one.ended.is_set() and one.sent >= sent]
            if open_ones and not self.models.scripted:
                return open_ones[-1]
            time.sleep(0.005)
        raise AssertionError("no model was asked")

    def _filled_in(self, text: str) -> str:
        for name, id_ in self.names.items():
            text = text.replace(f"{{{name}}}", id_)
        return text


@contextmanager
def leaver(folder: Path) -> Iterator[Leaver]:
    """Start a server whose models are all scripted ones."""
    with ModelServer() as models:
        names = {"EMBEDDING": "vectors", "CHAT": "chat", "RERANK": "ranks"}
        variables = {f"RAGFLOW_{kind}_MODEL": f"{name}@OpenAI" for kind, name in names.items()}
        with running_server(
            folder,
            BRIDGE,
            embedding_model="vectors@OpenAI",
            OPENAI_BASE_URL=models.url,
            OPENAI_API_KEY="key",
            **variables,
        ) as server:
            yield _prepared(Leaver(server, models, server.post("/v1/system/new_token", {})["beta"]))


def _prepared(leaver: Leaver) -> Leaver:
    leaver.names["dataset"] = leaver.server.dataset
    common = {"similarity_threshold": 0, "refine_multiturn": False}
    prompts = {"chat": {}, "ranked": {"rerank_model": "ranks@OpenAI"}, "helped": {"keyword": True}}
    for name, prompt in prompts.items():
        body = {"name": name, "dataset_ids": [leaver.server.dataset], "prompt": common | prompt}
        chat = leaver.server.post("/api/v1/chats", body)["id"]
        session = leaver.server.post(f"/api/v1/chats/{chat}/sessions", {})["id"]
        leaver.names |= {name: chat, "session" if name == "chat" else f"{name}_session": session}
    return leaver
