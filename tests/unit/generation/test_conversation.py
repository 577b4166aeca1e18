import datetime

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.generation import Turn
from ragflow.engine.generation.conversation import search_text
from ragflow.engine.types import Message, ReasoningDelta, TextDelta
from tests.unit.generation.conftest import ScriptedModel

HISTORY = (Message("user", "Who built the tower?"), Message("assistant", "Eiffel did."))
TODAY = datetime.date(2024, 3, 1)


async def test_the_first_question_is_searched_as_it_is():
    model = ScriptedModel()
    assert await search_text(Turn("Who built it?"), model) == "Who built it?"
    assert model.requests == []


async def test_a_conversation_becomes_one_question():
    model = ScriptedModel([ReasoningDelta("Hm."), TextDelta(" When was the Eiffel tower built?\n")])
    turn = Turn("When, yesterday?", history=HISTORY)
    assert await search_text(turn, model, today=TODAY) == "When was the Eiffel tower built?"
    rules, asked = model.requests[0]
    assert "today is 2024-03-01, yesterday was\n2024-02-29 and tomorrow is 2024-03-02" in rules.content
    assert "user: Who built the tower?\nassistant: Eiffel did.\nuser: When, yesterday?" in asked.content


async def test_only_the_last_three_questions_count():
    history = tuple(Message("user", f"Question {number}?") for number in range(5))
    model = ScriptedModel("Rewritten?")
    await search_text(Turn("Last?", history=history), model)
    asked = model.requests[0][1].content
    assert "Question 3?" in asked
    assert "Question 4?" in asked
    assert "Question 2?" not in asked


@pytest.mark.parametrize(
    "turn", [Turn("When?", history=HISTORY, refine_multiturn=False), Turn("When?", history=HISTORY[1:])]
)
async def test_nothing_is_rewritten_without_need(turn):
    model = ScriptedModel()
    assert await search_text(turn, model) == "When?"
    assert model.requests == []


async def test_a_model_that_follows_no_instructions_is_not_asked():
    model = ScriptedModel(can_instruct=False)
    turn = Turn("When?", history=HISTORY, keyword=True, cross_languages=("German",))
    assert await search_text(turn, model) == "When?"
    assert model.requests == []


async def test_translations_replace_the_text_and_keywords_are_added():
    model = ScriptedModel("Wann?\n###\nQuand ?\n###\n", "tower, Eiffel，Paris, more")
    turn = Turn("When?", cross_languages=("German", "French"), keyword=True)
    assert await search_text(turn, model) == "Wann?\nQuand ? tower, Eiffel, Paris"


async def test_a_failing_model_leaves_the_question_as_it_is(caplog):
    failure = [ModelError("Too many requests.", code="RATE_LIMIT_EXCEEDED")]
    model = ScriptedModel(failure, failure, failure)
    turn = Turn("When?", history=HISTORY, cross_languages=("German",), keyword=True)
    assert await search_text(turn, model) == "When?"
    assert caplog.text.count("Too many requests.") == 3
    assert model.closed == 3
