"""Metadata of a dataset: the summary, and changes of many documents at once."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from apps.documents.metadata.index import Form
from apps.documents.models import Document, MetadataValue
from apps.documents.services import metadata
from apps.documents.services.metadata import set_metadata


@pytest.fixture
def filled(upload):
    """Return a function that uploads documents with this metadata and returns their ids."""

    def fill(*metadata: dict[str, Any]) -> list[str]:
        ids = upload(*(f"{number}.txt" for number in range(len(metadata))))
        for id_, fields in zip(ids, metadata, strict=True):
            set_metadata(document=Document.objects.get(pk=id_), fields=fields)
        return ids

    return fill


@pytest.fixture
def summary(api, base):
    def read(body: Any = None) -> dict[str, Any]:
        answer = api.call("GET", f"{base}/metadata/summary", body)
        assert answer["code"] == 0, answer
        return {key: (entry["type"], entry["values"]) for key, entry in answer["data"]["summary"].items()}

    return read


@pytest.fixture
def update(api, base):
    def send(body: Any) -> dict[str, Any]:
        return api.call("POST", f"{base}/metadata/update", body)

    return send


def fields_of(id_: str) -> dict[str, Any]:
    """Return a document's metadata, and check that what is indexed are exactly its values."""
    document = Document.objects.get(pk=id_)
    columns = ("key", "kind", "value", "key_hash", "form", "number", "text", "value_hash", "dataset_id")
    stored = sorted(MetadataValue.objects.filter(document=document).values_list(*columns))
    fresh = metadata.rows_of([document])
    assert stored == sorted(tuple(getattr(row, column) for column in columns) for row in fresh)
    return document.meta_fields


# -- summary -------------------------------------------------------------------------------------------------------


def test_a_summary_as_the_contract_shows_it(summary, filled):
    filled(
        {"tags": ["foo", "bar"], "author": "alice"},
        {"tags": ["foo", "bar", "baz"], "author": "bob"},
        {"author": "alice"},
    )
    assert summary() == {
        "tags": ("list", [["foo", 2], ["bar", 2], ["baz", 1]]),
        "author": ("string", [["alice", 2], ["bob", 1]]),
    }


@pytest.mark.parametrize(
    ("values", "kind", "counts"),
    [
        ([5, 5.0, "5"], "number", [["5", 2], ["5.0", 1]]),
        ([True, 1.5], "string", [["True", 1], ["1.5", 1]]),
        (["2024-05-01T10:00:00Z", "x"], "time", [["2024-05-01T10:00:00Z", 1], ["x", 1]]),
        (["2024-05-01"], "string", [["2024-05-01", 1]]),
        (["a", ["b", "a"], ["c"]], "list", [["a", 2], ["b", 1], ["c", 1]]),
        ([["a", "b", "c"], "d", "d"], "string", [["d", 2], ["a", 1], ["b", 1], ["c", 1]]),
        ([{"a": 1}], "string", [["{'a': 1}", 1]]),
        ([["a", "a", None, ""]], "list", [["a", 2]]),
    ],
)
def test_kinds_and_counts(summary, filled, values, kind, counts):
    filled(*({"k": value} for value in values))
    assert summary() == {"k": (kind, counts)}


def test_empty_values_are_no_values(summary, filled):
    filled({"a": None, "b": "", "c": 0, "d": False, "e": [], "f": {}})
    assert summary() == {}


def test_a_summary_of_some_documents(summary, filled, api):
    ids = filled({"a": "x"}, {"a": "y"})
    foreign = api.create_dataset("second")["id"]
    (document,) = api.upload(foreign, ("f.txt", b"x"))
    set_metadata(document=Document.objects.get(pk=document["id"]), fields={"a": "z"})
    assert summary({"doc_ids": [ids[1], document["id"], "unknown"]}) == {"a": ("string", [["y", 1]])}
    assert summary({"doc_ids": []}) == summary() == {"a": ("string", [["x", 1], ["y", 1]])}


def test_mistakes_of_a_summary(api, base, profile):
    answer = api.call("GET", f"{base}/metadata/summary", {"doc_ids": "x"})
    assert answer["code"] == (101 if profile == "standard" else 100)
    answer = api.call("GET", "/api/v1/datasets/x/metadata/summary")
    assert (answer["code"], answer["message"]) == (102, "You don't own the dataset x. ")
    assert api.send("GET", f"{base}/metadata/summary", b"[1]")["code"] == (101 if profile == "standard" else 100)


