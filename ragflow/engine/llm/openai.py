"""Chat models of any provider with OpenAI's /chat/completions endpoint."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragflow.engine.calls import Spent, call, spend
from ragflow.engine.errors import ModelError
from ragflow.engine.http import Endpoint, retried
from ragflow.engine.llm.answer import AnswerReader
from ragflow.engine.llm.complete import estimate_usage
from ragflow.engine.types import Message, ModelEvent, Passage, Usage

if TYPE_CHECKING:
    from ragflow.engine.http_stream import EventBody

PATH = "chat/completions"
# What an assistant's settings may pass on. Anything may be stored there; what is no generation option is left out.
OPTIONS = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty", "stop",
        "seed", "logit_bias", "response_format", "reasoning_effort", "user",
    }
)  # fmt: skip
PATIENCE = 10.0  # seconds a person waits when the provider asks for it
REFUSALS = (400, 422)  # statuses for a request with a field that the provider does not know


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
        account: str = "",
    ) -> None:
        self.name = name
        self._account = account
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
        now = asyncio.get_running_loop().time
        deadline = now() + self._first_token_timeout
        answer = AnswerReader(self._endpoint)
        said: list[str] = []
        usage: Usage | None = None
        with call("chat"):
            body = await self._open(self._request(messages, options), deadline)
            try:
                while not answer.done and (frame := await self._next(body, deadline)) is not None:
                    for event in answer.read(frame):
                        said.append(event.text)
                        yield event
                        deadline = now() + self._silence_timeout
            except BaseException:  # the caller left, too
                body.close()
                raise
            body.end()
            for last in answer.finish():
                if isinstance(last, Usage):
                    usage = last
                else:
                    said.append(last.text)
                    yield last
        if usage is None:
            usage = await asyncio.to_thread(estimate_usage, messages, "".join(said))
        spend(Spent("chat", self.name, self._account, usage))
        yield usage

    def _request(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in options.items() if key in OPTIONS and value is not None}
        written = [
            {"role": message.role, "content": message.content.encode("utf-8", "replace").decode()}  # no lone surrogates
            for message in messages
        ]
        return {"model": self._model, "messages": written, "stream": True, **known, **self._extra_body}

    async def _open(self, request: dict[str, Any], deadline: float) -> EventBody:
        """Return the answer once its headers are there. Failed attempts are repeated: nothing was yielded yet."""
        try:
            async with asyncio.timeout_at(deadline):
                if "ragflow.engine.http_stream" not in sys.modules:  # a third of a second of work, off the event loop
                    await asyncio.to_thread(importlib.import_module, "ragflow.engine.http_stream")
                return await retried(lambda: self._ask(request), patience=self._patience)
        except TimeoutError:
            raise self._silent() from None

    async def _ask(self, request: dict[str, Any]) -> EventBody:
        """Send the request with the question for usage, or without it to a provider that refuses that."""
        from ragflow.engine.http_stream import post

        if not self._asks_usage:
            return await post(self._endpoint, PATH, request)
        try:
            return await post(self._endpoint, PATH, {**request, "stream_options": {"include_usage": True}})
        except ModelError as error:
            if error.status not in REFUSALS:
                raise
        body = await post(self._endpoint, PATH, request)
        self._asks_usage = False
        return body

    async def _next(self, body: EventBody, deadline: float) -> bytes | None:
        """Return the next frame, or None after the last one."""
        try:
            async with asyncio.timeout_at(deadline):
                return await body.next()
        except TimeoutError:
            raise self._silent() from None

    def _silent(self) -> ModelError:
        return ModelError(f"The model {self.name} at {self._endpoint.host} fell silent.", code="TIMEOUT")
