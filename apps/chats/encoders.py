"""From the events of a turn to what clients read: RAGFlow's frames, OpenAI's chunks, or one JSON answer of either.

Nothing here touches a database, a model or a request. Frames leave as bytes of server-sent events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from time import time
from typing import Any

from apps.chats.wire import passages_of_answer, reference_of_answer, reference_to_wire, with_key_hint, with_thoughts
from apps.core.errors import text_in_stream
from apps.core.sse import DONE, frame
from ragflow.engine.errors import EngineError, ModelError
from ragflow.engine.llm.complete import estimate_usage
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import (
    Answer,
    Delta,
    Event,
    Message,
    Retrieved,
    Thinking,
    ThinkingEnded,
    ThinkingStarted,
    Usage,
)

Events = AsyncGenerator[Event, None]


def error_text(exc: Exception) -> str:
    """Return what an answer says about a failure: the provider's kind of failure and a sentence, or a sentence."""
    if isinstance(exc, ModelError):
        return with_key_hint(f"{exc.code} - {exc}")
    return text_in_stream(exc)


async def answer_of(events: Events) -> Answer:
    """Let a turn run to its end and return its Answer."""
    answer: Answer | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Answer):
                answer = event
    assert answer is not None, "a turn without an error ends with an Answer"
    return answer


# -- RAGFlow -------------------------------------------------------------------------------------------------------


PLAIN: Mapping[str, Any] = {"code": 0}
WITH_MESSAGE: Mapping[str, Any] = {"code": 0, "message": ""}
"""What frames hold beside their data: those of some endpoints have a message."""


class RagflowCompletion:
    """Encodes one turn of a session. `quote` tells whether the answer carries its references."""

    def __init__(self, *, message_id: str, session_id: str, quote: bool, envelope: Mapping[str, Any] = PLAIN) -> None:
        self._ids = {"id": message_id, "session_id": session_id}
        self._quote = quote
        self._envelope = envelope

    async def answer(self, events: Events) -> dict[str, Any]:
        """Return the whole answer as JSON. A model provider's failure is an answer too; other errors are raised."""
        try:
            answer = await answer_of(events)
        except ModelError as error:
            return {**PLAIN, "data": self._failed(error_text(error))}
        if answer.from_rows:
            return {**PLAIN, "data": self._from_rows(answer)}
        data = {
            "answer": with_thoughts(answer.text, answer.thoughts),
            "reference": reference_of_answer(answer, quote=self._quote),
            "prompt": answer.prompt,
            "audio_binary": _hexadecimal(answer.audio),
            **self._ids,
        }
        return {**PLAIN, "data": data | ({"created_at": time()} if answer.grounded else {"final": True})}

    def _failed(self, text: str) -> dict[str, Any]:
        return {
            "answer": f"**ERROR**: {text}",
            "reference": {},
            "prompt": "",
            "created_at": time(),
            "audio_binary": None,
            **self._ids,
        }

    async def frames(self, events: Events) -> AsyncGenerator[bytes, None]:
        """Yield deltas, then a frame with the references, then the terminator; the engine's errors are frames too."""
        try:
            async with aclosing(events), aclosing(_without_echo(events)) as shown:
                solo = True  # until there was a search: the chat has no datasets
                async for event in shown:
                    match event:
                        case Retrieved():
                            solo = False
                        case Delta(text, audio):
                            yield self._delta(text, solo, audio_binary=_hexadecimal(audio))
                        case Thinking(text):
                            yield self._delta(text, solo)
                        case ThinkingStarted():
                            yield self._delta("", solo, start_to_think=True)
                        case ThinkingEnded():
                            yield self._delta("", solo, end_to_think=True)
                        case Answer(from_rows=True):
                            yield frame({**self._envelope, "data": self._from_rows(event)})
                        case Answer() if not solo and (event.text or event.thoughts):
                            yield self._final(event)
        except EngineError as error:
            for item in self.failure(error):
                yield item
            return
        yield _terminator(self._envelope)

    def failure(self, exc: Exception) -> list[bytes]:
        """Return the last frames of a stream that failed."""
        return ragflow_failure(exc, self._envelope)

    def _delta(self, text: str, solo: bool, **marks: Any) -> bytes:
        data: dict[str, Any] = {
            "answer": text,
            "reference": {"chunks": []},
            "audio_binary": None,
            "final": False,
            **marks,
            **self._ids,
        }
        if solo:  # there is no final frame then, so the deltas carry this
            data |= {"prompt": "", "created_at": time()}
        return frame({**self._envelope, "data": data})

    def _from_rows(self, answer: Answer) -> dict[str, Any]:
        reference = reference_of_answer(answer, quote=self._quote)
        return {"answer": answer.text, "reference": reference, "prompt": answer.prompt, **self._ids}

    def _final(self, answer: Answer) -> bytes:
        data = {
            "answer": "" if answer.grounded else answer.text,
            "reference": reference_of_answer(answer, quote=self._quote),
            "prompt": answer.prompt,
            "final": True,
            "audio_binary": _hexadecimal(answer.audio),
            **self._ids,
        }
        return frame({**self._envelope, "data": data | ({"created_at": time()} if answer.grounded else {})})


