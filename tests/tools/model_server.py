"""A scripted model provider on loopback: OpenAI's endpoints, /rerank and a web search, with faults on demand.

In a test:

    with ModelServer() as server:
        server.script(Reply(text="Hello"), Reply(status=429, headers={"Retry-After": "0"}))
        ...                         # talk to server.url
        server.exchanges[-1].body   # what was asked

Alone, for load tests, scripted over HTTP (POST /script with a list of replies, GET /exchanges, POST /reset):

    python -m tests.tools.model_server --port 0 --tokens 200 --interval 0.02

Plain asyncio, one thread: hundreds of streams at once are no trouble.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

Endpoint = Literal["", "chat", "embeddings", "rerank", "transcription", "speech", "web"]
ENDPOINTS: dict[str, Endpoint] = {
    "/chat/completions": "chat",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
    "/audio/transcriptions": "transcription",
    "/audio/speech": "speech",
    "/search": "web",
}


@dataclass
class Reply:
    """How the server answers one request. The defaults are those of a healthy provider."""

    endpoint: Endpoint = ""  # only for requests of this kind; "": of any
    status: int = 200  # other than 200: an error body with `message`
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted failure"
    error_code: str = ""  # the provider's own word, for example insufficient_quota
    raw: str | None = None  # send this body, whatever was asked

    text: str | None = None  # of a chat answer; None: numbered words
    pieces: list[str] | None = None  # the deltas one by one, instead of `text`
    reasoning: str = ""
    reasoning_key: str = "reasoning_content"
    usage: bool = True
    finish_reason: str | None = "stop"
    done: bool = True  # send [DONE]
    linger: bool = False  # keep the connection open after the end
    frames: list[str] | None = None  # the data of each SSE frame, instead of everything above
    first_delay: float = 0.0  # seconds before the headers
    delay_after_headers: float = 0.0
    interval: float = 0.0  # seconds between deltas
    hang_after: int | None = None  # fall silent after this many deltas; -1: before the headers
    cut_after: int | None = None  # close the connection after this many deltas
    refuse_stream_options: bool = False

    dimension: int | None = None  # of embeddings; None: the server's
    shuffled: bool = False  # answer with embeddings or rerank results in another order
    base64: bool = False
    count: int | None = None  # how many embeddings or results to send; None: as many as texts
    scores: list[float] | None = None  # of a rerank
    pages: list[dict[str, Any]] | None = None  # results of a web search; None: nothing found


@dataclass
class Exchange:
    """One request, and how it ended."""

    path: str
    headers: dict[str, str]
    body: Any
    started: float
    sent: int = 0  # deltas
    tokens: int = 0  # that the answer said it took
    client_left_after: float | None = None  # seconds; None: the client stayed to the end
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def to_json(self) -> dict[str, Any]:
        kept = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "ended"}
        return {**kept, "ended": self.ended.is_set()}


class ClientLeft(Exception):
    pass


class ModelServer:
    """Serves in a thread between `__enter__` and `__exit__`; `url` is the base URL to configure."""

    def __init__(self, *, port: int = 0, tokens: int = 8, interval: float = 0.0, dimension: int = 64) -> None:
        self.port = port
        self.tokens = tokens
        self.interval = interval
        self.dimension = dimension
        self.exchanges: list[Exchange] = []
        self.connections = 0  # accepted so far
        self._script: list[Reply] = []
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *replies: Reply) -> None:
        """Queue replies. Each request takes the first one meant for it; without one the answer is a healthy one."""
        self._script.extend(replies)

    @property
    def scripted(self) -> int:
        """How many replies wait for their request."""
        return len(self._script)

    def reset(self) -> None:
        self._script.clear()
        self.exchanges.clear()

    def wait_for_exchange(self, number: int = 1, timeout: float = 10.0) -> Exchange:
        """Return the n-th request as soon as it is there."""
        deadline = time.monotonic() + timeout
        while len(self.exchanges) < number:
            assert time.monotonic() < deadline, f"request {number} did not come"
            time.sleep(0.005)
        return self.exchanges[number - 1]

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=asyncio.run, args=(self.serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the model server did not start"
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read_request(reader):
                await self._answer(request, _Wire(reader, writer))
        except (ClientLeft, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    # -- answers ---------------------------------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange, wire: _Wire) -> None:
        if control := self._control(exchange):
            await wire.send_json(200, control)
            return
        self.exchanges.append(exchange)
        endpoint = next((kind for path, kind in ENDPOINTS.items() if exchange.path.endswith(path)), "")
        try:
            await self._reply(endpoint, exchange, wire)
        except ClientLeft:
            exchange.client_left_after = time.monotonic() - exchange.started
            raise
        finally:
            exchange.ended.set()

    def _control(self, exchange: Exchange) -> dict[str, Any] | None:
        match exchange.path:
            case "/script":
                self.script(*(Reply(**reply) for reply in exchange.body))
                return {"queued": len(self._script)}
            case "/exchanges":
                return {"exchanges": [other.to_json() for other in self.exchanges], "connections": self.connections}
            case "/reset":
                self.reset()
                return {"reset": True}
            case "/v1/models":
                return {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
        return None

    def _next_reply(self, endpoint: Endpoint) -> Reply:
        for reply in self._script:
            if reply.endpoint in ("", endpoint):
                self._script.remove(reply)
                return reply
        return Reply(interval=self.interval)

    async def _reply(self, endpoint: Endpoint, exchange: Exchange, wire: _Wire) -> None:
        reply = self._next_reply(endpoint)
        await wire.pause(reply.first_delay)
        if reply.hang_after == -1:
            await wire.pause(float("inf"))
        if reply.refuse_stream_options and "stream_options" in exchange.body:
            error = {"message": "Unrecognized request argument supplied: stream_options"}
            return await wire.send_json(400, {"error": error}, reply.headers)
        if reply.status != 200:
            error = {"message": reply.message, "code": reply.error_code or None}
            return await wire.send_json(reply.status, {"error": error}, reply.headers)
        if reply.raw is not None:
            return await wire.send(200, reply.raw.encode(), {"Content-Type": "application/json", **reply.headers})
        match endpoint:
            case "chat" if exchange.body.get("stream"):
                await self._stream(reply, exchange, wire)
            case "chat":
                await wire.send_json(200, self._whole_answer(reply, exchange.body))
            case "embeddings":
                answer = self._embeddings(reply, exchange.body)
                exchange.tokens = answer.get("usage", {}).get("total_tokens", 0)
                await wire.send_json(200, answer)
            case "rerank":
                await wire.send_json(200, _rerank(reply, exchange.body))
            case "transcription" if reply.frames is not None:
                await self._stream(reply, exchange, wire)
            case "transcription":
                await wire.send_json(200, {"text": reply.text or "heard"})
            case "web":
                await wire.send_json(200, {"results": reply.pages or []})
            case "speech":
                await self._speak(reply, exchange, wire)
            case _:
                await wire.send_json(404, {"error": {"message": f"There is nothing at {exchange.path}."}})
        return None

    async def _stream(self, reply: Reply, exchange: Exchange, wire: _Wire) -> None:
        await wire.begin({"Content-Type": "text/event-stream", **reply.headers})
        await wire.pause(reply.delay_after_headers)
        for frame in self._frames(reply, exchange):
            if reply.hang_after == exchange.sent:
                await wire.pause(float("inf"))
            if reply.cut_after == exchange.sent:
                raise OSError("cut")
            await wire.write(f"data: {frame}\n\n".encode())
            exchange.sent += 1
            await wire.pause(reply.interval)
        if reply.linger:
            await wire.pause(float("inf"))
        await wire.end()

    async def _speak(self, reply: Reply, exchange: Exchange, wire: _Wire) -> None:
        """Send the words of the text as if they were audio, one block each."""
        await wire.begin({"Content-Type": "audio/mpeg", **reply.headers})
        for word in exchange.body["input"].split():
            if reply.hang_after == exchange.sent:
                await wire.pause(float("inf"))
            if reply.cut_after == exchange.sent:
                raise OSError("cut")
            await wire.write(f"<{word}>".encode())
            exchange.sent += 1
            await wire.pause(reply.interval)
        await wire.end()

    def _frames(self, reply: Reply, exchange: Exchange) -> Iterator[str]:
        if reply.frames is not None:
            yield from reply.frames
            return
        if reply.reasoning:
            yield _chunk({reply.reasoning_key: reply.reasoning})
        for piece in self._pieces(reply):
            yield _chunk({"content": piece})
        yield _chunk({}, reply.finish_reason)
        if reply.usage and (exchange.body.get("stream_options") or {}).get("include_usage"):
            usage = self._usage(reply, exchange.body)
            exchange.tokens = usage["total_tokens"]
            yield json.dumps({"choices": [], "usage": usage})
        if reply.done:
            yield "[DONE]"

    def _pieces(self, reply: Reply) -> list[str]:
        if reply.pieces is not None:
            return reply.pieces
        if reply.text is not None:
            return re.findall(r"\S+\s*|\s+", reply.text)
        return [f"token{number} " for number in range(self.tokens)]

    def _usage(self, reply: Reply, body: dict[str, Any]) -> dict[str, int]:
        prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
        completion = len(self._pieces(reply))
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _whole_answer(self, reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self._pieces(reply))}
        if reply.reasoning:
            message[reply.reasoning_key] = reply.reasoning
        choices = [{"index": 0, "message": message, "finish_reason": reply.finish_reason}]
        return {"object": "chat.completion", "choices": choices, "usage": self._usage(reply, body)}

    def _embeddings(self, reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
        import base64
        import struct

        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data: list[dict[str, Any]] = []
        for index, text in enumerate(texts[: reply.count]):
            vector: Any = embed_words(text, reply.dimension or self.dimension)
            if reply.base64:
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        tokens = sum(len(text.split()) for text in texts)
        usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if reply.usage else {}
        return {"object": "list", "data": data[::-1] if reply.shuffled else data, **usage}


def _rerank(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    scores = reply.scores or [shared_words(body["query"], text) for text in body["documents"]]
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)][: reply.count]
    return {"results": sorted(results, key=lambda result: -result["relevance_score"]) if reply.shuffled else results}


def embed_words(text: str, dimension: int) -> list[float]:
    """Return a vector that is closer for texts with more words in common (not of unit length, as with some models)."""
    vector = [0.0] * dimension
    for word in text.lower().split():
        digest = zlib.crc32(word.encode())
        vector[digest % dimension] += 1.0 if digest & 0x10000 else -1.0
    return vector


def shared_words(query: str, text: str) -> float:
    wanted = set(query.lower().split())
    return len(wanted & set(text.lower().split())) / max(1, len(wanted))


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice]}, ensure_ascii=False)


# -- HTTP ----------------------------------------------------------------------------------------------------------


async def _read_request(reader: asyncio.StreamReader) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    body: Any = content.decode("latin-1")
    if not headers.get("content-type", "").startswith("multipart/"):
        body = json.loads(content) if content else {}
    return Exchange(request_line.split()[1], headers, body, started=time.monotonic())


class _Wire:
    """Writes one response and notices at once when the client goes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def pause(self, seconds: float) -> None:
        """Wait, or raise ClientLeft as soon as the client closes the connection."""
        self._check()
        if not seconds:
            return
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.02))
            self._check()

    def _check(self) -> None:
        if self._reader.at_eof() or self._writer.is_closing():
            raise ClientLeft

    async def send_json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        await self.send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    async def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._writer.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)
        await self._writer.drain()

    async def begin(self, headers: dict[str, str]) -> None:
        self._writer.write(_head(200, {**headers, "Transfer-Encoding": "chunked"}))
        await self._writer.drain()

    async def write(self, content: bytes) -> None:
        self._check()
        self._writer.write(b"%x\r\n%b\r\n" % (len(content), content))
        await self._writer.drain()

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=200, help="deltas of an unscripted answer")
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between them")
    parser.add_argument("--dimension", type=int, default=64, help="of embeddings")
    options = parser.parse_args()
    with ModelServer(**vars(options)) as server, suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
