"""From a turn and its passages to the messages a model gets, fitted into its context window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragflow.engine.errors import MissingParameter
from ragflow.engine.generation.knowledge import knowledge
from ragflow.engine.generation.turn import KNOWLEDGE, Turn
from ragflow.engine.generation.wording import CITATION_RULES
from ragflow.engine.tokens import count_tokens, truncate_tokens
from ragflow.engine.types import Message, Passage

PLACEHOLDER = re.compile(r"\{\{([^{}\n]+)\}\}|\{([^{}\n]+)\}")
OLD_MARKER = re.compile(r" ?(?:##\d+\$\$|\[ID:\d+\])")

KNOWLEDGE_SHARE = 0.97
MESSAGES_SHARE = 0.95
"""Of the context window: what knowledge may take, and what all messages may take."""

USUAL_ANSWER = 1024
"""Tokens kept free for the answer, if the window has four times as many and the options name no length."""


@dataclass(frozen=True, slots=True)
class Prompt:
    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]  # those that the messages hold, in their numbering
    options: Mapping[str, Any]

    @property
    def diagnosis(self) -> str:
        """The system text and the query, as the contract's clients show them."""
        return f"{self.messages[0].content}\n\n### Query:\n{self.messages[-1].content}"


def system_text(turn: Turn, found: str) -> str:
    """Return the system prompt with every `{name}` replaced; `{{name}}` becomes a literal `{name}`.

    Raises MissingParameter for a required parameter without a value, and for a placeholder that nobody declared. Braces
    around anything but a name, as in JSON, are text.
    Knowledge that the prompt has no place for is appended.
    """
    values = {key: str(value) for key, value in turn.values.items() if value is not None}
    for parameter in turn.parameters:
        if parameter.key == KNOWLEDGE or parameter.key in values:
            continue
        if not parameter.optional:
            raise MissingParameter(parameter.key)
        values[parameter.key] = " "
    values[KNOWLEDGE] = found

    def value_of(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return f"{{{literal}}}"
        if name not in values and name.isidentifier():
            raise MissingParameter(name)
        return values.get(name, match.group())

    text = PLACEHOLDER.sub(value_of, turn.system)
    if found and f"{{{KNOWLEDGE}}}" not in turn.system:
        text = f"{text}\n\n{found}"
    return text


def compose(turn: Turn, passages: Sequence[Passage], context_tokens: int) -> Prompt:
    """Build the prompt of a turn with retrieval. Counts tokens: run it off the event loop."""
    reserve = _reserve(turn.options, context_tokens)
    rules = CITATION_RULES if turn.quote and passages else ""
    frame = count_tokens(_joined(system_text(turn, ""), turn.attachments, rules)) + count_tokens(turn.question)
    room = min(KNOWLEDGE_SHARE * context_tokens, MESSAGES_SHARE * context_tokens - reserve - frame)
    found = knowledge(passages, turn.metadata, limit=max(int(room), context_tokens // 8), template=turn.system)
    system = _joined(system_text(turn, found.text), turn.attachments, rules)
    return _fitted(system, turn, passages[: found.shown], context_tokens)


def compose_verbatim(turn: Turn, context_tokens: int) -> Prompt:
    """Build the prompt of a turn without sources: nothing is substituted. Counts tokens."""
    return _fitted(_joined(turn.system, turn.attachments), turn, (), context_tokens)


def fit(messages: Sequence[Message], *, wanted: int, limit: int) -> tuple[Message, ...]:
    """Shorten a conversation: a system message, turns, the question.

    Above `wanted` tokens the oldest turns go first. If system message and question alone are above `limit`, the system
    message is cut when it makes up more than 80 per cent of the two, else the question.
    """
    sizes = [count_tokens(message.content) for message in messages]
    first, kept = 1, sum(sizes)
    while first < len(messages) - 1 and (kept > wanted or messages[first].role != "user"):
        kept -= sizes[first]
        first += 1
    system, question = messages[0], messages[-1]
    total = sizes[0] + sizes[-1]
    if total > limit and sizes[0] > 0.8 * total:
        system = replace(system, content=truncate_tokens(system.content, max(limit - sizes[-1], 0)))
    elif total > limit:
        question = replace(question, content=truncate_tokens(question.content, max(limit - sizes[0], 0)))
    return (system, *messages[first:-1], question)


def _fitted(system: str, turn: Turn, passages: Sequence[Passage], context_tokens: int) -> Prompt:
    history = [replace(message, content=OLD_MARKER.sub("", message.content)) for message in turn.history]
    limit = int(MESSAGES_SHARE * context_tokens)
    messages = fit(
        [Message("system", system), *history, Message("user", turn.question)],
        wanted=limit - _reserve(turn.options, context_tokens),
        limit=limit,
    )
    options = dict(turn.options)
    if isinstance(wish := options.get("max_tokens"), int) and not isinstance(wish, bool):
        left = context_tokens - sum(count_tokens(message.content) for message in messages)
        options["max_tokens"] = max(1, min(wish, left))
    return Prompt(messages, tuple(passages), options)


def _reserve(options: Mapping[str, Any], context_tokens: int) -> int:
    wish = options.get("max_tokens")
    return min(wish if isinstance(wish, int) and wish > 0 else USUAL_ANSWER, context_tokens // 4)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part.strip())
