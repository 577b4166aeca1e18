"""GET /documents: restrictions, order, pages."""

from __future__ import annotations

import pytest

from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document
from apps.documents.services import deleting


@pytest.fixture
def five(upload):
    return upload("a.txt", "b.md", "Report 10%_x.txt", "d.pdf", "É.txt")


@pytest.fixture
def names(api, base):
    def read(query=""):
        answer = api.call("GET", f"{base}/documents{query}")
        assert answer["code"] == 0, answer
        return [document["name"] for document in answer["data"]["docs"]], answer["data"]["total"]

    return read


def test_a_document_as_the_contract_shows_it(api, base, dataset, upload, profile):
    (id_,) = upload("a.txt")
    (document,) = api.call("GET", f"{base}/documents")["data"]["docs"]
    assert document["id"] == id_
    assert isinstance(document.pop("create_time"), int)
    expected = {
        "chunk_count": 0,
        "token_count": 0,
        "progress": 0.0,
        "progress_msg": "",
        "process_begin_at": None,
        "process_duration": 0.0,
        "meta_fields": {},
        "status": "1",
        "title": None,
        "run": "UNSTART",
        "size": 44,
        "parser_config": dataset["parser_config"],
    }
    assert {name: document[name] for name in expected} == expected
    assert set(document) >= {"create_date", "update_time", "update_date", "location", "thumbnail", "created_by"}


@pytest.mark.parametrize(
    ("query", "expected", "total"),
    [
        ("", ["É.txt", "d.pdf", "Report 10%_x.txt", "b.md", "a.txt"], 5),
        ("?desc=false", ["a.txt", "b.md", "Report 10%_x.txt", "d.pdf", "É.txt"], 5),
        ("?desc=FALSE%20", ["a.txt", "b.md", "Report 10%_x.txt", "d.pdf", "É.txt"], 5),
        ("?orderby=name&desc=false", ["Report 10%_x.txt", "a.txt", "b.md", "d.pdf", "É.txt"], 5),
        ("?orderby=chunk_num&page_size=0", [], 5),
        ("?page=2&page_size=2", ["Report 10%_x.txt", "b.md"], 5),
        ("?page=0&page_size=2", ["É.txt", "d.pdf"], 5),
        ("?page=3&page_size=2", ["a.txt"], 5),
        ("?page=&page_size=2000", ["É.txt", "d.pdf", "Report 10%_x.txt", "b.md", "a.txt"], 5),
        ("?page=9223372036854775807&page_size=9223372036854775807", [], 5),
        ("?keywords=REPORT", ["Report 10%_x.txt"], 1),
        ("?keywords=0%25_", ["Report 10%_x.txt"], 1),
        ("?keywords=%25", ["Report 10%_x.txt"], 1),
        ("?keywords=nothing", [], 0),
        ("?name=B.MD", ["b.md"], 1),
        ("?name=%C3%A9.txt", ["É.txt"], 1),
        ("?id=&name=", ["É.txt", "d.pdf", "Report 10%_x.txt", "b.md", "a.txt"], 5),
        ("?suffix=pdf&suffix=md", ["d.pdf", "b.md"], 2),
        ("?suffix=PDF", [], 0),
        ("?run=UNSTART&page_size=1", ["É.txt"], 5),
        ("?run=0&page_size=1", ["É.txt"], 5),
        ("?run=DONE", [], 0),
        ("?run=nonsense", [], 0),
        ("?unknown=1&page_size=1", ["É.txt"], 5),
        ("?create_time_from=0&create_time_to=0&page_size=1", ["É.txt"], 5),
        ("?create_time_to=1", [], 0),
        ("?metadata_condition=", ["É.txt", "d.pdf", "Report 10%_x.txt", "b.md", "a.txt"], 5),
        ("?metadata_condition=%7B%7D&page_size=1", ["É.txt"], 5),
    ],
)
def test_restrictions_order_and_pages(five, names, query, expected, total):
    assert names(query) == (expected, total)


