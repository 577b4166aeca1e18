"""Opening a turn of a conversation: all reads and checks, before `answering` lets the engine speak.

No database connection is held once a turn is open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from apps.accounts import language_models
from apps.accounts.langfuse import Langfuse
from apps.accounts.selectors import langfuse_of
from apps.chats import schemas, selectors, services
from apps.chats.errors import UnknownModel
from apps.chats.filters import read_filter
from apps.chats.models import Assistant, Session
from apps.chats.prompt_config import languages_of, parameters_of
from apps.chats.questions import (
    Asked,
    check_openai_messages,
    check_question,
    further_datasets,
    metadata_condition,
    openai_extra,
    read_completion,
    read_openai,
)
from apps.chats.search import Search, for_research, search_of, web_search
from apps.chats.search_config import WEB_SEARCH_KEY
from apps.core.errors import BadValue, LookupFailed, NotFound
from apps.core.principal import Principal
from apps.core.wire_profile import profile
from apps.datasets.models import KnowledgeBase
from apps.documents.metadata.condition import Condition
from ragflow.engine.errors import ModelError
from ragflow.engine.generation.turn import Turn
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.retrieval.web import WebSearch
from ragflow.engine.speech.base import TextToSpeech
from ragflow.engine.types import Message

logger = logging.getLogger(__name__)

HISTORY_MESSAGES = 50
"""How far back a conversation is read. More would rarely fit into a context window."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a completion without a session answers: a new session's opener."""

    session_id: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that only needs the engine now. Without a session nothing of it is kept."""

    turn: Turn
    model: ChatModel
    search: Search | None
    dataset_ids: Sequence[str] = ()  # where it searches
    web: WebSearch | None = None
    voice: TextToSpeech | None = None
    streams: bool = True  # the answer is read while it is made
    session_id: str = ""
    chat_id: str = ""
    langfuse: Langfuse | None = None  # where the turn is reported to
    reads_tables: bool = False  # spreadsheets are asked by SQL first
    message_id: UUID = field(default_factory=uuid4)


def open_turn(principal: Principal, chat_id: str, body: Mapping[str, Any]) -> OpenTurn | Greeting:
    """Read and check everything for a completion. Without a session, create one and only greet.

    Raises NotFound, DataError and BadValue; the order of the checks is part of the contract.
    """
    assistant = _assistant(principal, chat_id)
    return _continue(principal, assistant, _session(principal, assistant, body.get("session_id")), body)


def open_embedded_turn(principal: Principal, chat_id: str, body: Mapping[str, Any]) -> OpenTurn | Greeting:
    """The same for a completion on a page that embeds the assistant. Citations have to be asked for there."""
    assistant = selectors.assistant_of(principal, chat_id)
    if assistant is None:
        raise LookupFailed("Dialog not found", AssertionError)
    check_question(body)
    session_id = body.get("session_id")
    sessions = selectors.sessions_of(principal, assistant)
    session = sessions.filter(pk=str(session_id)).first() if session_id else None
    if session_id and session is None:
        raise LookupFailed("Session not found!", AssertionError)
    further = further_datasets(body)
    _check_known(further, selectors.askable_datasets(principal, further, of_own_tenant=True))
    return _continue(principal, assistant, session, {"quote": False, **body}, is_embedded=True)


def _continue(
    principal: Principal,
    assistant: Assistant,
    session: Session | None,
    body: Mapping[str, Any],
    *,
    is_embedded: bool = False,
) -> OpenTurn | Greeting:
    asks = session is not None and bool(body.get("question"))
    condition = metadata_condition(body.get("metadata_condition"), applies=asks)
    if session is None:
        return _greet(assistant, body, is_embedded=is_embedded)
    messages = selectors.recent_messages(session, HISTORY_MESSAGES)
    history = [Message("user" if role == "user" else "assistant", content) for role, content in messages]
    return _open(principal, assistant, read_completion(body, history), condition, session_id=session.pk)


def open_openai_turn(principal: Principal, chat_id: str, body: Mapping[str, Any]) -> OpenTurn:
    """The same for a completion in OpenAI's form, whose history is the messages sent along."""
    return _open_openai(principal, body, lambda: _assistant(principal, chat_id))


def open_model_turn(principal: Principal, body: Mapping[str, Any]) -> OpenTurn:
    """The same for an assistant that the body's `model` names. Raises UnknownModel too."""
    return _open_openai(principal, body, lambda: _model(principal, body["model"]))


def _open_openai(principal: Principal, body: Mapping[str, Any], find: Callable[[], Assistant]) -> OpenTurn:
    sent = openai_extra(body, "metadata_condition")
    check_openai_messages(body["messages"])
    assistant = find()
    opened = _open(principal, assistant, read_openai(body), metadata_condition(sent))
    return replace(opened, voice=None)  # OpenAI's form has no place for audio


