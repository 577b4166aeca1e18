"""Types by vote, ids, and rows that survive packing."""

from __future__ import annotations

import pytest

from ragflow.engine.tables.columns import Kind, value_of
from ragflow.engine.tables.packing import TablePacker, rows_of
from ragflow.engine.tables.sandbox import Sandbox

from .conftest import sheet_of


def voted(*cells):
    (column,) = sheet_of([["x"], *([cell] for cell in cells)]).table.columns
    return column.kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["79", "-3", "0"], Kind.INTEGER),
        (["1", "2.5", "3"], Kind.REAL),
        (["1e5", ".5"], Kind.REAL),
        (["99999999999999999999999"], Kind.REAL),  # beyond 64 bits
        (["007", "010"], Kind.TEXT),
        (["1", "n/a"], Kind.TEXT),  # a tie is no majority
        (["1", "2", "n/a"], Kind.INTEGER),
        (["yes", "No", "✓"], Kind.FLAG),
        (["2024-01-05", "2024/1/6 10:00"], Kind.TIME),
        (["2024-13-05", "2024-02-30"], Kind.TEXT),
        (["", " "], Kind.TEXT),
        (["٣", "²"], Kind.TEXT),  # digits of other scripts
        (["1.", "."], Kind.TEXT),
        (["0.5", "-0"], Kind.REAL),
        (["00.5", "+01"], Kind.TEXT),
        (["1" * 1_000_000 + "x"], Kind.TEXT),
    ],
)
def test_the_kind_of_a_column_is_that_of_most_cells(cells, kind):
    assert voted(*cells) is kind


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("79", Kind.INTEGER, 79),
        ("n/a", Kind.INTEGER, None),
        ("3", Kind.REAL, 3.0),
        ("TRUE", Kind.FLAG, "yes"),
        ("maybe", Kind.FLAG, None),
        ("2024/1/5", Kind.TIME, "2024-01-05"),
        ("2024-01-05 10:11", Kind.TIME, "2024-01-05 10:11:00"),
        ("  ", Kind.TEXT, None),
    ],
)
def test_what_does_not_convert_is_empty(text, kind, value):
    assert value_of(text, kind) == value


def test_ids_are_names_for_sql_and_names_are_for_people():
    headers = ["Unit_Price (EUR)", "unit price/kg", "Unit Price（net）", "产品", "%"]
    columns = sheet_of([headers, ["1", "2", "3", "x", "y"]]).table.columns
    assert [column.id for column in columns] == [
        "unit_price_long", "unit_price_2_long", "unit_price_3_long", "产品_tks", "column_tks",
    ]  # fmt: skip
    assert columns[0].name == "Unit Price (EUR)"


def test_no_column_has_the_id_of_one_that_says_where_rows_are_from():
    sheet = sheet_of([["docnm", "a"], ["yes", "1"]])
    assert [column.id for column in sheet.table.columns] == ["docnm_2_kwd", "a_long"]
    with Sandbox([sheet]) as sandbox:
        assert sandbox.run("SELECT docnm_kwd, docnm_2_kwd FROM spreadsheet").rows == (("sheet.xlsx", "yes"),)


def test_rows_of_different_sheets_share_a_document():
    packer = TablePacker()
    packer.add("c1", [("a", "1"), ("b", 'x"\n')])
    packer.add("c2", [("c", "z")])
    packer.add("c3", [("b", ""), ("a", "2")])
    table = packer.finish()
    assert table is not None
    assert list(rows_of(table)) == [
        ("c1", [1, 'x"', None]), ("c2", [None, None, "z"]), ("c3", [2, None, None]),
    ]  # fmt: skip


def test_many_rows_survive_packing():
    packer = TablePacker()
    for number in range(30_000):
        packer.add(f"{number:016x}", [("number", str(number)), ("text", f"row {number} " * 5)])
    table = packer.finish()
    assert table is not None
    assert len(table.rows) < 1_000_000
    assert [values[0] for _, values in rows_of(table)] == list(range(30_000))


def test_no_row_is_no_table():
    assert TablePacker().finish() is None