def test_times_are_inclusive_to_the_millisecond(api, base, five, names):
    moments = {
        document["name"]: document["create_time"] for document in api.call("GET", f"{base}/documents")["data"]["docs"]
    }
    moment = moments["b.md"]
    assert "b.md" in names(f"?create_time_from={moment}&create_time_to={moment}")[0]
    assert "b.md" not in names(f"?create_time_from={moment + 1}")[0]
    assert "b.md" not in names(f"?create_time_to={moment - 1}")[0]


def test_id_and_name_of_different_documents(five, names):
    assert names(f"?id={five[0]}") == (["a.txt"], 1)
    assert names(f"?id={five[0]}&name=b.md") == ([], 0)


@pytest.mark.parametrize(
    ("query", "code", "status", "message"),
    [
        ("?id=unknown", 102, 404, "You don't own the document unknown."),
        ("?id=a%00b", 102, 404, "You don't own the document a\0b."),
        ("?name=unknown", 102, 404, "You don't own the document unknown."),
        ("?id=unknown&page=a", 102, 404, "You don't own the document unknown."),
        ("?metadata_condition=x", 102, 400, "metadata_condition must be valid JSON."),
        ("?metadata_condition=%5B1%5D", 102, 400, "metadata_condition must be an object."),
    ],
)
def test_mistakes(api, base, five, profile, query, code, status, message):
    answer = api.call("GET", f"{base}/documents{query}")
    assert answer == {"code": code, "message": message, "status": status if profile == "standard" else 200}


@pytest.mark.parametrize(
    ("query", "sentence", "reference"),
    [
        ("?page=a", "`page` must be a whole number, not 'a'.", None),
        ("?page_size=1.5", "`page_size` must be a whole number, not '1.5'.", None),
        ("?create_time_from=x", "`create_time_from` must be a whole number, not 'x'.", None),
        ("?create_time_to=x", "`create_time_to` must be a whole number, not 'x'.", None),
        (
            "?orderby=nope",
            "`orderby` must be a field of a document, not 'nope'.",
            "AttributeError(\"type object 'Document' has no attribute 'nope'\")",
        ),
        ("?create_time_from=99999999999999999", "`create_time_from` must be a Unix time in milliseconds.", ""),
        ("?page=-1", "`page` and `page_size` must not be negative.", ""),
    ],
)
def test_values_that_cannot_be_read(api, base, profile, query, sentence, reference):
    answer = api.call("GET", f"{base}/documents{query}")
    if profile == "standard":
        assert answer == {"code": 101, "message": sentence, "data": None, "status": 400}
        return
    value = query.partition("=")[2]
    expected = (
        sentence
        if reference == ""
        else reference or f"""ValueError("invalid literal for int() with base 10: '{value}'")"""
    )
    assert answer == {"code": 100, "message": expected, "data": None, "status": 200}


def test_a_dataset_that_is_not_the_callers(api, other, profile):
    for id_ in ("unknown", other.create_dataset()["id"]):
        answer = api.call("GET", f"/api/v1/datasets/{id_}/documents")
        assert (answer["code"], answer["message"]) == (102, f"You don't own the dataset {id_}. ")


def test_no_dataset_id_is_the_shorter_route(api):
    for path in ("documents", "chunks"):
        answer = api.call("DELETE", f"/api/v1/datasets//{path}", {"ids": []})
        assert (answer["code"], answer["message"]) == (100, "<MethodNotAllowed '405: Method Not Allowed'>")


@pytest.mark.parametrize("count", [1, 12])
def test_the_number_of_queries_does_not_grow(api, base, upload, django_assert_num_queries, count):
    upload(*(f"{number}.txt" for number in range(count)))
    with django_assert_num_queries(3):  # token with its owner, dataset, page
        api.call("GET", f"{base}/documents")
    with django_assert_num_queries(5):  # and whether the name exists, and how many
        api.call("GET", f"{base}/documents?name=0.txt")


def test_documents_that_are_being_deleted_are_not_listed(five, names):
    deleting.hide(KnowledgeBase.objects.get(), [Document.objects.get(name="b.md").pk])
    assert names()[1] == 4
