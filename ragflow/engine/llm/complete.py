"""A whole answer at once, for callers that do not stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ragflow.engine.llm.base import ChatModel
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Message, Passage, ReasoningDelta, TextDelta, Usage


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    thoughts: str
    usage: Usage


async def complete(
    model: ChatModel,
    messages: Sequence[Message],
    *,
    options: Mapping[str, Any] | None = None,
    passages: Sequence[Passage] = (),
) -> Completion:
    """Return the model's answer. Usage is estimated when the provider reports none. Raises ModelError."""
    text: list[str] = []
    thoughts: list[str] = []
    usage: Usage | None = None
    async with aclosing(model.stream(messages, options=options or {}, passages=passages)) as events:
        async for event in events:
            match event:
                case TextDelta(piece):
                    text.append(piece)
                case ReasoningDelta(piece):
                    thoughts.append(piece)
                case Usage():
                    usage = event
    answer, thinking = "".join(text), "".join(thoughts)
    return Completion(answer, thinking, usage or estimate_usage(messages, thinking + answer))


def estimate_usage(messages: Sequence[Message], answer: str) -> Usage:
    """Return the cl100k_base token counts of a request and its answer."""
    return Usage(sum(count_tokens(message.content) for message in messages), count_tokens(answer))
