"""GET /documents/{id}/chunks."""

from __future__ import annotations

import pytest

FRUIT = ("apples", "pears", "figs", "plums", "limes")
TEXT = "###".join(f"Item {number} is about {fruit}." for number, fruit in enumerate(FRUIT))


@pytest.fixture
def path(api, base, parsed):
    api.call("PUT", base, {"parser_config": {"delimiter": "`###`"}})
    document = parsed("fruit_list.txt", TEXT.encode())
    return f"{base}/documents/{document}/chunks"


def contents(answer):
    assert answer["code"] == 0, answer
    return [chunk["content"] for chunk in answer["data"]["chunks"]]


def test_a_list_as_the_contract_shows_it(api, path, dataset, profile):
    answer = api.call("GET", path)
    data = answer["data"]
    assert data["total"] == len(data["chunks"]) == data["doc"]["chunk_count"] == 5
    assert data["doc"]["run"] == "DONE"
    chunk = dict(data["chunks"][1])
    assert len(chunk.pop("id")) == 16
    assert chunk == {
        "content": "Item 1 is about pears.",
        "document_id": data["doc"]["id"],
        "dataset_id": dataset["id"],
        "docnm_kwd": "fruit_list.txt",
        "important_keywords": [],
        "questions": [],
        "image_id": "",
        "available": True,
        "positions": [[2, 1, 1, 1, 1]],
    }


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("?page=2&page_size=2", [2, 3]),
        ("?page=3&page_size=2", [4]),
        ("?page=4&page_size=2", []),
        ("?page_size=0", [0, 1, 2, 3, 4]),
        ("?page_size=-1", [0, 1, 2, 3, 4]),
        ("?keywords=&id=&other=1", [0, 1, 2, 3, 4]),
    ],
)
def test_pages(api, path, query, numbers):
    answer = api.call("GET", path + query)
    assert [int(content.split()[1]) for content in contents(answer)] == numbers
    assert answer["data"]["total"] == 5


def test_keywords_are_searched_as_words_and_marked(api, path):
    assert contents(api.call("GET", f"{path}?keywords=PEARS")) == ["Item 1 is about <em>pears</em>."]
    assert contents(api.call("GET", f"{path}?keywords=pea")) == []
    assert contents(api.call("GET", f"{path}?keywords=3")) == ["Item <em>3</em> is about plums."]
    by_name = api.call("GET", f"{path}?keywords=fruit")
    assert (by_name["data"]["total"], len(contents(by_name))) == (5, 5)


def test_one_chunk(api, path, base, profile):
    chunk = api.call("GET", path)["data"]["chunks"][3]
    found = api.call("GET", f"{path}?id={chunk['id']}")
    assert (found["data"]["total"], found["data"]["chunks"]) == (1, [chunk])
    dataset_id = chunk["dataset_id"]
    assert api.call("GET", f"{path}?id=unknown") == {
        "code": 404,
        "message": f"Chunk not found: {dataset_id}/unknown",
        "status": 404 if profile == "standard" else 200,
    }


@pytest.mark.parametrize("paging", ["page=0", "page=9&page_size=9000"])
def test_one_chunk_is_on_no_page(api, path, paging):
    chunk = api.call("GET", path)["data"]["chunks"][0]
    assert api.call("GET", f"{path}?id={chunk['id']}&{paging}")["data"]["chunks"] == [chunk]
    assert api.call("GET", f"{path}?id=unknown&{paging}")["code"] == 404


def test_a_document_that_was_never_parsed(api, base, upload):
    (document,) = upload("a.txt")
    data = api.call("GET", f"{base}/documents/{document}/chunks")["data"]
    assert (data["total"], data["chunks"], data["doc"]["run"]) == (0, [], "UNSTART")


@pytest.mark.parametrize(
    ("query", "sentence", "reference"),
    [
        (
            "?page=a",
            "`page` must be a whole number, not 'a'.",
            "ValueError(\"invalid literal for int() with base 10: 'a'\")",
        ),
        (
            "?page_size=",
            "`page_size` must be a whole number, not ''.",
            "ValueError(\"invalid literal for int() with base 10: ''\")",
        ),
        ("?page=0", "`page` must be at least 1.", "ValueError('Search does not support negative slicing.')"),
        ("?page=2&page_size=9000", "`page` times `page_size` must not exceed 10000.", None),
    ],
)
def test_pages_that_do_not_exist(api, path, profile, query, sentence, reference):
    answer = api.call("GET", path + query)
    if profile == "standard":
        assert (answer["code"], answer["message"], answer["status"]) == (101, sentence, 400)
    else:
        assert (answer["code"], answer["message"], answer["status"]) == (100, reference or sentence, 200)


def test_what_is_not_the_callers_does_not_exist(api, other, path, base, dataset, profile):
    document = path.split("/")[-2]
    answer = other.call("GET", path)
    assert (answer["code"], answer["message"]) == (102, f"You don't own the dataset {dataset['id']}.")
    elsewhere = api.create_dataset()["id"]
    answer = api.call("GET", f"/api/v1/datasets/{elsewhere}/documents/{document}/chunks")
    assert (answer["code"], answer["message"]) == (102, f"You don't own the document {document}.")


def test_chunks_of_another_dataset_are_not_found_by_id(api, other, path):
    chunk = api.call("GET", path)["data"]["chunks"][0]["id"]
    foreign = other.create_dataset()["id"]
    (document,) = other.upload(foreign, ("a.txt", b"x"))
    assert other.call("GET", f"/api/v1/datasets/{foreign}/documents/{document['id']}/chunks?id={chunk}")["code"] == 404
