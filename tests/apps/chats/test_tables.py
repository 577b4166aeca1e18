"""Spreadsheets, from the upload to an answer read by SQL: with a scripted provider and without a language model."""

from __future__ import annotations

import io
import re

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.chats.models import Message
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, DocumentTable
from tests.tools.model_server import Reply

pytestmark = pytest.mark.django_db(transaction=True)

EMPLOYEES = [
    ["employee_id", "name", "department", "salary"],
    ["E001", "Alice", "Engineering", "9500"],
    ["E002", "Bob", "Marketing", "8000"],
    ["E003", "Carol", "Engineering", "9000"],
]
PRODUCTS = [["product", "price"], ["Mouse", "79"], ["Keyboard", "120"], ["Mouse", "79"]]
END = {"code": 0, "data": True}
PRODUCT_TABLE = "|product|Source|\n|------|------|\n|Mouse| ##0$$|\n|Keyboard| ##1$$|\n|Mouse| ##2$$|"
SQL = "SELECT product_tks FROM spreadsheet WHERE product_tks IS NOT NULL"


def workbook(rows) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def delimited(rows, separator=",") -> bytes:
    return "\n".join(separator.join(row) for row in rows).encode()


@pytest.fixture
def tables(api, run_tasks):
    """A dataset of two parsed spreadsheets."""
    dataset = api.create_dataset("tables", chunk_method="table")["id"]
    files = [("employees.xlsx", workbook(EMPLOYEES)), ("products.csv", delimited(PRODUCTS))]
    ids = [document["id"] for document in api.upload(dataset, *files)]
    parse(api, dataset, ids)
    assert run_tasks() == 2
    return dataset


def parse(api, dataset, ids):
    answer = api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": ids})
    assert answer["code"] == 0, answer


def document_of(dataset, name):
    return Document.objects.get(dataset_id=dataset, name=name)


@pytest.fixture
def ask(asgi, create_chat, new_session, tables):
    """Return a function that asks an assistant of the dataset and returns the answer's data."""
    made = {}

    def send(question, **body):
        if not made:
            chat = create_chat("of tables", dataset_ids=[tables])["id"]
            made["path"], made["session"] = f"/api/v1/chats/{chat}/completions", new_session(chat)
        reply = asgi.ask(made["path"], {"question": question, "session_id": made["session"], "stream": False} | body)
        if reply.is_stream:
            return reply.frames
        assert reply.json["code"] == 0, reply.body
        return reply.json["data"]

    return send


def test_rows_are_chunks_and_columns_are_known_to_the_dataset(api, tables):
    chunks = api.call("GET", f"/api/v1/datasets/{tables}/documents/{document_of(tables, 'employees.xlsx').pk}/chunks")
    assert next(chunk["content"] for chunk in chunks["data"]["chunks"]) == (
        "- employee_id: E001\n- name: Alice\n- department: Engineering\n- salary: 9500"
    )
    # Both spreadsheets were parsed by workers that read the dataset before either had ended.
    assert KnowledgeBase.objects.get(pk=tables).parser_config["field_map"] == {
        "employee_id_tks": "employee id", "name_tks": "name", "department_tks": "department", "salary_long": "salary",
        "product_tks": "product", "price_long": "price",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("question", "pattern"),
    [
        ("show me column of product", r"\|product\|Source\|\n"),
        ("which product has price 79", r"\|Mouse\|"),
        ("How many rows in the dataset?", r"\|COUNT\(\*\)\|\n\|------\|\n\|6\|"),
        ("Show me all employees in Engineering department", r"\|Alice\|[^\n]*\n[^\n]*\|Carol\|"),
    ],
)
def test_without_a_language_model_plain_questions_are_read(ask, question, pattern):
    assert re.search(pattern, ask(question)["answer"])


def test_one_answer(ask, provider, tables, session):
    provider.script(Reply(text=f"```sql\n{SQL};\n```"))
    data = ask("show me the products")
    document = document_of(tables, "products.csv")
    assert data.keys() == {"answer", "reference", "prompt", "id", "session_id"}
    assert data["answer"] == PRODUCT_TABLE
    chunk = dict.fromkeys(
        ["id", "content", "dataset_id", "image_id", "positions", "url", "similarity", "vector_similarity",
         "term_similarity", "doc_type"]
    ) | {"document_id": document.pk, "document_name": "products.csv"}  # fmt: skip
    assert data["reference"] == {
        "chunks": [chunk] * 3,
        "doc_aggs": [{"doc_name": "products.csv", "doc_id": document.pk, "count": 3}],
    }
    asked = provider.exchanges[-1].body
    assert asked["temperature"] == 0.06
    shape = r"Table: \w+\n(- \w+ \([^\n]+\)\n)+Question: show me the products"
    assert re.fullmatch(shape, asked["messages"][1]["content"])
    said = Message.objects.latest("id")
    assert (said.content, said.reference) == (data["answer"], data["reference"])


