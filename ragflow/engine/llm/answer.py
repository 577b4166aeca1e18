"""Reads the frames of an OpenAI-compatible chat answer. Knows no network; see openai.py for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ragflow.engine.errors import ModelError
from ragflow.engine.http import Endpoint, malformed, reported_error
from ragflow.engine.types import ModelEvent, ReasoningDelta, TextDelta, Usage

DONE = b"[DONE]"
OPENING, CLOSING = "<think>", "</think>"


class AnswerReader:
    """Turns frames into events. Feed every frame to `read`, then call `finish` once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._thoughts = ThoughtSplitter()
        self._usage: Usage | None = None
        self._complete = False
        self.done = False  # the provider said that no frame follows

    def read(self, frame: bytes) -> Iterator[TextDelta | ReasoningDelta]:
        """Yield what one frame adds to the answer. Raises ModelError for a frame that is none."""
        if frame == DONE:
            self.done = True
            return
        try:
            yield from self._read_parsed(_parse(frame))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise malformed(self._endpoint, "a frame that is not one of a chat answer") from exc

    def finish(self) -> Iterator[ModelEvent]:
        """Yield what is left, usage last. Raises ModelError if the provider never said that the answer is complete."""
        yield from self._thoughts.flush()
        if not (self.done or self._complete):
            raise malformed(self._endpoint, "an answer that broke off")
        if self._usage:
            yield self._usage

    def _read_parsed(self, parsed: dict[str, Any]) -> Iterator[TextDelta | ReasoningDelta]:
        if parsed.get("error"):
            raise reported_error(self._endpoint, parsed)
        if usage := parsed.get("usage"):
            prompt, completion = (usage.get(key) or 0 for key in ("prompt_tokens", "completion_tokens"))
            self._usage = Usage(int(prompt), int(completion), estimated=False)
        for choice in parsed.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            if thought := _text(delta.get("reasoning_content") or delta.get("reasoning")):
                yield ReasoningDelta(thought)
            if text := _text(delta.get("content")):
                yield from self._thoughts.feed(text)
            self._end(choice.get("finish_reason"))

    def _end(self, reason: str | None) -> None:
        if reason == "content_filter":
            message = f"The model provider at {self._endpoint.host} withheld the answer: its content filter objected."
            raise ModelError(message, code="CONTENT_FILTERED")
        self._complete = self._complete or bool(reason)


class ThoughtSplitter:
    """Splits text with inline <think>...</think> into reasoning and answer; the tags may be cut anywhere.

    White space between the thoughts and the answer belongs to neither.
    """

    def __init__(self) -> None:
        self._pending = ""  # the end of the text so far, if a tag may begin there
        self._thinking = False
        self._trim = False  # the answer has not gone on yet after thoughts

    def feed(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        text = self._pending + text
        while True:
            before, tag, after = text.partition(CLOSING if self._thinking else OPENING)
            if not tag:
                break
            yield from self._emit(before)
            self._trim = self._thinking
            self._thinking = not self._thinking
            text = after
        self._pending = _started_tag(text, CLOSING if self._thinking else OPENING)
        yield from self._emit(text[: len(text) - len(self._pending)])

    def flush(self) -> Iterator[TextDelta | ReasoningDelta]:
        pending, self._pending = self._pending, ""
        yield from self._emit(pending)

    def _emit(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        if self._trim and not self._thinking:
            text = text.lstrip()
            self._trim = not text
        if text:
            yield ReasoningDelta(text) if self._thinking else TextDelta(text)


def _started_tag(text: str, tag: str) -> str:
    """Return the longest end of the text with which the tag may begin."""
    return next((tag[:size] for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), "")


def _parse(frame: bytes) -> dict[str, Any]:
    import orjson

    parsed = orjson.loads(frame)
    if not isinstance(parsed, dict):
        raise TypeError("not an object")
    return parsed


def _text(value: Any) -> str:
    if not isinstance(value, str | None):
        raise TypeError("not text")
    return value or ""
