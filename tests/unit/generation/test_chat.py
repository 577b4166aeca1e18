"""Golden sequences of events, with a scripted model."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from ragflow.engine.errors import MissingParameter, ModelError, StoreError
from ragflow.engine.generation import Parameter, Turn, chat
from ragflow.engine.types import (
    Answer,
    Delta,
    DocumentCount,
    Message,
    ReasoningDelta,
    Retrieved,
    TextDelta,
    Thinking,
    ThinkingEnded,
    ThinkingStarted,
    Usage,
)
from tests.unit.generation.conftest import ScriptedModel, Searcher

QUESTION = "What is the capital of France?"


async def events_of(turn, model, search, similarities=None):
    return [event async for event in chat(turn, model=model, retrieve=search, similarities=similarities)]


async def test_a_cited_answer(facts):
    usage = Usage(100, 7, estimated=False)
    model = ScriptedModel([TextDelta("Paris [I"), TextDelta("D:0]"), TextDelta(" it is [ID:9]."), usage])
    *events, answer = await events_of(Turn(QUESTION), model, facts)
    assert events == [Retrieved(facts.found), Delta("Paris"), Delta(" [ID:0]"), Delta(" it is.")]
    assert isinstance(answer, Answer)
    assert (answer.text, answer.cited, answer.grounded, answer.usage) == ("Paris [ID:0] it is.", (0,), True, usage)
    assert answer.retrieval.passages == facts.found.passages
    assert answer.retrieval.documents == (DocumentCount("doc0", "doc0.txt", 1),)
    assert answer.prompt.endswith(f"### Query:\n{QUESTION}")
    assert set(answer.timings) == {"question", "retrieval", "prompt", "generation", "citations"}
    assert facts.searched == [QUESTION]
    assert "└── Content:\nParis is the capital of France." in model.requests[0][0].content
    assert model.passages == [facts.found.passages]


async def test_thoughts_come_apart_from_the_answer(facts):
    model = ScriptedModel([ReasoningDelta("Hm. "), ReasoningDelta("France."), TextDelta("Paris.")])
    _, *events, answer = await events_of(Turn(QUESTION), model, facts)
    assert events == [ThinkingStarted(), Thinking("Hm. "), Thinking("France."), ThinkingEnded(), Delta("Paris.")]
    assert (answer.text, answer.thoughts) == ("Paris.", "Hm. France.")


async def test_thoughts_without_an_answer_are_ended(facts):
    _, *events, answer = await events_of(Turn(QUESTION), ScriptedModel([ReasoningDelta("Hm.")]), facts)
    assert events == [ThinkingStarted(), Thinking("Hm."), ThinkingEnded()]
    assert answer.text == ""


async def test_a_marker_that_never_ends_is_shown_at_last(facts):
    _, *events, answer = await events_of(Turn(QUESTION), ScriptedModel("Paris [ID"), facts)
    assert events == [Delta("Paris"), Delta(" [ID")]
    assert answer.text == "Paris [ID"


async def test_usage_is_estimated_when_the_provider_reports_none(facts):
    answer = (await events_of(Turn(QUESTION), ScriptedModel([ReasoningDelta("So "), TextDelta("so so")]), facts))[-1]
    assert answer.usage.estimated
    assert answer.usage.completion_tokens == 3
    assert answer.usage.prompt_tokens > 50


async def test_nothing_found_gives_the_configured_answer_without_asking_the_model():
    model = ScriptedModel()
    *_, delta, answer = await events_of(Turn(QUESTION, empty_response="Sorry, nothing."), model, Searcher())
    assert delta == Delta("Sorry, nothing.")
    assert (answer.text, answer.grounded, answer.cited) == ("Sorry, nothing.", False, ())
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0
    assert model.requests == []


async def test_nothing_found_and_no_configured_answer_asks_the_model():
    *_, answer = await events_of(Turn(QUESTION), ScriptedModel("Paris, I think [ID:0]."), Searcher())
    assert (answer.text, answer.grounded) == ("Paris, I think.", True)


async def test_without_the_knowledge_parameter_nothing_is_retrieved(facts):
    turn = Turn(QUESTION, system="Be brief.", parameters=(), keyword=True)
    model = ScriptedModel("Paris")
    retrieved, *_ = await events_of(turn, model, facts)
    assert retrieved.retrieval.passages == ()
    assert facts.searched == []
    assert [messages[0].content for messages in model.requests] == ["Be brief."]


async def test_without_datasets_the_model_gets_the_system_text_and_its_answer_passes_unchanged(facts):
    model = ScriptedModel("Use [ID:7] here")
    turn = Turn("Hi", system="Say {knowledge}", parameters=(Parameter("city"),), has_sources=False, keyword=True)
    delta, answer = await events_of(turn, model, facts)
    assert delta == Delta("Use [ID:7] here")
    assert (answer.text, answer.prompt, answer.retrieval.passages) == ("Use [ID:7] here", "", ())
    assert model.requests == [(Message("system", "Say {knowledge}"), Message("user", "Hi"))]
    assert facts.searched == []


async def test_a_missing_parameter_is_found_before_anything_is_spent(facts):
    model = ScriptedModel()
    with pytest.raises(MissingParameter):
        await events_of(Turn(QUESTION, parameters=(Parameter("city"),)), model, facts)
    assert (model.requests, facts.searched) == ([], [])


async def test_a_failing_model_is_raised_after_what_it_said(facts):
    model = ScriptedModel([TextDelta("Paris is"), ModelError("The provider went away.", code="CONNECTION_ERROR")])
    events = chat(Turn(QUESTION), model=model, retrieve=facts)
    assert [await anext(events), await anext(events)] == [Retrieved(facts.found), Delta("Paris is")]
    with pytest.raises(ModelError, match="went away"):
        await anext(events)
    assert model.closed == 1


async def test_without_quoting_no_marker_is_shown(facts):
    *_, delta, answer = await events_of(Turn(QUESTION, quote=False), ScriptedModel("Paris [ID:0]"), facts)
    assert (delta, answer.text, answer.cited) == (Delta("Paris"), "Paris", ())
    assert answer.retrieval.documents == facts.found.documents


def first_passage(sentences, passages):
    return np.array([[0.9, *[0.0] * (len(passages) - 1)]] * len(sentences), dtype=np.float32)


async def test_citations_are_inserted_into_the_answer_but_not_into_the_deltas(facts):
    turn = Turn(QUESTION, insert_citations=True)
    *events, answer = await events_of(turn, ScriptedModel("Paris it is."), facts, first_passage)
    assert events[1:] == [Delta("Paris it is.")]
    assert (answer.text, answer.cited) == ("Paris it is. [ID:0]", (0,))
    assert [count.document_id for count in answer.retrieval.documents] == ["doc0"]


@pytest.mark.parametrize("turn", [Turn(QUESTION), Turn(QUESTION, insert_citations=True, quote=False)])
async def test_citations_are_inserted_only_on_request(turn, facts):
    *_, answer = await events_of(turn, ScriptedModel("Paris it is."), facts, first_passage)
    assert answer.text == "Paris it is."


async def test_the_models_own_citations_win(facts):
    turn = Turn(QUESTION, insert_citations=True)
    *_, answer = await events_of(turn, ScriptedModel("Paris it is [ID:2]."), facts, first_passage)
    assert (answer.text, answer.cited) == ("Paris it is [ID:2].", (2,))


async def test_an_answer_survives_when_matching_fails(facts, caplog):
    def broken(sentences, passages):
        raise StoreError("The store is away.")

    turn = Turn(QUESTION, insert_citations=True)
    *_, answer = await events_of(turn, ScriptedModel("Paris it is."), facts, broken)
    assert answer.text == "Paris it is."
    assert "The store is away." in caplog.text


@pytest.mark.parametrize("has_sources", [True, False])
async def test_closing_the_turn_closes_the_model(has_sources, facts):
    model = ScriptedModel([TextDelta("Paris"), TextDelta(" it is.")])
    async with aclosing(chat(Turn(QUESTION, has_sources=has_sources), model=model, retrieve=facts)) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
    assert model.closed == 1


async def test_cancelling_the_task_closes_the_model(facts):
    class Hanging(ScriptedModel):
        async def stream(self, messages, *, options, passages=()):
            try:
                yield TextDelta("Paris")
                await asyncio.Event().wait()
            finally:
                self.closed += 1

    model, talking = Hanging(), asyncio.Event()

    async def talk():
        async with aclosing(chat(Turn(QUESTION), model=model, retrieve=facts)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    talking.set()

    task = asyncio.create_task(talk())
    await talking.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.closed == 1
