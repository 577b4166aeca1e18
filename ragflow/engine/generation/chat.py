"""One turn of a conversation: search, build the prompt, let the model answer, cite."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter

from ragflow.engine.errors import EngineError
from ragflow.engine.generation.citations import (
    CitationStream,
    Cited,
    Similarities,
    cited_documents,
    insert_citations,
)
from ragflow.engine.generation.conversation import search_text
from ragflow.engine.generation.prompt import Prompt, compose, compose_verbatim, system_text
from ragflow.engine.generation.research import research
from ragflow.engine.generation.turn import KNOWLEDGE, Turn
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import estimate_usage
from ragflow.engine.tables.asking import Found, ReadSheets, ask_tables
from ragflow.engine.threads import in_thread
from ragflow.engine.types import (
    Answer,
    Delta,
    Event,
    Message,
    ModelEvent,
    ReasoningDelta,
    Retrieval,
    Retrieve,
    Retrieved,
    TextDelta,
    Thinking,
    ThinkingEnded,
    ThinkingStarted,
    Usage,
)

logger = logging.getLogger(__name__)

NOTHING = Retrieval(passages=(), total=0, documents=())


async def chat(
    turn: Turn,
    *,
    model: ChatModel,
    retrieve: Retrieve,
    similarities: Similarities | None = None,
    sheets: ReadSheets | None = None,
) -> AsyncGenerator[Event, None]:
    """Answer a question. The last event of a good turn is an Answer.

    With sources: Retrieved, then thoughts and deltas as the model gives them, then Answer. Deep research begins with
    an empty Retrieved and with thoughts about its searches. If nothing was found and the assistant has a text for that
    case, this is the one delta, and the model is not asked. Without sources the model gets the system prompt as it
    stands, and nothing is retrieved.

    With `sheets` the question, just as it was sent, is first answered from their rows, if it can be.
    `similarities` matches sentences to passages when `turn.insert_citations` is set and the model cited nothing.
    Raises MissingParameter before anything else happens, and whatever `retrieve` and the model raise (ModelError).
    Closing the generator or cancelling the task ends the request to the model at once.
    """
    clock = _Clock()
    retrieval, markers = NOTHING, None
    remarks: list[str] = []
    if sheets and (found := await ask_tables(turn.question, sheets, model)):
        clock.lap("sql")
        yield Retrieved(found.answer.rows, from_rows=True)
        yield Delta(found.answer.text)
        yield _rows_answer(turn, found, clock)
        return
    if turn.has_sources:
        system_text(turn, "")  # a missing parameter shows before anything is spent
        async with aclosing(_search(turn, model, retrieve, clock)) as events:
            async for event in events:
                match event:
                    case Retrieved():
                        retrieval = event.retrieval
                    case Thinking():
                        remarks.append(event.text)
                yield event
        if not retrieval.passages and turn.empty_response:
            yield Delta(turn.empty_response)
            yield await _empty_answer(turn, retrieval, clock)
            return
        prompt = await asyncio.to_thread(compose, turn, retrieval.passages, model.context_tokens)
        markers = CitationStream(len(prompt.passages) if turn.quote else 0)
    else:
        prompt = await asyncio.to_thread(compose_verbatim, turn, model.context_tokens)
    clock.lap("prompt")

    reply = _Reply(markers)
    stream = model.stream(prompt.messages, options=prompt.options, passages=prompt.passages)
    async with aclosing(stream) as pieces:
        async for piece in pieces:
            for event in reply.take(piece):
                yield event
    for event in reply.finish():
        yield event
    clock.lap("generation")

    cited = await _cited(turn, prompt, reply, similarities)
    clock.lap("citations")
    usage = reply.usage
    if usage is None:
        usage = await asyncio.to_thread(estimate_usage, prompt.messages, reply.thoughts + reply.text)
    yield Answer(
        text=cited.text,
        thoughts="".join(remarks) + reply.thoughts,
        retrieval=replace(retrieval, documents=cited_documents(retrieval, cited.passages)),
        cited=cited.passages,
        usage=usage,
        prompt=prompt.diagnosis if turn.has_sources else "",
        timings=clock.seconds,
        messages=prompt.messages,
    )


async def _search(turn: Turn, model: ChatModel, retrieve: Retrieve, clock: _Clock) -> AsyncGenerator[Event, None]:
    """Yield what was retrieved. A model that cannot say what is missing makes no research."""
    if not any(parameter.key == KNOWLEDGE for parameter in turn.parameters):
        yield Retrieved(NOTHING)
        return
    if not (turn.research and model.can_instruct):
        searched = await search_text(turn, model)
        clock.lap("question")
        found = await retrieve(searched)
        clock.lap("retrieval")
        yield Retrieved(found)
        return
    yield Retrieved(NOTHING)  # not yet
    yield ThinkingStarted()
    async with aclosing(research(turn, model, retrieve)) as steps:
        async for step in steps:
            if isinstance(step, str):
                yield Thinking(step)
            else:
                found = step
    yield ThinkingEnded()
    clock.lap("retrieval")
    yield Retrieved(found)


class _Reply:
    """Turns what a model yields into events, and remembers the whole of it."""

    def __init__(self, markers: CitationStream | None) -> None:
        self._markers = markers
        self._thinking = False
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def thoughts(self) -> str:
        return "".join(self._thoughts)

    @property
    def cited(self) -> tuple[int, ...]:
        return tuple(sorted(self._markers.cited)) if self._markers else ()

    def take(self, piece: ModelEvent) -> Iterator[Event]:
        match piece:
            case ReasoningDelta(text):
                if not self._thinking:
                    yield ThinkingStarted()
                self._thinking = True
                self._thoughts.append(text)
                yield Thinking(text)
            case TextDelta(text):
                yield from self._end_thinking()
                yield from self._show(self._markers.feed(text) if self._markers else text)
            case Usage():
                self.usage = piece

    def finish(self) -> Iterator[Event]:
        yield from self._end_thinking()
        yield from self._show(self._markers.finish() if self._markers else "")

    def _end_thinking(self) -> Iterator[Event]:
        if self._thinking:
            yield ThinkingEnded()
        self._thinking = False

    def _show(self, text: str) -> Iterator[Event]:
        if text:
            self._texts.append(text)
            yield Delta(text)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._last = perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


async def _cited(turn: Turn, prompt: Prompt, reply: _Reply, similarities: Similarities | None) -> Cited:
    """Return the answer with its citations; an answer that cannot be matched stays as it is."""
    plain = Cited(reply.text, reply.cited)
    if plain.passages or not (turn.quote and turn.insert_citations and similarities and prompt.passages):
        return plain
    try:
        return await in_thread(insert_citations, reply.text, prompt.passages, similarities)
    except EngineError as error:
        logger.warning("Citations were left out: %s", error)
        return plain


def _rows_answer(turn: Turn, found: Found, clock: _Clock) -> Answer:
    return Answer(
        text=found.answer.text,
        thoughts="",
        retrieval=found.answer.rows,
        cited=tuple(range(len(found.answer.rows.passages))),
        usage=found.usage,
        prompt=f"### Query:\n{turn.question}\n\n### SQL:\n{found.sql}",
        timings=clock.seconds,
        from_rows=True,
    )


async def _empty_answer(turn: Turn, retrieval: Retrieval, clock: _Clock) -> Answer:
    asked = [Message("user", turn.question)]
    return Answer(
        text=turn.empty_response,
        thoughts="",
        retrieval=retrieval,
        cited=(),
        usage=await asyncio.to_thread(estimate_usage, asked, turn.empty_response),
        prompt=f"### Query:\n{turn.question}",
        grounded=False,
        timings=clock.seconds,
    )