def test_the_number_of_queries_of_a_summary(api, base, filled, django_assert_num_queries):
    filled(*({f"k{number}": [number, "x"]} for number in range(9)))
    with django_assert_num_queries(4):  # token with its owner, dataset, groups, values
        api.call("GET", f"{base}/metadata/summary")


# -- update --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "updates", "deletes", "expected"),
    [
        ({}, [{"key": "a", "value": 1}], [], {"a": 1}),
        ({}, [{"key": "a", "value": None}], [], {"a": None}),
        ({}, [{"key": "a", "value": 1, "match": "x"}], [], {}),
        ({"a": "x"}, [{"key": "a", "value": "y"}], [], {"a": "y"}),
        ({"a": "x"}, [{"key": "a", "value": "y", "match": "x"}], [], {"a": "y"}),
        ({"a": 5}, [{"key": "a", "value": "y", "match": "5"}], [], {"a": "y"}),
        ({"a": "x"}, [{"key": "a", "value": "y", "match": "X"}], [], {"a": "x"}),
        ({"a": [1, 2]}, [{"key": "a", "value": ["p", "q", "p"]}], [], {"a": ["p", "q"]}),
        ({"a": [1, 2]}, [{"key": "a", "value": "p"}], [], {"a": "p"}),
        ({"a": ["x", "y", "z"]}, [{"key": "a", "value": "z", "match": "x"}], [], {"a": ["z", "y"]}),
        ({"a": ["x", 1, "1"]}, [{"key": "a", "value": "p", "match": 1}], [], {"a": ["x", "p"]}),
        ({"a": ["x", "y"]}, [{"key": "a", "value": ["p", "y"], "match": "x"}], [], {"a": ["p", "y"]}),
        ({"a": ["x", "x"]}, [{"key": "a", "value": "p", "match": "other"}], [], {"a": ["x", "x"]}),
        ({"a": "x"}, [], [{"key": "a"}], {}),
        ({"a": "x"}, [], [{"key": "b"}], {"a": "x"}),
        ({"a": 5}, [], [{"key": "a", "value": "5"}], {}),
        ({"a": 5}, [], [{"key": "a", "value": 6}], {"a": 5}),
        ({"a": ["x", "y", "x"]}, [], [{"key": "a", "value": "x"}], {"a": ["y"]}),
        ({"a": ["x"]}, [], [{"key": "a", "value": "x"}], {}),
        ({"a": "x"}, [{"key": "a", "value": "y"}, {"key": "a", "value": "z", "match": "y"}], [], {"a": "z"}),
        ({}, [{"key": "a", "value": "y"}], [{"key": "a"}], {}),
        ({"a": 1}, [{"key": "a", "value": True}], [], {"a": True}),
    ],
)
def test_changes(update, filled, profile, fields, updates, deletes, expected):
    (id_,) = filled(fields)
    before = Document.objects.get(pk=id_).updated_at
    answer = update({"updates": updates, "deletes": deletes})
    changed = repr(fields) != repr(expected)
    assert answer == {"code": 0, "data": {"updated": int(changed), "matched_docs": 1}, "status": 200}
    assert repr(fields_of(id_)) == repr(expected)  # for Python, 1 and true are equal
    assert (Document.objects.get(pk=id_).updated_at > before) is changed


def condition(name: str, operator: str, value: Any) -> dict[str, Any]:
    return {"conditions": [{"name": name, "comparison_operator": operator, "value": value}]}


