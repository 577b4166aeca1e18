"""Deep research: rounds of searches, until the model is content or nothing new turns up."""

import asyncio
from contextlib import aclosing

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.chat import chat
from ragflow.engine.generation.research import DEPTH, MOST_SEARCHES
from ragflow.engine.generation.turn import Turn
from ragflow.engine.types import (
    Answer,
    Delta,
    DocumentCount,
    Retrieval,
    Retrieved,
    Thinking,
    ThinkingEnded,
    ThinkingStarted,
)

from .conftest import ScriptedModel, passage

QUESTION = "Who built the bridge?"


class Library:
    """Finds other passages for each search, or the same one again when it runs out of shelves."""

    def __init__(self, shelves: int = 99) -> None:
        self.searched: list[str] = []
        self._shelves = shelves

    async def __call__(self, text: str) -> Retrieval:
        self.searched.append(text)
        number = min(len(self.searched), self._shelves)
        found = passage(number, f"Fact {number}.", document="book")
        return Retrieval((found,), 1, (DocumentCount("book", "book.txt", 1),))


def play(model, library, **options):
    async def run():
        turn = Turn(question=QUESTION, research=True, **options)
        async with aclosing(chat(turn, model=model, retrieve=library)) as events:
            return [event async for event in events]

    return asyncio.run(run())


def test_the_model_says_what_to_search_for_until_it_has_enough():
    model, library = ScriptedModel("1. the builder\n2. the year", "ENOUGH", "Nord [ID:0]."), Library()
    events = play(model, library)
    assert library.searched == [QUESTION, "the builder", "the year"]
    kinds = [type(event) for event in events]
    assert kinds[:3] == [Retrieved, ThinkingStarted, Thinking]
    assert kinds[-4:-1] == [ThinkingEnded, Retrieved, Delta]
    assert kinds.count(ThinkingStarted) == kinds.count(ThinkingEnded) == 1
    remarks = [event.text for event in events if isinstance(event, Thinking)]
    assert all(remark.endswith("<br/>") for remark in remarks)
    assert any("the builder" in remark for remark in remarks)
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.thoughts == "".join(remarks)
    assert [found.chunk.content for found in answer.retrieval.passages] == ["Fact 1.", "Fact 2.", "Fact 3."]
    assert (answer.retrieval.total, answer.retrieval.documents) == (3, (DocumentCount("book", "book.txt", 3),))
    assert answer.cited == (0,)


def test_the_rounds_and_their_searches_are_limited():
    greedy = "\n".join(f"{number}. more {{0}} {number}" for number in range(1, 10))
    model = ScriptedModel(*(greedy.format(round_) for round_ in range(DEPTH - 1)), "Nord.")
    library = Library()
    play(model, library)
    assert len(library.searched) == 1 + (DEPTH - 1) * MOST_SEARCHES
    assert len(model.requests) == DEPTH


def test_nothing_is_searched_twice():
    model, library = ScriptedModel(f"1. {QUESTION.upper()}\n2. new", "1. NEW", "Nord."), Library()
    play(model, library)
    assert library.searched == [QUESTION, "new"]


def test_it_ends_when_nothing_new_turns_up():
    model, library = ScriptedModel("1. other words", "Nord."), Library(shelves=1)
    play(model, library)
    assert library.searched == [QUESTION, "other words"]
    assert len(model.requests) == 2


def test_what_was_found_has_to_do_when_the_model_fails_in_between():
    model, library = ScriptedModel([ModelError("busy")], "Nord."), Library()
    events = play(model, library)
    assert events[-1].text == "Nord."
    assert library.searched == [QUESTION]


def test_a_model_that_cannot_instruct_searches_once():
    model, library = ScriptedModel("Nord.", can_instruct=False), Library()
    events = play(model, library)
    assert library.searched == [QUESTION]
    assert ThinkingStarted not in map(type, events)


def test_nothing_found_is_the_empty_response():
    class Empty(Library):
        async def __call__(self, text: str) -> Retrieval:
            return Retrieval((), 0, ())

    events = play(ScriptedModel(), Empty(), empty_response="Sorry!")
    assert events[-1].text == "Sorry!"
    assert not events[-1].grounded


def test_a_listener_who_leaves_ends_the_request_for_what_is_missing():
    async def run():
        model = ScriptedModel("1. the builder", "Nord.")
        events = chat(Turn(question=QUESTION, research=True), model=model, retrieve=Library())
        async for event in events:
            if isinstance(event, Thinking):
                break
        await events.aclose()
        return model

    assert asyncio.run(run()).requests == []


def test_a_search_that_fails_stops_those_beside_it():
    stopped = []

    async def retrieve(text):
        if text == QUESTION:
            return await Library()(text)
        if text == "the year":
            raise ModelError("The model is away.", code="SERVER_ERROR")
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(text)

    with pytest.raises(ModelError):
        play(ScriptedModel("1. the builder\n2. the year"), retrieve)
    assert stopped == ["the builder"]