def test_a_stream_is_one_frame(ask, provider):
    provider.script(Reply(text=SQL))
    frame, end = ask("show me the products", stream=True)
    assert end == END
    assert frame.keys() == {"code", "data"}
    assert frame["data"].keys() == {"answer", "reference", "prompt", "id", "session_id"}
    assert frame["data"]["answer"] == PRODUCT_TABLE
    assert len(frame["data"]["reference"]["chunks"]) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_openais_form(asgi, create_chat, tables, provider, stream):
    chat = create_chat("of tables", dataset_ids=[tables])["id"]
    provider.script(Reply(text=SQL))
    body = {"model": "m", "messages": [{"role": "user", "content": "show me the products"}], "stream": stream}
    reply = asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body | {"extra_body": {"reference": True}})
    if stream:
        first, last, end = reply.frames
        assert (first["choices"][0]["delta"]["content"], end) == (PRODUCT_TABLE, "[DONE]")
        reference = last["choices"][0]["delta"]["reference"]
    else:
        message = reply.json["choices"][0]["message"]
        assert message["content"] == PRODUCT_TABLE
        reference = message["reference"]
    assert [chunk["document_name"] for chunk in reference] == ["products.csv"] * 3


def test_the_question_goes_to_sql_as_it_was_sent(ask, provider):
    ask("first")
    provider.reset()
    provider.script(Reply(text="SELECT count(*) AS n FROM spreadsheet"))
    assert ask("and how many?")["answer"] == "|COUNT(*)|\n|------|\n|6|"
    (only,) = provider.exchanges
    assert only.body["messages"][1]["content"].endswith("\nQuestion: and how many?")
    assert len(only.body["messages"]) == 2


def test_without_usable_sql_the_text_is_searched(ask, provider):
    provider.script(
        Reply(text="DROP TABLE spreadsheet"), Reply(text="no idea"), Reply(text="Alice works there [ID:0].")
    )
    data = ask("Alice in Engineering")
    assert data["answer"] == "Alice works there [ID:0]."
    assert "Alice" in data["reference"]["chunks"][0]["content"]
    assert "not authorized" not in data["answer"]
    assert "It failed" in provider.exchanges[1].body["messages"][1]["content"]


def test_zero_rows_are_searched_without_a_second_try(ask, provider):
    provider.script(Reply(text="SELECT product FROM spreadsheet WHERE price = 1"), Reply(text="None at that price."))
    assert ask("which product has price 1")["answer"].startswith("None at that price.")
    assert len(provider.exchanges) == 2


def test_tokens_of_the_sql_are_the_answers(asgi, create_chat, tables, provider):
    chat = create_chat("of tables", dataset_ids=[tables])["id"]
    provider.script(Reply(text=SQL))
    body = {"model": "m", "messages": [{"role": "user", "content": "products"}], "stream": False}
    usage = asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body).json["usage"]
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


# -- what may be read ----------------------------------------------------------------------------------------------


def test_a_document_that_was_switched_off_or_deleted_is_not_read(api, ask, tables, provider):
    path = f"/api/v1/datasets/{tables}/documents"
    products = document_of(tables, "products.csv").pk
    count = Reply(text="SELECT count(*) FROM spreadsheet")
    provider.script(count)
    assert "|6|" in ask("rows?")["answer"]
    assert api.call("PUT", f"{path}/{products}", {"enabled": False})["code"] == 0
    provider.script(count)
    data = ask("rows?")
    assert "|3|" in data["answer"]
    assert [item["doc_name"] for item in data["reference"]["doc_aggs"]] == ["employees.xlsx"]
    assert api.call("DELETE", path, {"ids": [document_of(tables, "employees.xlsx").pk]})["code"] == 0
    provider.script(Reply(text="There is nothing."))
    assert "|" not in ask("rows?")["answer"]
    assert list(DocumentTable.objects.values_list("document_id", flat=True)) == [products]