def test_which_documents_are_changed(update, filled, profile, monkeypatch):
    monkeypatch.setattr(metadata, "_SLICE", 2)
    ids = filled({"n": 1}, {"n": 2}, {"n": 3}, {})

    def changed(selector: Any, mark: str) -> tuple[str, dict[str, int]]:
        data = update({"selector": selector, "updates": [{"key": "mark", "value": mark}]})["data"]
        marked = [fields_of(id_).get("mark") == mark for id_ in ids]
        return "".join(str(number) for number, is_marked in enumerate(marked) if is_marked), data

    assert changed({}, "a") == ("0123", {"updated": 4, "matched_docs": 4})
    assert changed(None, "b") == ("0123", {"updated": 4, "matched_docs": 4})
    assert changed({"document_ids": ids[:2]}, "c") == ("01", {"updated": 2, "matched_docs": 2})
    assert changed({"document_ids": ids[:2]}, "c")[1] == {"updated": 0, "matched_docs": 2}
    assert changed({"metadata_condition": condition("n", ">", "1")}, "d")[0] == "12"
    both = {"document_ids": ids[:2], "metadata_condition": condition("n", ">", "1")}
    assert changed(both, "e")[0] == "1"
    assert changed({"metadata_condition": condition("n", ">", 9)}, "f") == ("", {"updated": 0, "matched_docs": 0})
    assert changed({"metadata_condition": {"logic": "and"}}, "g") == ("", {"updated": 0, "matched_docs": 0})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"selector": [1]}, "selector must be an object."),
        ({"updates": {"a": 1}}, "updates and deletes must be lists."),
        ({"deletes": "x"}, "updates and deletes must be lists."),
        ({"selector": {"metadata_condition": [1]}}, "metadata_condition must be an object."),
        ({"selector": {"document_ids": "x"}}, "document_ids must be a list."),
        ({"updates": [{"key": "a"}]}, "Each update requires key and value."),
        ({"updates": [{"key": "", "value": 1}]}, "Each update requires key and value."),
        ({"updates": [5]}, "Each update requires key and value."),
        ({"deletes": [{"value": 1}]}, "Each delete requires key."),
    ],
)
def test_mistakes_of_an_update(update, filled, profile, body, message):
    (id_,) = filled({"a": 1})
    answer = update({"updates": [{"key": "a", "value": 2}]} | body)
    assert answer == {"code": 102, "message": message, "status": 400 if profile == "standard" else 200}
    assert fields_of(id_) == {"a": 1}


def test_documents_of_another_dataset(update, filled, api, dataset, profile):
    ids = filled({"a": 1})
    foreign = api.create_dataset("second")["id"]
    (document,) = api.upload(foreign, ("f.txt", b"x"))
    sent = [ids[0], document["id"], "unknown", 5, "unknown"]
    selector = {"document_ids": sent, "metadata_condition": {"conditions": [{}]}}
    answer = update({"selector": selector, "updates": [{"key": "a", "value": 2}]})
    expected = f"These documents do not belong to dataset {dataset['id']}: {document['id']}, unknown, 5"
    assert (answer["code"], answer["message"]) == (102, expected)
    assert fields_of(ids[0]) == {"a": 1}


def test_an_unknown_dataset(api):
    answer = api.call("POST", "/api/v1/datasets/x/metadata/update", {"selector": [1]})
    assert (answer["code"], answer["message"]) == (102, "You don't own the dataset x. ")


def test_the_number_of_queries_of_an_update(update, filled, django_assert_num_queries):
    filled(*[{"a": 1}] * 3)
    update({"updates": [{"key": "a", "value": 0}]})
    with django_assert_num_queries(10):
        # token with its owner, dataset, ids; a slice: begin, rows, update, values out, values in, commit; the audit
        update({"updates": [{"key": "a", "value": 1}]})


# -- what is stored ------------------------------------------------------------------------------------------------


def test_any_metadata_can_be_stored(filled, summary):
    odd = {
        "": "empty key",
        "k" * 5000: "v" * 100_000,
        "deep": [[1, [2]], {"a": []}],
        "big": 2**63,
        "literal": ["(" * 500, "-" * 5000 + "1", "1" * 5000, "'\\d'", "1if"],
    }
    (id_,) = filled(odd)
    assert fields_of(id_) == odd
    assert summary()["big"] == ("number", [[str(2**63), 1]])


def test_a_document_deleted_meanwhile_gets_no_metadata(filled):
    (id_,) = filled({})
    document = Document.objects.get(pk=id_)
    Document.objects.filter(pk=id_).update(deleted_at="2026-01-01T00:00:00Z")
    with pytest.raises(metadata.NotFound):
        set_metadata(document=document, fields={"a": 1})
    assert not MetadataValue.objects.exists()


def test_rows_from_before_are_made_comparable_by_the_migration(filled, monkeypatch):
    migration = importlib.import_module("apps.documents.migrations.0007_lists")
    monkeypatch.setattr(migration, "SLICE", 2)
    metadata_of = [{"a": 1}, {}, {"b": ["x", "1e3", 2**63]}, {"c": None}, {"d": "Z"}]
    ids = filled(*metadata_of)
    MetadataValue.objects.update(form=Form.OTHER, number=None, text="")
    migration.compare_existing(apps, connection.schema_editor())
    assert [fields_of(id_) for id_ in ids] == metadata_of
