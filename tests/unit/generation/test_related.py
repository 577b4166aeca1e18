"""Further searches: what of a model's list is kept, and when there is none."""

import asyncio

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.related import related

from .conftest import ScriptedModel

LIST = "Here you are:\n1. red bridge\n2.  iron bridges \n- not numbered\n10. two digits\n3.no blank\n4. Ulm"


def terms(model, text="bridge", **options):
    return asyncio.run(related(model, text, kind="terms", **options))


def test_lines_numbered_with_one_digit_are_kept_without_their_number():
    assert terms(ScriptedModel(LIST)) == ["red bridge", "iron bridges", "Ulm"]


def test_the_model_is_told_what_to_list_and_for_whom():
    model = ScriptedModel(LIST, LIST)
    terms(model, industry="civil engineering")
    asyncio.run(related(model, "bridge", kind="questions", options={"temperature": 0.2}))
    (first, second) = ("".join(message.content for message in request) for request in model.requests)
    assert "civil engineering" in first
    assert "search terms" in first
    assert "questions" in second
    assert [options["temperature"] for options in model.options] == [0.9, 0.2]


@pytest.mark.parametrize(
    "model",
    [
        ScriptedModel([ModelError("busy", code="RATE_LIMIT_EXCEEDED")]),
        ScriptedModel("I would rather not."),
        ScriptedModel(can_instruct=False),
    ],
    ids=["fails", "rambles", "cannot"],
)
def test_without_a_list_there_is_none(model):
    assert terms(model) == []


def test_a_blank_question_is_not_asked():
    model = ScriptedModel()
    assert terms(model, "  ") == []
    assert model.requests == []