def test_rows_whose_chunk_was_switched_off_or_deleted_are_not_read(api, ask, tables, provider):
    document = document_of(tables, "employees.xlsx").pk
    path = f"/api/v1/datasets/{tables}/documents/{document}/chunks"
    chunks = {chunk["content"]: chunk["id"] for chunk in api.call("GET", path)["data"]["chunks"]}
    alice, bob = (next(id_ for text, id_ in chunks.items() if name in text) for name in ("Alice", "Bob"))
    assert api.call("PUT", f"{path}/{alice}", {"available": False})["code"] == 0
    assert api.call("DELETE", path, {"chunk_ids": [bob]})["code"] == 0
    provider.script(Reply(text="SELECT name FROM spreadsheet WHERE name IS NOT NULL"))
    assert ask("names?")["answer"].splitlines()[2:] == ["|Carol| ##0$$|"]


def test_doc_ids_and_conditions_hold_for_rows_too(api, ask, tables, provider):
    employees = document_of(tables, "employees.xlsx").pk
    provider.script(Reply(text="SELECT count(*) FROM spreadsheet"))
    assert "|3|" in ask("rows?", doc_ids=employees)["answer"]
    metadata = {"meta_fields": {"year": "2024"}}
    assert api.call("PUT", f"/api/v1/datasets/{tables}/documents/{employees}", metadata)["code"] == 0
    condition = {"conditions": [{"name": "year", "comparison_operator": "is", "value": "2024"}]}
    provider.script(Reply(text="SELECT count(*) FROM spreadsheet"))
    assert "|3|" in ask("rows?", metadata_condition=condition)["answer"]


def test_a_renamed_document_is_cited_by_its_new_name(api, ask, tables, provider):
    products = document_of(tables, "products.csv").pk
    assert api.call("PUT", f"/api/v1/datasets/{tables}/documents/{products}", {"name": "goods.csv"})["code"] == 0
    provider.script(Reply(text=SQL))
    assert ask("products")["reference"]["doc_aggs"][0]["doc_name"] == "goods.csv"


def test_parsing_again_replaces_rows(api, ask, tables, run_tasks, provider):
    products = document_of(tables, "products.csv")
    parse(api, tables, [products.pk])
    provider.script(Reply(text="SELECT count(*) FROM spreadsheet"))
    assert "|3|" in ask("rows, while the products are not there?")["answer"]
    run_tasks()
    provider.script(Reply(text="SELECT count(*) FROM spreadsheet"))
    assert "|6|" in ask("rows?")["answer"]
    Document.objects.filter(pk=products.pk).update(chunk_method="naive")
    parse(api, tables, [products.pk])
    run_tasks()
    assert not DocumentTable.objects.filter(document=products).exists()


def test_datasets_without_tables_are_asked_no_sql(asgi, provider, chat, session):
    path = f"/api/v1/chats/{chat}/completions"
    asgi.ask(path, {"question": "the bridge?", "session_id": session, "stream": False})
    (only,) = provider.exchanges
    assert "Table:" not in str(only.body)


def test_reading_tables_costs_the_same_number_of_queries_for_any_number(api, tables, run_tasks):
    from apps.documents.tables import sheets_in

    with CaptureQueriesContext(
        connection,
    ) as few:
        assert len(sheets_in([tables])) == 2
    files = [(f"more{number}.csv", delimited(PRODUCTS)) for number in range(5)]
    parse(api, tables, [document["id"] for document in api.upload(tables, *files)])
    run_tasks()
    with CaptureQueriesContext(connection) as many:
        assert len(sheets_in([tables])) == 7
    assert len(few) == len(many) == 1


# -- parsing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("twice.csv", b"a,a\n1,2", "two columns called 'a'"),
        ("wide.csv", b"a,b\n1,2\n1,2,3\n4,5", "1 row of wide.csv was skipped"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(api, run_tasks, name, content, message):
    dataset = api.create_dataset("wrong", chunk_method="table")["id"]
    (document,) = api.upload(dataset, (name, content))
    parse(api, dataset, [document["id"]])
    run_tasks()
    assert message in document_of(dataset, name).progress_message


def test_numbering_columns_are_left_out_and_text_may_be_separated_by_tabs(api, run_tasks):
    dataset = api.create_dataset("tabs", chunk_method="table")["id"]
    (document,) = api.upload(dataset, ("tabs.txt", delimited([["ID", "a", ""], ["1", "x, y", "z"]], "\t")))
    parse(api, dataset, [document["id"]])
    run_tasks()
    chunks = api.call("GET", f"/api/v1/datasets/{dataset}/documents/{document['id']}/chunks")["data"]["chunks"]
    assert [chunk["content"] for chunk in chunks] == ["- a: x, y\n- Column 3: z"]
