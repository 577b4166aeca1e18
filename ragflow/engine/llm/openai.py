"""Chat models of any provider with OpenAI's /chat/completions endpoint.

The `openai` client makes the request; the answer's lines are read here, because a typed object per token costs more
than everything else a token passes, and because the client does not tell whether a stream ended or was cut off.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from ragflow.engine.calls import call
from ragflow.engine.errors import ModelError
from ragflow.engine.http import (
    CONNECT_TIMEOUT,
    Endpoint,
    malformed,
    retry_delay,
    status_error,
    streaming_client,
    transport_error,
)
from ragflow.engine.llm.answer import AnswerReader
from ragflow.engine.types import Message, ModelEvent, Passage

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

# What an assistant's settings may pass on. Anything may be stored there; what is no generation option is left out.
OPTIONS = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty", "stop",
        "seed", "logit_bias", "response_format", "reasoning_effort", "user",
    }
)  # fmt: skip
# What the client library would tell of this machine in seven headers. Nobody asked.
_HOST_DETAILS = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
PATIENCE = 10.0  # seconds a person waits when the provider asks for it
DRAIN_TIMEOUT = 0.1  # seconds
LINE_LIMIT = 8 << 20  # bytes


class OpenAIChatModel:
    """`ChatModel` over HTTP.

    `first_token_timeout` covers everything until the first piece of the answer, attempts included;
    `silence_timeout` each pause after it. Both end in TIMEOUT. `extra_body` is what a provider wants in each request
    beside OpenAI's fields.
    """

    can_instruct = True

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        name: str,
        context_tokens: int = 8192,
        first_token_timeout: float = 120.0,
        silence_timeout: float = 60.0,
        patience: float = PATIENCE,
        extra_body: Mapping[str, Any] | None = None,
        guarded: bool = False,
    ) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self._model = model
        self._endpoint = Endpoint(base_url, api_key, guarded)
        self._patience = patience
        self._extra_body = dict(extra_body or {})
        self._first_token_timeout = first_token_timeout
        self._silence_timeout = silence_timeout
        self._asks_usage = True  # until the provider refuses the question

    async def stream(
        self, messages: Sequence[Message], *, options: Mapping[str, Any], passages: Sequence[Passage] = ()
    ) -> AsyncGenerator[ModelEvent, None]:
        with call("chat"):
            async with aclosing(self._answer(self._request(messages, options))) as events:
                async for event in events:
                    yield event

    async def _answer(self, request: dict[str, Any]) -> AsyncGenerator[ModelEvent, None]:
        now = asyncio.get_running_loop().time
        deadline = now() + self._first_token_timeout
        answer = AnswerReader(self._endpoint)
        async with (
            streaming_client(self._endpoint) as http,
            self._opened(http, request, deadline) as response,
        ):
            async with aclosing(_frames(self._endpoint, response)) as frames:
                while not answer.done and (frame := await self._next(frames, deadline)) is not None:
                    for event in answer.read(frame):
                        yield event
                        deadline = now() + self._silence_timeout
                await _drain(frames)
            for event in answer.finish():
                yield event

    def _request(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in options.items() if key in OPTIONS and value is not None}
        written = [
            {"role": message.role, "content": message.content.encode("utf-8", "replace").decode()}  # no lone surrogates
            for message in messages
        ]
        return {"model": self._model, "messages": written, "stream": True, **known, **self._extra_body}

    @asynccontextmanager
    async def _opened(
        self, http: httpx2.AsyncClient, request: dict[str, Any], deadline: float
    ) -> AsyncIterator[httpx2.Response]:
        response = await self._open(http, request, deadline)
        try:
            yield response
        finally:
            await response.aclose()  # this is also what ends the request upstream when the caller leaves early

    async def _open(self, http: httpx2.AsyncClient, request: dict[str, Any], deadline: float) -> httpx2.Response:
        """Return the response once its headers are there. Failed attempts are repeated: nothing was yielded yet."""
        attempts = count(1)
        try:
            async with asyncio.timeout_at(deadline):
                client = await self._client(http)
                while True:
                    try:
                        return await self._ask(client, request)
                    except ModelError as error:
                        delay = retry_delay(error, next(attempts), patience=self._patience)
                        if delay is None:
                            raise
                    await asyncio.sleep(delay)
        except TimeoutError:
            raise self._silent() from None

    async def _ask(self, client: AsyncOpenAI, request: dict[str, Any]) -> httpx2.Response:
        """Send the request with the question for usage, or without it to a provider that refuses that."""
        import openai

        if not self._asks_usage:
            return await self._send(client, request)
        try:
            return await self._send(client, {**request, "stream_options": {"include_usage": True}})
        except ModelError as error:
            if not isinstance(error.__cause__, openai.BadRequestError | openai.UnprocessableEntityError):
                raise
        response = await self._send(client, request)
        self._asks_usage = False
        return response

    async def _send(self, client: AsyncOpenAI, request: dict[str, Any]) -> httpx2.Response:
        """Send the request as it is: `extra_body` spares the client a typed walk over a long history (20 ms of CPU)."""
        import openai

        try:
            answer = await client.chat.completions.with_streaming_response.create(
                model=self._model,
                messages=[],
                stream=True,
                extra_body=request,
                extra_headers={f"X-Stainless-{detail}": openai.Omit() for detail in _HOST_DETAILS},
            ).__aenter__()
        except openai.APIStatusError as exc:
            raise status_error(self._endpoint, exc.status_code, exc.response.text, exc.response.headers) from exc
        except openai.APIConnectionError as exc:
            raise transport_error(self._endpoint, exc.__cause__ or exc) from exc
        response: httpx2.Response = answer.http_response
        return response

    async def _client(self, http: httpx2.AsyncClient) -> AsyncOpenAI:
        """Return an `openai` view of an HTTP client: the pool is kept, a view costs microseconds."""
        if "openai" not in sys.modules:
            await asyncio.to_thread(importlib.import_module, "openai")  # a second of work, off the event loop
        import httpx2
        import openai

        return openai.AsyncOpenAI(
            api_key=self._endpoint.api_key or "none",  # it insists on one; servers without keys ignore it
            base_url=self._endpoint.base_url,
            http_client=http,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),  # the deadlines here rule the rest
            max_retries=0,
        )

    async def _next(self, frames: AsyncGenerator[bytes, None], deadline: float) -> bytes | None:
        """Return the next frame, or None after the last one."""
        import httpx2

        try:
            async with asyncio.timeout_at(deadline):
                return await anext(frames, None)
        except TimeoutError:
            raise self._silent() from None
        except httpx2.HTTPError as exc:
            raise malformed(self._endpoint, "an answer that broke off") from exc

    def _silent(self) -> ModelError:
        return ModelError(f"The model {self.name} at {self._endpoint.host} fell silent.", code="TIMEOUT")


async def _drain(frames: AsyncGenerator[bytes, None]) -> None:
    """Read the end of the body, so that the connection can serve again, unless the provider keeps it open."""
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in frames:
                pass


async def _frames(endpoint: Endpoint, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yield the data of each frame of an SSE body. A provider that does not stream answers with one JSON body."""
    if "application/json" in response.headers.get("content-type", ""):
        yield await response.aread()
        return
    rest = b""
    async with aclosing(response.aiter_bytes()) as pieces:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()
            if len(rest) > LINE_LIMIT:
                raise malformed(endpoint, "a line without end")
    if rest.startswith(b"data:"):
        yield rest[5:].strip()
