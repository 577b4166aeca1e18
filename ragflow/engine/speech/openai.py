"""Speech models of any provider with OpenAI's /audio/transcriptions and /audio/speech endpoints.

The `openai` client makes the requests. What flows back is read here: providers differ in whether they stream.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ragflow.engine.calls import call
from ragflow.engine.http import (
    CONNECT_TIMEOUT,
    Endpoint,
    async_client,
    malformed,
    reported_error,
    retried,
    status_error,
    transport_error,
)
from ragflow.engine.speech.base import Audio

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncAPIResponse, AsyncOpenAI

    Opening = AbstractAsyncContextManager[AsyncAPIResponse[Any]]

PATIENCE = 5.0  # seconds a person waits when the provider asks for it
# What the client library would tell of this machine in seven headers. Nobody asked.
_HOST_DETAILS = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
DEFAULT_VOICE = "alloy"  # the one that OpenAI names first; compatible servers know it too


class OpenAISpeechToText:
    """`SpeechToText` over HTTP. Providers that cannot stream a transcript answer with all of it."""

    def __init__(
        self, model: str, base_url: str, api_key: str, *, name: str, timeout: float = 120.0, guarded: bool = False
    ) -> None:
        self.name = name
        self._model = model
        self._endpoint = Endpoint(base_url, api_key, guarded)
        self._timeout = timeout

    async def transcribe(self, audio: Audio) -> AsyncGenerator[str, None]:
        def ask(client: AsyncOpenAI) -> Opening:
            return client.audio.transcriptions.with_streaming_response.create(
                file=(audio.name, audio.content), model=self._model, response_format="json", stream=True
            )

        async with _answer(self._endpoint, ask, self._timeout) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                async with aclosing(self._deltas(response)) as pieces:
                    async for piece in pieces:
                        yield piece
            else:
                yield self._text_of(_parsed(self._endpoint, await response.aread()), "text")

    async def _deltas(self, response: httpx2.Response) -> AsyncGenerator[str, None]:
        """Yield the pieces of a streamed transcript, or the whole of it where only that comes."""
        begun = False
        async for line in response.aiter_lines():
            data = line.removeprefix("data:").strip()
            if not line.startswith("data:") or data == "[DONE]":
                continue
            event = _parsed(self._endpoint, data.encode())
            match event.get("type"):
                case "transcript.text.delta":
                    begun = True
                    yield self._text_of(event, "delta")
                case "transcript.text.done":
                    if not begun:
                        yield self._text_of(event, "text")
                    return
        raise malformed(self._endpoint, "a transcript that broke off")

    def _text_of(self, answer: Mapping[str, Any], key: str) -> str:
        text = answer.get(key)
        if not isinstance(text, str):
            raise malformed(self._endpoint, "something that is not a transcript")
        return text


class OpenAITextToSpeech:
    """`TextToSpeech` over HTTP."""

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        name: str,
        voice: str = "",
        timeout: float = 60.0,
        guarded: bool = False,
    ) -> None:
        self.name = name
        self._model = model
        self._voice = voice or DEFAULT_VOICE
        self._endpoint = Endpoint(base_url, api_key, guarded)
        self._timeout = timeout

    async def speak(self, text: str) -> AsyncGenerator[bytes, None]:
        def ask(client: AsyncOpenAI) -> Opening:
            return client.audio.speech.with_streaming_response.create(
                input=text, model=self._model, voice=self._voice, response_format="mp3"
            )

        async with _answer(self._endpoint, ask, self._timeout) as response:
            if response.headers.get("content-type", "").startswith("application/json"):
                _parsed(self._endpoint, await response.aread())
                raise malformed(self._endpoint, "JSON in place of audio")
            async with aclosing(response.aiter_bytes()) as blocks:
                async for block in blocks:
                    yield block


@asynccontextmanager
async def _answer(
    endpoint: Endpoint, ask: Callable[[AsyncOpenAI], Opening], silence: float
) -> AsyncIterator[httpx2.Response]:
    """Open the answer to a request, whose body is read by the caller and closed at the end.

    Failed attempts are repeated until its headers are there. Raises ModelError, also for what breaks off later.
    """
    import httpx2

    if "openai" not in sys.modules:
        await asyncio.to_thread(importlib.import_module, "openai")  # a second of work, off the event loop
    import openai

    unsaid: dict[str, Any] = {f"X-Stainless-{detail}": openai.Omit() for detail in _HOST_DETAILS}

    async def attempt() -> httpx2.Response:
        client = openai.AsyncOpenAI(
            api_key=endpoint.api_key or "none",  # it insists on one; servers without keys ignore it
            base_url=endpoint.base_url,
            http_client=await async_client(endpoint),
            timeout=httpx2.Timeout(silence, connect=CONNECT_TIMEOUT),
            default_headers=unsaid,
            max_retries=0,
        )
        try:
            response: httpx2.Response = (await ask(client).__aenter__()).http_response
        except openai.APIStatusError as exc:
            raise status_error(endpoint, exc.status_code, exc.response.text, exc.response.headers) from exc
        except openai.APIConnectionError as exc:
            raise transport_error(endpoint, exc.__cause__ or exc) from exc
        return response

    with call("speech"):
        response = await retried(attempt, patience=PATIENCE)
        try:
            yield response
        except httpx2.TimeoutException as exc:
            raise transport_error(endpoint, exc) from exc
        except httpx2.HTTPError as exc:
            raise malformed(endpoint, "an answer that broke off") from exc
        finally:
            await response.aclose()


def _parsed(endpoint: Endpoint, content: bytes) -> dict[str, Any]:
    import orjson

    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise malformed(endpoint, "text that is not JSON") from exc
    if not isinstance(answer, dict):
        raise malformed(endpoint, "something that is not an object")
    if answer.get("error"):
        raise reported_error(endpoint, answer)
    return answer
