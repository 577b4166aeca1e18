"""What statements mean, what they may not do, and how results look."""

from __future__ import annotations

import pytest

from ragflow.engine.errors import SQLRefused
from ragflow.engine.tables import sandbox as sandboxes
from ragflow.engine.tables.answer import answer_of
from ragflow.engine.tables.query import read_query
from ragflow.engine.tables.sandbox import Sandbox, matches_words

from .conftest import EMPLOYEES, sheet_of


@pytest.fixture
def sandbox(sheets):
    with Sandbox(sheets) as opened:
        yield opened


@pytest.fixture
def run(sandbox):
    def ask(sql):
        answer = answer_of(read_query(sql, sandbox.columns), sandbox)
        return answer and answer.text.splitlines()

    return ask


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT product_tks FROM spreadsheet WHERE product_tks IS NOT NULL",
        "select PRODUCT from `Spreadsheet` where product is not null;",
        'SELECT "Product" FROM [spreadsheet] WHERE [product] IS NOT NULL -- why\n',
        "SELECT doc_id, docnm_kwd, product_tks FROM spreadsheet WHERE product_tks IS NOT NULL",
        "SELECT product_tks, docnm, doc_id FROM spreadsheet AS s WHERE s.product_tks IS NOT NULL",
    ],
)
def test_names_in_any_spelling_and_rows_say_where_they_are_from(run, sql):
    assert run(sql) == [
        "|product|Source|", "|------|------|", "|Wireless Mouse| ##0$$|", "|Key\\|board| ##1$$|",
    ]  # fmt: skip


def test_names_of_several_words(run):
    assert run("SELECT unit price FROM spreadsheet WHERE unit price IS NOT NULL") == run(
        'SELECT "unit price (EUR)" FROM spreadsheet WHERE "Unit Price" = 1'
    )


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("department = 'engineering'", ["Alice", "Carol"]),
        ('department = "Engineering"', ["Alice", "Carol"]),
        ("department LIKE '%ENGIN%'", ["Alice", "Carol"]),
        ("department = 'engin'", []),
        ("name = 'ray'", ["Bob Ray"]),
        ("name ILIKE 'ray bob'", ["Bob Ray"]),
        ("department != 'engineering' AND department IS NOT NULL", ["Bob Ray"]),
        ("name NOT LIKE 'alice' AND name IS NOT NULL", ["Bob Ray", "Carol"]),
        ("department IN ('ENGINEERING')", ["Alice", "Carol"]),
        ("salary > '8500'", ["Alice", "Carol"]),
        ("name = 'it''s'", []),
    ],
)
def test_texts_are_compared_by_words(run, condition, names):
    lines = run(f"SELECT name FROM spreadsheet WHERE {condition}")
    assert [line.split("|")[1] for line in (lines or [])[2:]] == names


@pytest.mark.parametrize(
    ("cell", "text", "matches"),
    [
        ("Wireless Mouse", "mouse", True), ("Wireless Mouse", "%mou%", True), ("Wireless Mouse", "mou", False),
        ("无线鼠标", "鼠标", True), ("", "", True), ("x", "", False), ("50 %", "%", True),
        (None, "x", False), (79, "79", True),
    ],
)  # fmt: skip
def test_words(cell, text, matches):
    assert matches_words(cell, text) is matches


@pytest.mark.parametrize("count", ["count(*)", "COUNT(*) AS total", "count( 1 ) n"])
def test_a_row_count_has_one_heading_and_no_source(sandbox, count):
    answer = answer_of(read_query(f"SELECT {count} FROM spreadsheet", sandbox.columns), sandbox)
    assert answer is not None
    assert answer.text == "|COUNT(*)|\n|------|\n|5|"
    assert [(item.document_name, item.count) for item in answer.rows.documents] == [
        ("employees.xlsx", 3), ("products.xlsx", 2),
    ]  # fmt: skip


def test_the_evidence_of_an_aggregate_is_limited():
    rows = [["n"], *([str(number)] for number in range(50))]
    with Sandbox([sheet_of(rows)]) as sandbox:
        answer = answer_of(read_query("SELECT sum(n) FROM spreadsheet WHERE n > 5", sandbox.columns), sandbox)
        assert answer is not None
        assert answer.text == "|sum(n)|\n|------|\n|1210|"
        assert len(answer.rows.passages) == 20
        subselect = "SELECT count(*) FROM (SELECT n FROM spreadsheet)"
        assert answer_of(read_query(subselect, sandbox.columns), sandbox).rows.passages == ()


