"""What one turn of a conversation is made of, before anything was retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragflow.engine.generation.wording import DEFAULT_SYSTEM
from ragflow.engine.types import Message

KNOWLEDGE = "knowledge"
"""The parameter that stands for the retrieved text; where it is not declared, nothing is retrieved."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A variable that the system prompt declares."""

    key: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and everything an assistant brings to it."""

    question: str
    history: tuple[Message, ...] = ()  # user and assistant messages before the question, oldest first
    system: str = DEFAULT_SYSTEM
    parameters: tuple[Parameter, ...] = (Parameter(KNOWLEDGE),)
    values: Mapping[str, object] = field(default_factory=dict)  # of the parameters, by key
    attachments: str = ""  # text of files sent along; follows the system prompt
    has_sources: bool = True  # False: the model gets the system prompt as it stands, and nothing is retrieved
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of documents, by document id
    empty_response: str = ""  # the answer when nothing was found; empty: ask the model all the same
    options: Mapping[str, Any] = field(default_factory=dict)  # of the generation, by their OpenAI names
    quote: bool = True  # cite passages as [ID:n]
    insert_citations: bool = False  # when the model cites nothing, match sentences; changes Answer.text, not the deltas
    refine_multiturn: bool = True  # let the model make one question of the conversation, for the search
    keyword: bool = False  # let the model add keywords to the search
    cross_languages: tuple[str, ...] = ()  # let the model translate the search into these
    research: bool = False  # let the model search again for what is missing
