"""A model writes SQL, is told what is wrong with it once, and a search takes over where that does not help."""

from __future__ import annotations

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.tables import asking
from ragflow.engine.tables import sandbox as sandboxes
from ragflow.engine.tables.asking import ask_tables, sql_of
from ragflow.engine.tables.lookup import look_up
from ragflow.engine.types import ReasoningDelta, TextDelta, Usage
from tests.unit.generation.conftest import ScriptedModel

GOOD = "SELECT product_tks FROM spreadsheet WHERE price_long = 79"
BAD = "SELECT weather FROM spreadsheet"


def reading(*versions):
    """Return a function that reads one version of the sheets after the other."""
    left = list(versions)

    async def read(_question):
        return left.pop(0) if len(left) > 1 else left[0]

    return read


async def test_the_model_is_asked_in_three_labelled_parts(sheets):
    model = ScriptedModel([ReasoningDelta("hm"), TextDelta(f"```sql\n{GOOD};\n```"), Usage(7, 3, estimated=False)])
    found = await ask_tables("which product costs 79?", reading(sheets), model)
    assert found is not None
    assert found.answer.text == "|product|Source|\n|------|------|\n|Wireless Mouse| ##0$$|"
    assert (found.sql, found.usage) == (GOOD, Usage(7, 3, estimated=False))
    system, user = model.requests[0]
    assert "SELECT" in system.content
    assert "IS NOT NULL" in system.content
    assert user.content == (
        "Table: spreadsheet\n- employee_id_tks (employee id)\n- name_tks (name)\n- department_tks (department)\n"
        "- salary_flt (salary)\n- product_tks (product)\n- price_long (price)\n- unit_price_long (unit price (EUR))\n"
        "- since_dt (since)\nQuestion: which product costs 79?"
    )
    assert model.options == [{"temperature": 0.06}]


async def test_after_an_error_the_model_is_asked_once_more_with_its_text(sheets):
    model = ScriptedModel(
        [TextDelta(BAD), Usage(5, 1, estimated=False)], [TextDelta(GOOD), Usage(6, 2, estimated=False)]
    )
    found = await ask_tables("which?", reading(sheets), model)
    assert found is not None
    assert found.usage == Usage(11, 3, estimated=False)
    second = model.requests[1][1].content
    assert second.startswith(model.requests[0][1].content)
    assert BAD in second
    assert "no such column" in second


async def test_rows_that_went_while_the_model_wrote_are_not_read(sheets):
    found = await ask_tables("rows?", reading(sheets, sheets[:1]), ScriptedModel("SELECT count(*) FROM spreadsheet"))
    assert found is not None
    assert found.answer.text.endswith("|3|")


async def test_two_failures_are_left_to_a_search(sheets):
    model = ScriptedModel(BAD, "sorry, no", GOOD)
    assert await ask_tables("which?", reading(sheets), model) is None
    assert len(model.requests) == 2


async def test_nothing_found_is_left_to_a_search_at_once(sheets):
    model = ScriptedModel("SELECT product FROM spreadsheet WHERE price = 1", GOOD)
    assert await ask_tables("which?", reading(sheets), model) is None
    assert len(model.requests) == 1


async def test_a_failing_model_is_left_to_a_search(sheets, caplog):
    assert await ask_tables("which?", reading(sheets), ScriptedModel([ModelError("busy")])) is None
    assert "busy" in caplog.text


@pytest.mark.parametrize("question", ["", "  "])
async def test_a_model_is_not_asked_without_a_question_or_rows(sheets, question):
    model = ScriptedModel()
    assert await ask_tables(question, reading(sheets), model) is None
    assert await ask_tables("which?", reading([]), model) is None
    assert model.requests == []


async def test_tables_that_are_too_large_are_not_copied(sheets, monkeypatch, caplog):
    monkeypatch.setattr(asking, "MOST_CELLS", 19)
    model = ScriptedModel()
    assert await ask_tables("which?", reading(sheets), model) is None
    assert model.requests == []
    assert "20 cells" in caplog.text


@pytest.mark.parametrize(
    "reply",
    [GOOD, f"{GOOD};", f"<think>SELECT 1</think>\n{GOOD} ;\n", f"Here:\n```sql\n{GOOD}\n```\nDone.", f"```\n{GOOD}"],
)
def test_the_statement_in_a_reply(reply):
    assert sql_of(reply) == GOOD


# -- without a model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("show me column of product", "|Wireless Mouse| ##0$$|"),
        ("list all products", "|Wireless Mouse| ##0$$|"),
        ("which product has price 79", "|Wireless Mouse| ##0$$|"),
        ("What is the price of the wireless mouse?", "|79| ##0$$|"),
        ("How many rows in the dataset?", "|5|"),
        ("How many employees?", "|3|"),
        ("show me all employees", "|E001|Alice|Engineering|9500| ##0$$|"),
        ("which product has unit price 1", "|Wireless Mouse| ##0$$|"),
        ("how many employees in Engineering", "|2|"),
        ("Show me all employees in Engineering department", "|E001|Alice|Engineering|9500| ##0$$|"),
        ("What is the salary of Bob Ray?", "|8000| ##0$$|"),
    ],
)
async def test_plain_questions_are_read_without_a_model(sheets, question, line):
    found = await ask_tables(question, reading(sheets), ScriptedModel(can_instruct=False))
    assert found is not None, question
    assert found.answer.text.splitlines()[2] == line
    assert found.usage.estimated


async def test_a_look_up_that_takes_too_long_is_left_to_a_search(sheets, monkeypatch, caplog):
    monkeypatch.setattr(sandboxes, "SECONDS", -1.0)
    monkeypatch.setattr(sandboxes, "_STEPS", 1)
    assert await ask_tables("list all products", reading(sheets), ScriptedModel(can_instruct=False)) is None
    assert "could not be looked into" in caplog.text


@pytest.mark.parametrize(
    "question",
    [
        "What is the price policy of the company?", "Who is the king of France?", "Which product costs more than 79?",
        "Show the highest salary", "the", "?", "How many moons has Jupiter?",
        "Tell me about 79", "which product has price 80",
    ],
)  # fmt: skip
def test_other_questions_are_left_to_a_search(sheets, question):
    assert look_up(question, sheets) is None