def _model(principal: Principal, model: Any) -> Assistant:
    assistant = selectors.assistant_called(principal, model) if isinstance(model, str) else None
    if assistant is None:
        raise UnknownModel(model)
    return assistant


def _assistant(principal: Principal, chat_id: str) -> Assistant:
    assistant = selectors.assistant_of(principal, chat_id)
    if assistant is None:
        raise NotFound(f"You don't own the chat {chat_id}")
    return assistant


def _session(principal: Principal, assistant: Assistant, session_id: Any) -> Session | None:
    """Return the session that a completion continues, None if it names none."""
    if not session_id:
        return None
    session = selectors.sessions_of(principal, assistant).filter(pk=str(session_id)).first()
    if session is None:
        raise NotFound(f"You don't own the session {session_id}")
    return session


def _greet(assistant: Assistant, body: Mapping[str, Any], *, is_embedded: bool) -> Greeting:
    if "name" in body and not body["name"]:
        sentence = "`name` can not be empty."
        raise BadValue(sentence, reference=repr(AssertionError(sentence)))
    session = services.create_session(
        assistant=assistant, data=schemas.session(body), greeted_at=timezone.now(), is_embedded=is_embedded
    )
    return Greeting(session.pk, services.opener_of(assistant))


def _open(
    principal: Principal, assistant: Assistant, asked: Asked, condition: Condition | None, *, session_id: str = ""
) -> OpenTurn:
    model = language_models.chat_model_for(assistant.tenant, assistant.chat_model)
    datasets = _datasets(principal, assistant, asked.dataset_ids)
    # In the reference a condition takes the place of the documents that were named; else both hold.
    document_ids = None if condition and profile().metadata_quirks else asked.document_ids
    chosen = read_filter(assistant.metadata_filter, model, sent=condition)
    prompt = assistant.prompt_config
    web = web_search(prompt.get(WEB_SEARCH_KEY))
    search = search_of(assistant, datasets, document_ids, chosen) if datasets else None
    turn = _turn(assistant, asked, prompt, search, has_sources=bool(datasets or web))
    if search and turn.research:
        search = for_research(search)
    return OpenTurn(
        turn=turn,
        model=model,
        search=search,
        dataset_ids=[dataset.pk for dataset in datasets],
        web=web,
        voice=_voice(assistant),
        streams=asked.streams,
        session_id=session_id,
        chat_id=assistant.pk,
        langfuse=langfuse_of(assistant.tenant),
        reads_tables=True,
    )


def _turn(
    assistant: Assistant, asked: Asked, prompt: Mapping[str, Any], search: Search | None, *, has_sources: bool
) -> Turn:
    """Return the question and how the assistant answers it, as the engine wants to know it."""
    quote = asked.quote and bool(prompt.get("quote", True))
    return Turn(
        question=asked.question,
        history=tuple(asked.history),
        system=_text(prompt.get("system")),
        parameters=parameters_of(prompt),
        values=asked.values,
        has_sources=has_sources or assistant.dataset_links.exists(),
        metadata=search.metadata if search else {},
        empty_response=_text(prompt.get("empty_response")),
        options=assistant.generation_options,
        quote=quote,
        insert_citations=quote and not asked.streams,
        refine_multiturn=bool(prompt.get("refine_multiturn")),
        keyword=bool(prompt.get("keyword")),
        cross_languages=languages_of(prompt),
        research=asked.research or bool(prompt.get("reasoning")),
    )


def _voice(assistant: Assistant) -> TextToSpeech | None:
    """Return what speaks the assistant's answers; an assistant whose voice is missing answers in writing."""
    if not assistant.prompt_config.get("tts"):
        return None
    try:
        return language_models.text_to_speech_for(assistant.tenant)
    except ModelError as error:
        logger.warning("The assistant %s cannot speak: %s", assistant.pk, error)
        return None


def _datasets(principal: Principal, assistant: Assistant, further: Sequence[str]) -> list[KnowledgeBase]:
    """Return the assistant's datasets and those that the request adds. Raises NotFound for one that is not there."""
    own = selectors.datasets_of(principal, [assistant]).get(assistant.pk, [])
    found = selectors.askable_datasets(principal, further) if further else {}
    _check_known(further, found)
    return list({dataset.pk: dataset for dataset in [*own, *found.values()]}.values())


def _check_known(ids: Sequence[str], known: Collection[str]) -> None:
    for dataset_id in ids:
        if dataset_id not in known:
            raise NotFound(f"You don't own the dataset {dataset_id}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
