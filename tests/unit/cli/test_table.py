"""Tables, to the letter."""

from __future__ import annotations

import pytest

from ragflow.cli.table import table


def test_columns_are_sorted_and_as_wide_as_their_widest_cell():
    rows = [{"status": 1, "email": "a@b.c"}, {"email": "longer@b.c", "status": None}]
    assert table(rows) == (
        "+------------+--------+\n"
        "| email      | status |\n"
        "+------------+--------+\n"
        "| a@b.c      | 1      |\n"
        "| longer@b.c | None   |\n"
        "+------------+--------+"
    )


def test_one_object_is_one_row_and_columns_have_two_places_at_least():
    assert table({"a": 1}) == "+----+\n| a  |\n+----+\n| 1  |\n+----+"


def test_missing_values_are_empty_and_objects_are_shown_as_text():
    assert table([{"a": {"b": [None, True]}}, {"c": "x"}]).splitlines()[3:5] == [
        "| {'b': [None, True]} |    |",
        "|                     | x  |",
    ]


def test_other_letters_take_two_places():
    lines = table([{"n": "日本"}, {"n": "abcd"}]).splitlines()
    assert lines[3:5] == ["| 日本 |", "| abcd |"]
    assert lines[0] == "+------+"


@pytest.mark.parametrize("data", [None, [], {}, "", [{}]])
def test_nothing(data):
    assert table(data) == "No data to print"


def test_columns_can_be_left_out():
    assert "avatar" not in table([{"a": 1, "avatar": "data:..."}], without=["avatar"])
    assert table([{"avatar": "x"}], without=["avatar"]) == "No data to print"


def test_a_value_cannot_break_out_of_its_cell():
    line = table({"a": "x\ny\x1b[2J"}).splitlines()[3]
    assert line == r"| x\ny\x1b[2J |"


def test_what_is_no_object_is_a_row_too():
    assert "| value |" in table("pong")
    assert "| x     |" in table(["x"])