class Summary:
    """Encodes one turn that belongs to no session."""

    async def frames(self, events: Events) -> AsyncGenerator[bytes, None]:
        """Yield deltas, then a frame with the references, then the terminator; the engine's errors are frames too."""
        try:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case Delta(text) | Thinking(text):
                            yield self._frame(text)
                        case ThinkingStarted():
                            yield self._frame("", start_to_think=True)
                        case ThinkingEnded():
                            yield self._frame("", end_to_think=True)
                        case Answer():
                            yield self._frame("", reference=reference_to_wire(event.retrieval), final=True)
        except EngineError as error:
            for item in self.failure(error):
                yield item
            return
        yield _terminator(WITH_MESSAGE)

    def failure(self, exc: Exception) -> list[bytes]:
        """Return the last frames of a stream that failed."""
        return ragflow_failure(exc, WITH_MESSAGE)

    async def failed(self, exc: Exception) -> AsyncGenerator[bytes, None]:
        """Yield the frames of a stream that failed before it began."""
        for item in self.failure(exc):
            yield item

    def _frame(self, text: str, **more: Any) -> bytes:
        return frame({**WITH_MESSAGE, "data": {"answer": text, "reference": {}, "final": False, **more}})


def ragflow_failure(exc: Exception, envelope: Mapping[str, Any] = PLAIN) -> list[bytes]:
    """Return the last frames of a stream that failed."""
    text = error_text(exc)
    data = {"answer": f"**ERROR**: {text}", "reference": []}
    return [frame({"code": 500, "message": text, "data": data}), _terminator(envelope)]


def greeting(*, session_id: str, text: str) -> dict[str, Any]:
    """Return the data of a completion that only created a session."""
    return {"answer": text, "reference": {}, "audio_binary": None, "id": None, "session_id": session_id}


