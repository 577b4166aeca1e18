"""What tests of chats share: datasets with passages, assistants, a scripted model provider and an ASGI client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from apps.accounts import language_models
from apps.accounts.services.tokens import create_share_token, create_token
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from ragflow.engine.ids import chunk_id
from ragflow.engine.registry import HASHING, ModelSettings
from ragflow.engine.types import Chunk
from tests.tools.model_server import ModelServer

BRIDGE = "The red bridge of Ulm was built in 1903 by the engineer Clara Nord."
LIGHTHOUSE = "The lighthouse of Brest has been painted white since 1911."


@pytest.fixture
def fill() -> Callable[..., str]:
    """Return a function that gives a client's dataset passages, as a parsed document would."""

    def make(api: Any, *texts: str, name: str = "facts", document: str = "facts.txt") -> str:
        dataset = api.create_dataset(name)["id"]
        document_id = (dataset[::-1] + document)[:32]
        chunks = [
            Chunk(
                id=chunk_id(text, document_id),
                dataset_id=dataset,
                document_id=document_id,
                document_name=document,
                content=text,
                order=order,
            )
            for order, text in enumerate(texts)
        ]
        doc_store().upsert(chunks, language_models.embedder_for(HASHING, "").embed(texts))
        KnowledgeBase.objects.filter(pk=dataset).update(chunk_count=len(chunks))
        return dataset

    return make


@pytest.fixture
def dataset(api: Any, fill: Callable[..., str]) -> str:
    return fill(api, BRIDGE, LIGHTHOUSE)


@pytest.fixture
def create_chat(api: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that creates an assistant over the API."""

    def make(name: str = "assistant", client: Any = api, **body: Any) -> dict[str, Any]:
        answer = client.call("POST", "/api/v1/chats", {"name": name} | body)
        assert answer["code"] == 0, answer
        return answer["data"]

    return make


@pytest.fixture
def chat(create_chat: Callable[..., dict[str, Any]], dataset: str) -> str:
    """The id of an assistant that answers from `dataset`."""
    return create_chat(dataset_ids=[dataset])["id"]


@pytest.fixture
def new_session(api: Any) -> Callable[[str], str]:
    def make(chat: str, client: Any = api) -> str:
        return client.call("POST", f"/api/v1/chats/{chat}/sessions", {})["data"]["id"]

    return make


@pytest.fixture
def session(chat: str, new_session: Callable[[str], str]) -> str:
    return new_session(chat)


@pytest.fixture
def messages(api: Any) -> Callable[[str, str], list[dict[str, Any]]]:
    """Return a function that reads the messages of a session over the API."""

    def read(chat: str, session: str) -> list[dict[str, Any]]:
        return api.call("GET", f"/api/v1/chats/{chat}/sessions?id={session}")["data"][0]["messages"]

    return read


@pytest.fixture
def provider(settings: Any, engine: None) -> Iterator[ModelServer]:
    """A scripted provider whose chat model is the default one."""
    with ModelServer() as server:
        settings.MODELS = ModelSettings(
            api_key="key",
            base_url=server.url,
            chat_model="scripted@OpenAI",
            embedding_model=HASHING,
            speech_to_text_model="ears@OpenAI",
            text_to_speech_model="mouth@OpenAI",
        )
        language_models.registry.reset()
        yield server


# -- an ASGI client: streams arrive frame by frame, and the client can leave ---------------------------------------


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def frames(self) -> list[Any]:
        """The JSON of every frame; `[DONE]` stays text. Fails on anything that is no frame."""
        assert self.is_stream, self.body
        assert self.body.endswith(b"\n\n"), self.body
        return [_payload(frame) for frame in self.body[:-2].split(b"\n\n")]


def _payload(frame: bytes) -> Any:
    assert frame.startswith(b"data:"), frame
    data = frame.removeprefix(b"data:")
    return "[DONE]" if data == b"[DONE]" else orjson.loads(data)


class Call:
    """A request under way."""

    def __init__(self, path: str, body: Any, token: str | None, method: str, content_type: str) -> None:
        path, _, query = path.partition("?")
        headers = [(b"content-type", content_type.encode()), (b"host", b"127.0.0.1")]
        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        self._incoming.put_nowait({"type": "http.request", "body": content, "more_body": False})
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reply = Reply()

    async def run(self) -> None:
        from ragflow.asgi import http

        await http(self._scope, self._incoming.get, self.outgoing.put)  # type: ignore[arg-type]

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def begin(self) -> Reply:
        start = await self.outgoing.get()
        self.reply.status = start["status"]
        self.reply.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return self.reply

    async def more(self) -> bytes | None:
        """Return the next part of the body, None after the last."""
        message = await self.outgoing.get()
        self.reply.body += message.get("body", b"")
        return message["body"] if message.get("more_body") else None


class ASGI:
    """Talks to the application as a server would. `ask` for a whole answer, `calling` for one that is watched."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.content_type = "application/json"

    @asynccontextmanager
    async def calling(self, path: str, body: Any, method: str = "POST") -> AsyncIterator[Call]:
        call = Call(path, body, self.token, method, self.content_type)
        task = asyncio.create_task(call.run())
        try:
            yield call
        finally:
            call.leave()
            await asyncio.wait_for(task, 10)

    async def answer(self, path: str, body: Any, method: str = "POST") -> Reply:
        async with self.calling(path, body, method) as call:
            await call.begin()
            while await call.more() is not None:
                pass
            return call.reply

    def ask(self, path: str, body: Any, method: str = "POST") -> Reply:
        return asyncio.run(self.answer(path, body, method))


def token_of(api: Any) -> str:
    return api.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer ")


@pytest.fixture
def asgi(api: Any) -> ASGI:
    import ragflow.asgi  # noqa: F401 -- its import sets up logging: before the test, which may read the log

    return ASGI(token_of(api))


@pytest.fixture
def stranger(other: Any) -> ASGI:
    return ASGI(token_of(other))


def page_of(client: Any, **limits: Any) -> ASGI:
    """Return the client of a web page that carries a share token of the client's tenant."""
    token = create_token(tenant=client.tenant, **limits).token
    return ASGI(create_share_token(tenant=client.tenant, api_token=token).secret)


@pytest.fixture
def page(api: Any) -> ASGI:
    return page_of(api)


@pytest.fixture
def foreign_page(other: Any) -> ASGI:
    """A page of somebody else's tenant."""
    return page_of(other)
