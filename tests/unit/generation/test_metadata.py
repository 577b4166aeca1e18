"""What is made of a model's answers about metadata."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import date
from typing import Any

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.metadata import MetadataField, derive_filter, extract_metadata
from ragflow.engine.types import TextDelta

KNOWN = {"city": ["Ulm"], "year": [1903]}
FIELDS = [MetadataField("author", "Who wrote it"), MetadataField("tags", choices=("red", "blue"))]


class Scripted:
    name = "scripted"
    context_tokens = 8000
    can_instruct = True

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def stream(self, messages: Any, *, options: Any, passages: Any = ()) -> AsyncGenerator[Any, None]:
        self.asked = [message.content for message in messages]
        if isinstance(self.answer, Exception):
            raise self.answer
        yield TextDelta(self.answer)


def condition(name: Any = "city", operator: Any = "=", value: Any = "Ulm") -> dict[str, Any]:
    return {"name": name, "comparison_operator": operator, "value": value}


async def derived(answer: str | Exception) -> dict[str, Any]:
    return await derive_filter(Scripted(answer), "What about Ulm?", KNOWN, today=date(2026, 1, 2))


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ([condition()], [condition()]),
        ([condition(operator="in", value=["Ulm", 5])], [condition(operator="in", value=["ulm", 5])]),
        ([condition("year", ">", 1900), condition("country")], [condition("year", ">", 1900)]),
        ([condition(operator="contains")], []),
        ([condition(value={"a": 1})], []),
        ([condition(value=[])], []),
        ([condition(value=None)], []),
        ([condition(name=["city"])], []),
        (["city"], []),
        ({"city": "Ulm"}, []),
    ],
)
async def test_only_what_was_offered_is_kept(conditions, kept):
    sent = await derived(json.dumps({"logic": "or", "conditions": conditions}))
    assert sent == ({"logic": "or", "conditions": kept} if kept else {})


@pytest.mark.parametrize(
    "answer", ["", "no idea", "[1]", "{", "{}", "[" * 100_000, '{"a":' * 100_000 + "}", ModelError("away", code="X")]
)
async def test_an_answer_that_is_no_filter_restricts_nothing(answer):
    assert await derived(answer) == {}


async def test_json_between_other_words():
    answer = 'Here you are:\n```json\n{"conditions": [' + json.dumps(condition()) + "]}\n```"
    assert await derived(answer) == {"logic": "and", "conditions": [condition()]}


async def test_the_model_is_told_fields_values_and_the_day():
    model = Scripted("{}")
    await derive_filter(model, "q", {"city": ["Ulm", "x" * 500], "year": [1903]}, today=date(2026, 1, 2))
    rules, question = model.asked
    assert question == "q"
    assert f'- city: "Ulm", "{"x" * 80}"\n- year: 1903\n' in rules
    assert "2026-01-02" in rules


async def test_no_model_is_asked_without_need():
    model = Scripted("{}")
    model.can_instruct = False
    assert await derive_filter(model, "q", KNOWN, today=date(2026, 1, 2)) == {}
    model.can_instruct = True
    assert await derive_filter(model, " ", KNOWN, today=date(2026, 1, 2)) == {}
    assert await derive_filter(model, "q", {}, today=date(2026, 1, 2)) == {}
    assert model.asked == []


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"author": " Alice ", "tags": ["red", " ", 5, "blue"]}, {"author": "Alice", "tags": ["red", "blue"]}),
        ({"author": 5, "tags": {"a": 1}, "other": "x"}, {}),
        ({"author": "", "tags": []}, {}),
    ],
)
async def test_only_texts_and_lists_of_texts_are_taken(answer, found):
    assert await extract_metadata(Scripted(json.dumps(answer)), "text", FIELDS) == found


async def test_fields_are_described():
    model = Scripted("{}")
    await extract_metadata(model, "the text", FIELDS)
    rules, text = model.asked
    assert text == "the text"
    assert "- author: Who wrote it\n- tags (one of: red, blue)\n" in rules


async def test_a_failing_model_is_reported():
    with pytest.raises(ModelError):
        await extract_metadata(Scripted(ModelError("away", code="X")), "text", FIELDS)