async def greeting_frames(data: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    yield frame({**WITH_MESSAGE, "data": data})
    yield _terminator(WITH_MESSAGE)


def _terminator(envelope: Mapping[str, Any]) -> bytes:
    return frame({**envelope, "data": True})


def _hexadecimal(audio: bytes) -> str | None:
    return audio.hex() or None


async def _without_echo(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """Leave out the delta of an answer that is not grounded, or was read from rows: its one frame carries the text.

    Only while nothing was found, or rows were, a delta is held back, until the next event tells.
    """
    may_echo = False
    held: Delta | None = None
    async for event in events:
        if held is not None:
            if not (isinstance(event, Answer) and (event.from_rows or not event.grounded)):
                yield held
            held = None
        if isinstance(event, Retrieved):
            may_echo = event.from_rows or not event.retrieval.passages
        if may_echo and isinstance(event, Delta):
            held, may_echo = event, False
        else:
            yield event


# -- OpenAI --------------------------------------------------------------------------------------------------------


class OpenAICompletion:
    """Encodes one turn in OpenAI's form. `reference` tells whether the client asked for the passages."""

    def __init__(
        self,
        *,
        completion_id: str,
        model: Any,
        streamed_model: Any,
        question: str,
        reference: bool,
        failure_is_answer: bool,
    ) -> None:
        self._id = f"chatcmpl-{completion_id}"
        self._created = int(time())
        self._model = model
        self._streamed_model = streamed_model
        self._question = question
        self._reference = reference
        self._failure_is_answer = failure_is_answer
        self._texts: list[str] = []
        self._thoughts: list[str] = []

    async def answer(self, events: Events) -> dict[str, Any]:
        """Return the whole completion. Errors are raised, except where a provider's failure counts as an answer."""
        try:
            answer = await answer_of(events)
        except ModelError as error:
            if not self._failure_is_answer:
                raise
            content = f"**ERROR**: {error_text(error)}"
            return self._completion(content, await asyncio.to_thread(self._usage_of, content), 0, [])
        reasoning_tokens = await asyncio.to_thread(count_tokens, answer.thoughts) if answer.thoughts else 0
        content = with_thoughts(answer.text, answer.thoughts)
        return self._completion(content, answer.usage, reasoning_tokens, passages_of_answer(answer))

    def _completion(
        self, content: str, usage: Usage, reasoning_tokens: int, chunks: list[dict[str, Any]]
    ) -> dict[str, Any]:
        message = {"role": "assistant", "content": content}
        details = {
            "reasoning_tokens": reasoning_tokens,
            "accepted_prediction_tokens": usage.completion_tokens,
            "rejected_prediction_tokens": 0,
        }
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "usage": {**_usage(usage), "completion_tokens_details": details},
            "choices": [
                {
                    "message": message | ({"reference": chunks} if self._reference else {}),
                    "logprobs": None,
                    "finish_reason": "stop",
                    "index": 0,
                }
            ],
        }

    async def frames(self, events: Events) -> AsyncGenerator[bytes, None]:
        """Yield chunks and the end mark. Errors are raised, except where a provider's failure counts as an answer."""
        try:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case Delta(text):
                            self._texts.append(text)
                            yield self._chunk({"content": text, "reasoning_content": None})
                        case Thinking(text):
                            self._thoughts.append(text)
                            yield self._chunk({"content": None, "reasoning_content": text})
                        case Answer():
                            yield self._last(event.usage, passages_of_answer(event))
        except ModelError as error:
            if not self._failure_is_answer:
                raise
            for item in self.failure(error):
                yield item
            return
        yield DONE

    def _last(self, usage: Usage, chunks: list[dict[str, Any]]) -> bytes:
        delta: dict[str, Any] = {"content": None, "reasoning_content": None}
        if self._reference:
            delta |= {"reference": chunks, "final_content": "".join(self._texts)}
        return self._chunk(delta, finish_reason="stop", usage=_usage(usage))

    def failure(self, exc: Exception) -> list[bytes]:
        """Return the last frames of a stream that failed; no provider tells what such an answer cost."""
        error = self._chunk({"content": f"**ERROR**: {error_text(exc)}", "reasoning_content": None})
        return [error, self._last(self._usage_of("".join([*self._thoughts, *self._texts])), []), DONE]

    def _usage_of(self, content: str) -> Usage:
        return estimate_usage([Message("user", self._question)], content)

    def _chunk(
        self, delta: dict[str, Any], *, finish_reason: str | None = None, usage: dict[str, int] | None = None
    ) -> bytes:
        delta = {"role": "assistant", "function_call": None, "tool_calls": None, **delta}
        return frame(
            {
                "id": self._id,
                "choices": [{"delta": delta, "finish_reason": finish_reason, "index": 0, "logprobs": None}],
                "created": self._created,
                "model": self._streamed_model,
                "object": "chat.completion.chunk",
                "system_fingerprint": "",
                "usage": usage,
            }
        )


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
