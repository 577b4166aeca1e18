"""/v1/document/*: documents under the contract's stored names."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.documents.models import Document, IngestTask

pytestmark = pytest.mark.django_db(transaction=True)

DENIED = {"code": 109, "message": "No authorization.", "data": False}
NO_KB = {"code": 101, "message": 'Lack of "KB ID"', "data": False}


def names(page):
    return [row["name"] for row in page["docs"]]


# -- upload and create ---------------------------------------------------------------------------------------------


def test_an_upload(send, kb, tenant, call):
    name = "it's 100% a;b&c.txt"
    (row,) = send((name, b"x"))["data"]
    assert set(row) == {
        *("id", "kb_id", "parser_id", "pipeline_id", "parser_config", "created_by", "type", "name", "source_type"),
        *("suffix", "location", "size", "thumbnail"),
    }
    assert (row["kb_id"], row["name"], row["size"], row["created_by"]) == (kb, name, 1, tenant.pk)
    again = send((name, b""), ("b.png", b"x"))["data"]
    assert [(row["name"], row["size"], row["parser_id"]) for row in again] == [
        ("it's 100% a;b&c(1).txt", 0, "naive"),
        ("b.png", 1, "picture"),
    ]
    assert call("kb/list")["data"]["kbs"][0]["doc_num"] == 3


def test_uploads_that_cannot_be(send, profile):
    file = ("a.txt", b"x")
    assert send(file, kb_id=None)["message"] == "required argument are missing: kb_id; "
    assert send(file, kb_id="") == NO_KB
    assert send() == {"code": 101, "message": "No file part!", "data": False}
    assert send(("", b"x"))["message"] == "No file selected!"
    assert send(("a" * 252 + ".txt", b"x"))["message"] == "File name must be 255 bytes or less."
    unknown = send(file, kb_id="f" * 32)
    if profile == "exact":
        assert unknown == {"code": 100, "message": """LookupError("Can't find this dataset!")""", "data": None}
    assert unknown["code"] in {100, 102}
    assert not Document.objects.exists()


def test_files_of_unknown_types(send):
    answer = send(("a.exe", b"x"), ("b.txt", b"x"), ("c.unknown", b"x"))
    refusal = "This type of file has not been supported yet!"
    assert (answer["code"], answer["message"]) == (500, f"a.exe: {refusal}\nc.unknown: {refusal}")
    assert [row["name"] for row in answer["data"]] == ["b.txt"]


def test_documents_without_content(call, kb, listed, parse, state):
    made = call("document/create", {"kb_id": kb, "name": " notes.txt "})["data"]
    assert (made["name"], made["type"], made["size"], made["kb_id"]) == ("notes.txt", "virtual", 0, kb)
    assert call("document/create", {"kb_id": kb, "name": "notes.txt"}) == {
        "code": 102,
        "message": "Duplicated document name in the same dataset.",
    }
    assert (names(listed()), call("kb/list")["data"]["kbs"][0]["doc_num"]) == (["notes.txt"], 1)
    parse(made["id"])
    assert state(made["id"])["run"] == "3"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"name": "a"}, {"code": 101, "message": "required argument are missing: kb_id; ", "data": None}),
        ({"name": "a", "kb_id": ""}, NO_KB),
        ({"name": " ", "kb_id": "x"}, {"code": 101, "message": "File name can't be empty.", "data": False}),
        (
            {"name": "a" * 256, "kb_id": "x"},
            {"code": 101, "message": "File name must be 255 bytes or less.", "data": False},
        ),
        ({"name": "a", "kb_id": "f" * 32}, {"code": 102, "message": "Can't find this dataset!"}),
    ],
)
def test_creations_that_cannot_be(call, profile, body, answer):
    assert call("document/create", body) == answer


# -- list ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected", "total"),
    [
        ("", ["d_2.txt", "d_1.txt", "d_0.txt"], 3),
        ("&page_size=2", ["d_2.txt", "d_1.txt", "d_0.txt"], 3),
        ("&page=2&page_size=2", ["d_0.txt"], 3),
        ("&orderby=update_time&desc=False", ["d_0.txt", "d_1.txt", "d_2.txt"], 3),
        ("&keywords=0", ["d_0.txt"], 1),
        ("&keywords=D_", ["d_2.txt", "d_1.txt", "d_0.txt"], 3),
        ("&keywords=unknown", [], 0),
    ],
)
def test_pages_orders_and_filters(send, listed, query, expected, total):
    for number in range(3):
        send((f"d_{number}.txt", b"x"))
    page = listed(query)
    assert (names(page), page["total"]) == (expected, total)


def test_filters_of_the_body(send, call, listed, parse, kb):
    first, second = (row["id"] for row in send(("a.txt", b"x"), ("b.md", b"x"))["data"])
    parse(first)
    assert call("document/set_meta", {"doc_id": second, "meta": '{"year": 2024, "by": ["ann", "bob"]}'})["data"] is True
    for body, expected in [
        ({"run_status": ["3"]}, ["a.txt"]),
        ({"suffix": ["md"]}, ["b.md"]),
        ({"types": ["pdf"]}, []),
        ({"metadata": {"by": ["bob", "eve"], "year": 2024}}, ["b.md"]),
        ({"metadata": {"by": "eve"}}, []),
        ({"metadata": {"empty_metadata": True}}, ["a.txt"]),
        ({"return_empty_metadata": True}, ["a.txt"]),
        (
            {"metadata_condition": {"conditions": [{"name": "year", "comparison_operator": ">", "value": 2000}]}},
            ["b.md"],
        ),
    ]:
        assert names(listed(body=body)) == expected, body
    assert call("document/filter", {"kb_id": kb})["data"] == {
        "total": 2,
        "filter": {
            "suffix": {"txt": 1, "md": 1},
            "run_status": {"3": 1, "0": 1},
            "metadata": {"year": {"2024": 1}, "by": {"ann": 1, "bob": 1}, "empty_metadata": {"true": 1}},
        },
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"run_status": ["9", "x"]}, "Invalid filter run status conditions: 9, x"),
        ({"types": ["x"]}, "Invalid filter conditions: x type"),
        ({"types": ["x", "y"]}, "Invalid filter conditions: x, y types"),
        ({"metadata": [1]}, "metadata must be an object."),
        ({"metadata_condition": [1]}, "metadata_condition must be an object."),
    ],
)
def test_filters_that_cannot_be(call, kb, body, message):
    assert call(f"document/list?kb_id={kb}", body) == {"code": 102, "message": message}


MORE_THAN_A_STATEMENT_TAKES = 260_000  # parameters, of SQLite


def test_filters_beyond_what_a_statement_takes(send, call, kb, listed):
    """SQLite refuses long patterns, and 250,000 parameters; a client is not told of it as a failure of the server."""
    send(("a.txt", b"x"))
    suffixes = [*map(str, range(MORE_THAN_A_STATEMENT_TAKES)), "txt"]
    assert names(listed(body={"suffix": suffixes})) == ["a.txt"]
    assert call("document/filter", {"kb_id": kb, "keywords": "a" * 60_000})["data"]["total"] == 0
    assert call("document/filter", {"kb_id": kb, "suffix": suffixes})["data"]["total"] == 1


def test_each_value_of_metadata_is_a_question(send, call, kb, document, listed):
    assert call("document/set_meta", {"doc_id": document, "meta": '{"year": 99}'})["data"] is True
    values = list(range(100))
    assert len(listed(body={"metadata": {"year": values}})["docs"]) == 1
    for refused in ({"year": [*values, 100]}, {str(value): value for value in range(101)}):
        answer = call(f"document/list?kb_id={kb}", {"metadata": refused})
        assert (answer["code"], answer["message"]) == (101, "`metadata` must not name more than 100 values.")


def test_lists_need_a_dataset(call, profile):
    assert call("document/list") == NO_KB
    refused = {"code": 103, "message": "Only owner of dataset authorized for this operation.", "data": False}
    assert call(f"document/list?kb_id={'f' * 32}") == refused


@pytest.mark.parametrize("count", [1, 5])
def test_a_list_costs_the_same_however_long(send, listed, count):
    send(*((f"{number}.txt", b"x") for number in range(count)))
    with CaptureQueriesContext(connection) as queries:
        listed("&page=1&page_size=10")
    reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) == 4, reads  # credentials, the dataset, rows, who made them


# -- parsing -------------------------------------------------------------------------------------------------------


def test_parsing(call, send, state, run_tasks):
    first, second = (row["id"] for row in send(("a.txt", b"The fox."), ("b.txt", b"The dog."))["data"])
    assert call("document/run", {"doc_ids": [first, first, second], "run": "1"})["data"] is True
    begun = state(first)
    assert (begun["run"], begun["progress_msg"], bool(begun["process_begin_at"])) == ("1", "Task is queued...", True)
    assert 0 < begun["progress"] < 1
    assert run_tasks() == 2
    done = state(first)
    assert (done["run"], done["progress"], done["chunk_num"]) == ("3", 1, 1)
    assert done["process_duration"] > 0
    assert "Task done" in done["progress_msg"]


def test_a_document_that_is_being_parsed_goes_on(call, document, run_tasks):
    for _ in range(2):
        assert call("document/run", {"doc_ids": [document], "run": 1})["code"] == 0
    assert IngestTask.objects.count() == 1


def test_an_unchanged_document_keeps_its_chunks(call, document, parse, state):
    parse(document)
    (parsed,) = call("chunk/list", {"doc_id": document})["data"]["chunks"]
    call("chunk/rm", {"doc_id": document, "chunk_ids": [parsed["chunk_id"]]})
    call("chunk/create", {"doc_id": document, "content_with_weight": "by hand"})
    assert parse(document) == 0
    again = state(document)
    assert (again["run"], again["progress"]) == ("3", 1)
    assert "Reused previous task's chunks." in again["progress_msg"]
    assert "Task done" in again["progress_msg"]
    assert again["process_duration"] > 0
    shown = call("chunk/list", {"doc_id": document})["data"]["chunks"]
    assert [chunk["content_with_weight"] for chunk in shown] == ["by hand"]


@pytest.mark.parametrize("how", ["delete", "config", "method", "cancelled"])
def test_what_makes_a_document_be_parsed_anew(call, api, kb, document, parse, state, how):
    parse(document)
    (parsed,) = call("chunk/list", {"doc_id": document})["data"]["chunks"]
    call("chunk/rm", {"doc_id": document, "chunk_ids": [parsed["chunk_id"]]})
    path = f"/api/v1/datasets/{kb}/documents/{document}"
    if how == "config":
        api.call("PUT", path, {"parser_config": {"chunk_token_num": 64}})
    elif how == "method":
        api.call("PUT", path, {"chunk_method": "book"})
    elif how == "cancelled":
        call("document/run", {"doc_ids": [document], "run": 1, "delete": True})
        call("document/run", {"doc_ids": [document], "run": 2})
    assert parse(document, **({"delete": True} if how == "delete" else {})) == 1
    assert (state(document)["run"], state(document)["chunk_num"]) == ("3", 1)


def test_settings_of_later_stages_change_nothing(call, api, kb, document, parse):
    parse(document)
    Document.objects.update(parser_config=Document.objects.get().parser_config | {"raptor": {"use_raptor": False}})
    assert parse(document) == 0


def test_cancelling(call, document, run_tasks, state):
    refused = {"code": 102, "message": "Cannot cancel a task that is not in RUNNING status"}
    assert call("document/run", {"doc_ids": [document], "run": 2}) == refused
    call("document/run", {"doc_ids": [document], "run": 1})
    assert call("document/run", {"doc_ids": [document, document], "run": "2"})["data"] is True
    assert run_tasks() == 0
    cancelled = state(document)
    assert (cancelled["run"], cancelled["progress"], bool(cancelled["process_begin_at"])) == ("2", 0.0, True)
    assert call("document/run", {"doc_ids": [], "run": 2})["data"] is True


def test_nothing_is_started_when_one_is_unknown(call, document, state):
    assert call("document/run", {"doc_ids": [document, "f" * 32], "run": 1}) == DENIED
    assert state(document)["run"] == "0"
    assert call("document/run", {"doc_ids": [document], "run": 7})["code"] == 101
    assert call("document/run", "text")["message"] == "required argument are missing: doc_ids,run; "


# -- one document --------------------------------------------------------------------------------------------------


def test_deleting(call, send, listed):
    ids = [row["id"] for row in send(("a.txt", b"x"), ("b.txt", b"x"), ("c.txt", b"x"))["data"]]
    assert call("document/rm", {"doc_id": [ids[0], "f" * 32]}) == DENIED
    assert call("document/rm", {"doc_id": ids[0]})["data"] is True
    assert call("document/rm", {"doc_id": ids[1:]})["data"] is True
    assert listed() == {"total": 0, "docs": []}
    assert call("document/rm", {"doc_id": ids[0]}) == DENIED
    assert call("document/rm", {"doc_id": ""}) == DENIED
    assert call("document/rm", "text")["message"] == "required argument are missing: doc_id; "


def test_switching(call, document, state, profile):
    for status in ("0", "0", 1):
        assert call("document/change_status", {"doc_ids": [document], "status": status})["data"] == {
            document: {"status": str(status)}
        }
        assert state(document)["status"] == str(status)
    answer = call("document/change_status", {"doc_ids": [document, "x"], "status": "0"})
    assert (answer["code"], answer["message"]) == (500, "Partial failure")
    assert answer["data"] == {document: {"status": "0"}, "x": {"error": "No authorization."}}
    refused = call("document/change_status", {"doc_ids": [document], "status": "2"})
    assert (refused["code"], refused["message"]) == (101, '"Status" must be either 0 or 1!')


def test_renaming(call, send, document, state):
    send(("taken.txt", b"x"))
    for name, code, message in [
        ("fox.md", 101, "The extension of file can't be changed"),
        ("a" * 252 + ".txt", 101, "File name must be 255 bytes or less."),
        ("taken.txt", 102, "Duplicated document name in the same dataset."),
        ("new.TXT", 0, "success"),
    ]:
        answer = call("document/rename", {"doc_id": document, "name": name})
        assert (answer["code"], answer["message"]) == (code, message)
    assert state(document)["name"] == "new.TXT"
    assert call("document/rename", {"doc_id": "x", "name": "a.txt"}) == DENIED


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("[1]", "Only dictionary type supported."),
        ('{"a": null}', "The type is not supported: None"),
        ('{"a": [{}]}', "The type is not supported in list: [{}]"),
        ("{", "Json syntax error: "),
        (5, "Json syntax error: "),
    ],
)
def test_metadata_that_cannot_be(call, document, state, meta, message):
    answer = call("document/set_meta", {"doc_id": document, "meta": meta})
    assert answer["code"] == 101
    assert answer["message"].startswith(message)
    assert state(document)["meta_fields"] == {}
