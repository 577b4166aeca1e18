"""What a model does for the search before it answers: make one question of a conversation, translate, name keywords.

All of it is help that a turn can do without: where the model fails, the text stays as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.turn import Turn
from ragflow.engine.generation.wording import KEYWORDS, REFINE, TRANSLATE
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import complete
from ragflow.engine.types import Message

logger = logging.getLogger(__name__)

MOST_KEYWORDS = 3
USER_MESSAGES = 3
"""How many user messages, the question included, a conversation is followed back."""

TRANSLATION_BREAK = "###"
OPTIONS = {"temperature": 0.2}


async def search_text(turn: Turn, model: ChatModel, *, today: date | None = None) -> str:
    """Return what to search for: the question as it is, or as the turn's options have it refined.

    A model that cannot follow instructions is not asked.
    """
    text = turn.question
    if not model.can_instruct or not text.strip():
        return text
    recent = _recent(turn.history)
    if turn.refine_multiturn and recent:
        text = await refine(model, recent, text, today=today or date.today())  # noqa: DTZ011 - the server's own day
    if turn.cross_languages:
        text = await translate(model, text, turn.cross_languages)
    if turn.keyword:
        keywords = await name_keywords(model, text)
        text = f"{text} {keywords}".strip()
    return text


async def refine(model: ChatModel, history: Sequence[Message], question: str, *, today: date) -> str:
    """Return the question so that it can be understood without the history."""
    conversation = "\n".join(f"{message.role}: {message.content}" for message in history)
    day = timedelta(days=1)
    rules = REFINE.format(today=today, yesterday=today - day, tomorrow=today + day)
    asked = f"Conversation:\n{conversation}\nuser: {question}\n\nThe last question, rewritten:"
    return await _ask(model, rules, asked) or question


async def translate(model: ChatModel, text: str, languages: Sequence[str]) -> str:
    """Return the text in these languages, one line each."""
    answer = await _ask(model, TRANSLATE.format(languages=", ".join(languages)), text)
    pieces = [piece.strip() for piece in answer.split(TRANSLATION_BREAK)]
    return "\n".join(piece for piece in pieces if piece) or text


async def name_keywords(model: ChatModel, text: str) -> str:
    """Return up to three keywords of the text, separated by commas; empty when there are none."""
    answer = await _ask(model, KEYWORDS.format(count=MOST_KEYWORDS), text)
    keywords = [keyword.strip() for keyword in answer.replace("，", ",").replace("、", ",").split(",")]
    return ", ".join([keyword for keyword in keywords if keyword][:MOST_KEYWORDS])


def _recent(history: Sequence[Message]) -> Sequence[Message]:
    """Return the history from the second last user message on, or nothing if no user spoke before."""
    users = [number for number, message in enumerate(history) if message.role == "user"]
    return history[users[-(USER_MESSAGES - 1) :][0] :] if users else ()


async def _ask(model: ChatModel, rules: str, text: str) -> str:
    try:
        completion = await complete(model, [Message("system", rules), Message("user", text)], options=OPTIONS)
    except ModelError as error:
        logger.warning("%s did not help with the search: %s", model.name, error)
        return ""
    return completion.text.strip()