def test_groups(run):
    assert run("SELECT department, count(*), avg(salary) FROM spreadsheet WHERE department IS NOT NULL GROUP BY 1") == [
        "|department|COUNT(*)|avg(salary)|", "|------|------|------|", "|Engineering|2|9250.25|", "|Marketing|1|8000|",
    ]  # fmt: skip


def test_everything_is_the_columns_without_the_ids(run):
    lines = run("SELECT * FROM spreadsheet WHERE since > '2024-01-31'")
    assert lines[0] == "|employee id|name|department|salary|product|price|unit price (EUR)|since|Source|"
    assert lines[2] == "| | | | |Key\\|board|120| |2024-02-05 10:11:00| ##0$$|"


def test_nothing_found_is_no_answer(run):
    assert run("SELECT name FROM spreadsheet WHERE name = 'Zoe'") is None
    assert run("SELECT max(salary) FROM spreadsheet WHERE name = 'Zoe'") is None


def test_headings_and_cells_lose_what_the_contract_leaves_out():
    rows = [
        ["Size/cm", "带（注）", "At"],
        ["1", "x", "2024-01-05T10:00:00"],
        ["2", "a\nb", "later"],
        ["3", "c", "never"],
    ]
    with Sandbox([sheet_of(rows)]) as sandbox:
        answer = answer_of(read_query("SELECT * FROM spreadsheet", sandbox.columns), sandbox)
    assert answer is not None
    lines = answer.text.splitlines()
    assert lines[0] == "|Size|带|At|Source|"
    assert lines[2] == "|1|x|2024-01-05| ##0$$|"
    assert lines[3] == "|2|a b|later| ##1$$|"


def test_rows_without_a_chunk_are_not_read():
    sheet = sheet_of(EMPLOYEES)
    sheet.chunk_ids.discard("doc1")
    with Sandbox([sheet]) as sandbox:
        assert sandbox.run("SELECT count(*) FROM spreadsheet").rows == ((2,),)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "", "I cannot answer that.", "DROP TABLE spreadsheet", "INSERT INTO spreadsheet (doc_id) VALUES ('x')",
        "SELECT 1; SELECT 2", "PRAGMA database_list", "ATTACH '/tmp/x' AS x", "SELECT nothing FROM spreadsheet",
        'SELECT "nothing" FROM spreadsheet', 'SELECT DISTINCT name, "a`b" AS label FROM spreadsheet',
        "SELECT name FROM sqlite_master", "SELECT load_extension('x') FROM spreadsheet", "SELECT sqlite_version()",
        "SELECT readfile('/etc/passwd')", "SELECT hex(zeroblob(100000000)) FROM spreadsheet",
        "SELECT name FROM spreadsheet\0",
        "SELECT * FROM pragma_table_info('spreadsheet')", "SELECT name FROM other.spreadsheet", "SELECT 'open",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "SELECT * FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)",
        "SELECT name FROM spreadsheet WHERE name = 'a' UNION SELECT sql FROM sqlite_master", "SELECT ((((",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    ],
)  # fmt: skip
def test_nothing_but_one_harmless_select_runs(run, sandbox, sql):
    with pytest.raises(SQLRefused):
        run(sql)
    assert sandbox.run("SELECT count(*) FROM spreadsheet").rows == ((5,),)


def test_a_statement_without_end_is_stopped(sandbox, monkeypatch):
    monkeypatch.setattr(sandboxes, "SECONDS", 0.05)
    tables = ", ".join(f"spreadsheet t{number}" for number in range(20))
    with pytest.raises(SQLRefused, match="longer than"):
        sandbox.run(f"SELECT count(*) FROM {tables}")


def test_the_number_of_rows_is_limited():
    with Sandbox([sheet_of([["n"], *([str(number)] for number in range(300))])]) as sandbox:
        assert len(sandbox.run("SELECT n_long FROM spreadsheet").rows) == 128


def test_quotes_in_names_and_texts_stay_inside_of_them(run):
    with pytest.raises(SQLRefused):
        run('SELECT "a""; DROP TABLE spreadsheet; --" FROM nowhere')
    assert run("SELECT name FROM spreadsheet WHERE name = 'x''; DROP TABLE spreadsheet; --'") is None
