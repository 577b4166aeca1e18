"""/v1/chunk/*: chunks under the contract's stored names."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def add(call, document):
    def make(content, **fields):
        answer = call("chunk/create", {"doc_id": document, "content_with_weight": content} | fields)
        assert answer["code"] == 0, answer
        return answer["data"]["chunk_id"]

    return make


@pytest.fixture
def chunks(call, document):
    def read(**fields):
        return call("chunk/list", {"doc_id": document} | fields)["data"]

    return read


@pytest.mark.parametrize("content", [" ", "\n!?", "plain", "日本"])
def test_a_chunk_comes_back_as_it_was_sent(add, call, chunks, document, kb, content):
    words, questions = ["b", "a", "a", ""], ["why?", "", "why?"]
    chunk_id = add(content, important_kwd=words, question_kwd=questions)
    shown = call(f"chunk/get?chunk_id={chunk_id}", method="GET")["data"]
    expected = {"content_with_weight": content, "important_kwd": words, "question_kwd": questions, "doc_id": document}
    assert {key: shown[key] for key in expected} == expected
    assert (shown["kb_id"], shown["id"], shown["available_int"]) == (kb, chunk_id, 1)
    (row,) = chunks()["chunks"]
    assert {key: row[key] for key in expected} == expected
    assert chunks()["doc"]["chunk_num"] == 1


_REFUSED = {"error": "Input validation error: `inputs` cannot be empty", "error_type": "Validation"}
NOTHING = f"Exception('Error: 413 - {json.dumps(_REFUSED, separators=(',', ':'))}')"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        (
            {"content_with_weight": None},
            100,
            """TypeError("unsupported operand type(s) for +: 'NoneType' and 'str'")""",
        ),
        ({"important_kwd": "x"}, 102, "`important_kwd` is required to be a list"),
        ({"important_kwd": [1]}, 100, "TypeError('sequence item 0: expected str instance, int found')"),
        ({"question_kwd": "x"}, 102, "`question_kwd` is required to be a list"),
        ({"question_kwd": [1]}, 100, "TypeError('sequence item 0: expected str instance, int found')"),
        ({"doc_id": ""}, 102, "Document not found!"),
        ({"doc_id": "f" * 32}, 102, "Document not found!"),
        ({"content_with_weight": ""}, 100, NOTHING),
        ({"question_kwd": [""]}, 100, NOTHING),
    ],
)
def test_chunks_that_cannot_be(call, document, settings, fields, code, message):
    settings.WIRE_PROFILE = "exact"
    answer = call("chunk/create", {"doc_id": document, "content_with_weight": "x"} | fields)
    assert (answer["code"], answer["message"]) == (code, message)


def test_pages_of_chunks(add, chunks, call, settings, document):
    settings.WIRE_PROFILE = "exact"
    for number in range(31):
        add(f"chunk test {number}")
    assert [len(chunks(**fields)["chunks"]) for fields in ({}, {"size": 0}, {"page": "4", "size": "10"})] == [30, 10, 1]
    assert chunks()["total"] == 31
    refused = call("chunk/list", {"doc_id": document, "size": None})
    assert refused["code"] == 100
    assert refused["message"].startswith('TypeError("int() argument must be a string')
    assert call("chunk/list", {"doc_id": "x"}) == {"code": 102, "message": "Tenant not found!"}


def test_keywords_match_whole_tokens(parse, document, add, chunks):
    parse(document)
    for number in range(4):
        add(f"chunk test {number}")
    counts = {word: chunks(keywords=word)["total"] for word in ("1", "chunk", "content", "unknown", "")}
    assert counts == {"1": 1, "chunk": 4, "content": 1, "unknown": 0, "": 5}


def test_changing_a_chunk(add, call, chunks, document):
    chunk_id = add("before", important_kwd=["a"])
    before = chunks()["doc"]["chunk_num"]
    body = {"doc_id": document, "chunk_id": chunk_id, "content_with_weight": "after", "question_kwd": ["q", ""]}
    assert call("chunk/set", body | {"available_int": 0})["data"] is True
    (row,) = chunks(available_int=0)["chunks"]
    assert (row["content_with_weight"], row["important_kwd"], row["question_kwd"]) == ("after", ["a"], ["q", ""])
    assert (row["available_int"], chunks()["doc"]["chunk_num"]) == (0, before)
    assert chunks(available_int=1) == chunks() | {"chunks": [], "total": 0}
    switched = call("chunk/switch", {"doc_id": document, "chunk_ids": [chunk_id], "available_int": 1})
    assert (switched["data"], len(chunks(available_int=1)["chunks"])) == (True, 1)


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"content_with_weight": 1}, 100, "TypeError('expected string or bytes-like object')"),
        ({"important_kwd": "x"}, 102, "`important_kwd` should be a list"),
        ({"question_kwd": [1]}, 100, "TypeError('sequence item 0: expected str instance, int found')"),
        ({"doc_id": ""}, 102, "Tenant not found!"),
        ({"chunk_id": "x"}, 100, "Exception('Chunk not found')"),
        ({"content_with_weight": ""}, 100, NOTHING),
    ],
)
def test_changes_that_cannot_be(add, call, chunks, document, settings, fields, code, message):
    settings.WIRE_PROFILE = "exact"
    body = {"doc_id": document, "chunk_id": add("before"), "content_with_weight": "after"}
    answer = call("chunk/set", body | fields)
    assert (answer["code"], answer["message"]) == (code, message)
    assert chunks()["chunks"][0]["content_with_weight"] == "before"


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (lambda ids: ids[:2], 2),
        (lambda ids: ids[:2] * 3, 2),
        (lambda ids: [*ids[:2], "invalid"], 0),
        (lambda _ids: [], 0),
    ],
)
def test_deleting_chunks(add, call, chunks, document, chosen, left):
    ids = [add(f"chunk test {number}") for number in range(4)]
    assert call("chunk/rm", {"doc_id": document, "chunk_ids": chosen(ids)})["data"] is True
    page = chunks()
    assert (page["total"], page["doc"]["chunk_num"]) == (left, left)


def test_deletions_that_cannot_be(add, call, document):
    chunk_id = add("x")
    body = {"doc_id": document, "chunk_ids": [chunk_id]}
    assert call("chunk/rm", body)["data"] is True
    assert call("chunk/rm", body) == {"code": 102, "message": "Index updating failure"}
    assert call("chunk/rm", body | {"doc_id": "x"}) == {"code": 102, "message": "Document not found!"}
    assert call("chunk/rm", {})["message"] == "required argument are missing: chunk_ids,doc_id; "
