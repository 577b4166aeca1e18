"""Conditions over HTTP: their mistakes, what the two wire profiles make of them, and where they restrict."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from apps.documents.metadata.condition import read_condition
from apps.documents.metadata.filtering import matching_documents
from apps.documents.models import Document, MetadataValue
from apps.documents.services.metadata import set_metadata

METADATA = {
    "a.txt": {"author": "Alice", "year": 2023, "tags": ["red", "blue"]},
    "b.txt": {"author": "Bob", "year": 2024, "tags": ["green"]},
    "c.txt": {"author": "Alice and Bob", "year": "2024", "draft": True},
    "d.txt": {},
}


def having(*comparisons: tuple[Any, Any, Any], logic: str = "and") -> dict[str, Any]:
    return {
        "logic": logic,
        "conditions": [
            {"name": name, "comparison_operator": operator, "value": value} for name, operator, value in comparisons
        ],
    }


@pytest.fixture
def filled(api, dataset, parsed):
    """Four parsed documents with the same text."""
    ids = {name: parsed(name, content=f"A fox in {name[0]}.".encode()) for name in METADATA}
    for name, id_ in ids.items():
        set_metadata(document=Document.objects.get(pk=id_), fields=METADATA[name])
    return ids


@pytest.fixture
def listed(api, base):
    def read(condition: Any) -> dict[str, Any]:
        text = condition if isinstance(condition, str) else orjson.dumps(condition).decode()
        return api.call("GET", f"{base}/documents?metadata_condition={quote(text)}&orderby=name&desc=false")

    return read


@pytest.fixture
def names(listed):
    def read(condition: Any) -> str:
        data = listed(condition)["data"]
        assert data["total"] == len(data["docs"])
        return "".join(document["name"][0] for document in data["docs"])

    return read


@pytest.fixture
def retrieved(api, dataset):
    def read(condition: Any, **fields: Any) -> dict[str, Any]:
        body = {"dataset_ids": [dataset["id"]], "question": "fox", "metadata_condition": condition} | fields
        return api.call("POST", "/api/v1/retrieval", body)

    return read


def found(answer: dict[str, Any]) -> str:
    assert answer["code"] == 0, answer
    return "".join(sorted(chunk["document_keyword"][0] for chunk in answer["data"]["chunks"]))


@pytest.mark.parametrize(
    ("condition", "as_text", "as_typed"),
    [
        (having(("author", "is", "alice")), "a", "a"),
        (having(("author", "contains", "alice and bob")), "abc", "abc"),
        (having(("author", "contains", "ali")), "", ""),
        (having(("year", "=", 2024)), "bc", "bc"),
        (having(("year", "=", "2024")), "bc", "c"),
        (having(("year", "≥", "2024")), "bc", "c"),
        (having(("year", ">", 2023)), "bc", "bc"),
        (having(("tags", "not is", "red")), "ab", "ab"),
        (having(("draft", "is", "True")), "c", ""),
        (having(("draft", "start with", "TR")), "c", "c"),
        (having(("author", "start with", "ALICE"), ("year", "is", 2023)), "a", "a"),
        (having(("author", "is", "bob"), ("tags", "in", ["red"]), logic="or"), "ab", "ab"),
        (having(("author", "empty", None)), "", ""),
    ],
)
def test_lists_see_text_and_searches_see_types(names, retrieved, filled, profile, condition, as_text, as_typed):
    assert names(condition) == as_text
    answer = retrieved(condition)
    assert found(answer) == as_typed
    assert answer["data"].get("matched_docs") == (len(as_typed) if profile == "standard" else None)


@pytest.mark.parametrize(
    ("condition", "standard", "exact"),
    [
        (having(("author", "is", "alice"), ("publisher", "is", "x")), "", "a"),  # nobody has a publisher
        (having(("author", "is", "nobody"), ("year", "is", 2023), logic="or"), "a", ""),  # the first finds nothing
        (having(("publisher", "is", "x"), ("year", "is", 2023), logic="or"), "a", "a"),
        (having(("year", "==", 2023)), "a", ""),
        (having(("year", "!=", 2023)), "bc", ""),
        (having(("year", ">=", 2024)), "bc", ""),
        (having(("author", "is not", "bob")), "ac", ""),
        (having((["author"], "is", "bob")), "b", ""),
        (having((["author", "tags"], "in", ["bob", "blue"])), "ab", ""),
        ({**having(("author", "is", "bob"), ("year", "is", 2023)), "logic": "OR"}, "ab", "ab"),
        ({**having(("author", "is", "bob"), ("year", "is", 2023)), "logic": "AND"}, "", "ab"),
        ({**having(("author", "is", "bob"), ("year", "is", 2023)), "logic": None}, "ab", "ab"),
    ],
)
def test_where_the_profiles_differ(names, filled, profile, condition, standard, exact):
    assert names(condition) == (standard if profile == "standard" else exact)


@pytest.mark.parametrize(
    ("condition", "standard", "exact"),
    [
        ({"conditions": None}, "`metadata_condition.conditions` must be a list.", "TypeError(\"'NoneType' object"),
        ({"conditions": 5}, "`metadata_condition.conditions` must be a list.", "TypeError(\"'int' object is not"),
        ({"conditions": [5]}, "`metadata_condition.conditions[0]` must be an object.", "TypeError(\"'int' object"),
        (
            {"conditions": [{"name": "a", "comparison_operator": "is"}]},
            "`metadata_condition.conditions[0]` has no `value`.",
            "KeyError('value')",
        ),
        (
            {"conditions": [{"name": "a", "value": 1}]},
            "`metadata_condition.conditions[0]` has no `comparison_operator`.",
            "KeyError('comparison_operator')",
        ),
        (
            {"conditions": [{"value": "a", "comparison_operator": "is"}]},
            "`metadata_condition.conditions[0]` has no `name`.",
            "KeyError('name')",
        ),
        (
            having(("a", ["is"], 1)),
            "`metadata_condition.conditions[0].comparison_operator` must be text, not ['is'].",
            "TypeError(\"unhashable type: 'list'\")",
        ),
    ],
)
def test_mistakes(listed, retrieved, filled, profile, condition, standard, exact):
    for answer in (listed(condition), retrieved(condition)):
        assert answer["status"] == (400 if profile == "standard" else 200)
        if profile == "standard":
            assert (answer["code"], answer["message"]) == (101, standard)
        else:
            assert answer["code"] == 100
            assert answer["message"].startswith(exact)


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (having(("author", "like", "x")), "'like'"),
        (having((5, "is", "x")), "5"),
        ({**having(("author", "is", "x")), "logic": "xor"}, "'xor'"),
    ],
)
def test_what_cannot_be_meant_is_named(listed, filled, condition, named):
    answer = listed(condition)
    assert (answer["code"], answer["status"]) == (101, 400)
    assert named in answer["message"]


def test_too_many_comparisons(listed, filled):
    assert "100" in listed(having(*[("a", "is", 1)] * 101))["message"]
    assert listed(having(*[("a", "is", 1)] * 100))["code"] == 0


@pytest.mark.parametrize("text", ["{", "[1", "nobody"])
def test_a_list_needs_json(listed, text):
    assert listed(text)["message"] == "metadata_condition must be valid JSON."


@pytest.mark.parametrize("text", ["[1]", '"a"', "5", "true"])
def test_a_list_needs_an_object(listed, text):
    answer = listed(text)
    assert (answer["code"], answer["message"]) == (102, "metadata_condition must be an object.")


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"logic":"and"}', '{"conditions":[]}'])
def test_a_list_without_conditions_is_not_restricted(names, filled, profile, text):
    assert names(text) == "abcd"


@pytest.mark.parametrize("condition", [{"logic": "and"}, {"conditions": []}])
def test_a_search_without_conditions(retrieved, filled, profile, condition):
    assert found(retrieved(condition)) == ("abcd" if profile == "standard" else "")
    assert found(retrieved({})) == found(retrieved(None)) == "abcd"


def test_no_match(retrieved, listed, filled, profile):
    nobody = having(("author", "is", "nobody"))
    counted = {"matched_docs": 0} if profile == "standard" else {}
    assert retrieved(nobody)["data"] == {"total": 0, "chunks": [], "doc_aggs": {}} | counted
    assert listed(nobody)["data"] == {"total": 0, "docs": []}


def test_named_documents_switch_the_condition_of_a_search_off(retrieved, filled):
    answer = retrieved({"conditions": [5]}, document_ids=[filled["d.txt"]])
    assert found(answer) == "d"
    assert "matched_docs" not in answer["data"]


def test_a_condition_and_other_restrictions_of_a_list(api, base, filled):
    text = quote(orjson.dumps(having(("year", "is", 2024))).decode())
    answer = api.call("GET", f"{base}/documents?metadata_condition={text}&keywords=b&page_size=1")
    assert [document["name"] for document in answer["data"]["docs"]] == ["b.txt"]
    assert answer["data"]["total"] == 1


def test_many_matches_are_found_by_leaving_the_others_out(retrieved, filled, store, monkeypatch):
    monkeypatch.setattr(type(store), "most_named_documents", 2)
    answer = retrieved(having(("author", "not empty", None)))
    assert found(answer) == "abc"
    assert answer["data"]["matched_docs"] == 3


def test_documents_being_deleted_are_not_let_in_by_leaving_others_out(dataset, filled, store, monkeypatch):
    monkeypatch.setattr(type(store), "most_named_documents", 1)
    Document.objects.filter(pk=filled["d.txt"]).update(deleted_at="2026-01-01T00:00:00Z")
    condition = read_condition(having(("author", "not empty", None)))
    assert filled["d.txt"] in matching_documents([dataset["id"]], condition).excluded_ids


def test_deleted_documents_have_no_values(api, base, names, filled):
    api.call("DELETE", f"{base}/documents", {"ids": [filled["a.txt"]]})
    assert names(having(("author", "not empty", None))) == "bc"
    assert not MetadataValue.objects.filter(document_id=filled["a.txt"]).exists()


def test_values_of_other_datasets_do_not_count(api, names, filled, run_tasks):
    theirs = api.create_dataset("second")["id"]
    (document,) = api.upload(theirs, ("z.txt", b"x"))
    set_metadata(document=Document.objects.get(pk=document["id"]), fields={"author": "alice"})
    assert names(having(("author", "is", "alice"))) == "a"


def test_the_number_of_queries_does_not_grow(api, listed, retrieved, filled, django_assert_num_queries):
    condition = having(("author", "is", "alice"), ("year", ">", 2000), logic="or")
    retrieved(condition), listed(condition)
    with django_assert_num_queries(2 + 2 * 2):  # token with its owner, datasets; per comparison: odd values, ids
        retrieved(condition)
    with django_assert_num_queries(2 + 2 * 2 + 1):  # the same, and the list
        listed(condition)


def test_a_condition_on_very_many_keys(api, base):
    names = [str(number) for number in range(101)]
    sent = quote(orjson.dumps(having((names, "=", 1))).decode())
    answer = api.call("GET", f"{base}/documents?metadata_condition={sent}")
    expected = "`metadata_condition.conditions[0].name` must not hold more than 100 names."
    assert (answer["code"], answer["message"]) == (101, expected)
