"""POST /api/v1/dify/retrieval: plain objects and real HTTP statuses, in both wire profiles."""

from __future__ import annotations

import uuid

import pytest

from apps.accounts import services
from apps.accounts.models import User
from apps.core.principal import Scope
from apps.documents.models import Document
from apps.documents.services.metadata import set_metadata
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import ModelError
from tests.apps.conftest import API

PATH = "/api/v1/dify/retrieval"


@pytest.fixture
def filled(dataset, parsed):
    ids = [parsed("fox.txt", content=b"A fox in the yard."), parsed("cat.txt", content=b"A cat and a fox.")]
    set_metadata(document=Document.objects.get(pk=ids[0]), fields={"author": "alice", "doc_id": "mine"})
    set_metadata(document=Document.objects.get(pk=ids[1]), fields={"year": 2024})
    return ids


@pytest.fixture
def ask(api, dataset):
    def send(**fields):
        return api.call("POST", PATH, {"knowledge_id": dataset["id"], "query": "fox"} | fields)

    return send


def test_records(ask, filled, profile):
    answer = ask()
    assert answer.pop("status") == 200
    assert set(answer) == {"records"}
    assert {record["title"]: record["metadata"] for record in answer["records"]} == {
        "fox.txt": {"author": "alice", "doc_id": filled[0]},
        "cat.txt": {"year": 2024, "doc_id": filled[1]},
    }
    first = answer["records"][0]
    assert set(first) == {"content", "score", "title", "metadata"}
    assert first["content"] in {"A fox in the yard.", "A cat and a fox."}
    assert 0 < first["score"] <= 1


@pytest.mark.parametrize(
    ("fields", "titles"),
    [
        ({"retrieval_setting": {"top_k": 1}}, 1),
        ({"retrieval_setting": {"top_k": 5, "score_threshold": 0.99}}, 0),
        ({"retrieval_setting": {}, "use_kg": True}, 2),
        ({"query": ""}, 0),
        ({"metadata_condition": None}, 2),
        ({"metadata_condition": {}}, 2),
        (
            {"metadata_condition": {"conditions": [{"name": "year", "comparison_operator": ">", "value": 2000}]}},
            1,
        ),
        (
            {"metadata_condition": {"conditions": [{"name": "year", "comparison_operator": ">", "value": 3000}]}},
            0,
        ),
    ],
)
def test_what_restricts(ask, filled, profile, fields, titles):
    answer = ask(**fields)
    assert answer["status"] == 200
    assert len(answer["records"]) == titles


def test_a_condition_as_dify_writes_it(ask, filled):
    condition = {
        "logical_operator": "or",
        "conditions": [
            {"name": ["author"], "comparison_operator": "is", "value": "Alice"},
            {"name": ["year"], "comparison_operator": "is not", "value": 2024},
        ],
    }
    (record,) = ask(metadata_condition=condition)["records"]
    assert record["title"] == "fox.txt"


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (None, "knowledge_id,query"),
        ({}, "knowledge_id,query"),
        ({"query": "x"}, "knowledge_id"),
        ({"knowledge_id": "x"}, "query"),
        ({"knowledge_id": "", "query": "x"}, "knowledge_id"),
        ([1], "knowledge_id,query"),
    ],
)
def test_what_is_missing(api, profile, body, missing):
    assert api.call("POST", PATH, body) == {
        "code": 101,
        "data": None,
        "message": f"required argument are missing: {missing}; ",
        "status": 400 if profile == "standard" else 200,
    }


@pytest.mark.parametrize(
    ("fields", "reference"),
    [
        ({"retrieval_setting": None}, "AttributeError(\"'NoneType' object has no attribute 'get'\")"),
        ({"retrieval_setting": {"top_k": "a"}}, "ValueError(\"invalid literal for int() with base 10: 'a'\")"),
        ({"retrieval_setting": {"score_threshold": "a"}}, "ValueError(\"could not convert string to float: 'a'\")"),
        ({"query": 5}, None),
    ],
)
def test_values_that_cannot_be_read(ask, profile, fields, reference):
    answer = ask(**fields)
    assert (answer["code"], answer["status"]) == ((101, 400) if profile == "standard" else (100, 200))
    if reference and profile == "exact":
        assert answer["message"] == reference


@pytest.mark.parametrize("top_k", [0, -1, 5001])
def test_a_number_of_records_that_no_retrieval_takes(ask, profile, top_k):
    assert ask(retrieval_setting={"top_k": top_k}) == {
        "code": 101 if profile == "standard" else 500,
        "message": "`retrieval_setting.top_k` must be 1 to 5000.",
        "status": 400 if profile == "standard" else 500,
    }


def test_a_condition_that_lacks_a_value(ask, profile):
    answer = ask(metadata_condition={"conditions": [{"name": "year", "comparison_operator": "is"}]})
    assert answer["code"] == (101 if profile == "standard" else 100)
    assert answer["message"] in {"`metadata_condition.conditions[0]` has no `value`.", "KeyError('value')"}


@pytest.mark.parametrize(
    "fields", [{}, {"retrieval_setting": {"top_k": 0}, "metadata_condition": {"conditions": [{}]}}]
)
def test_unknown_and_foreign_datasets(ask, other, profile, fields):
    for id_ in (uuid.uuid1().hex, "x", other.create_dataset()["id"]):
        assert ask(knowledge_id=id_, **fields) == {"code": 404, "message": "Knowledgebase not found!", "status": 404}


def test_who_may_ask(db, profile):
    unknown = API("ragflow-unknown").call("POST", PATH, {})
    assert unknown == {"code": 403, "message": "API-KEY is invalid!", "status": 403}
    nobody = API(None).call("POST", PATH, {})
    one_word = API("").call("POST", PATH, {})
    if profile == "standard":
        assert nobody["status"] == one_word["status"] == nobody["code"] == one_word["code"] == 401
        return
    assert nobody == {
        "code": 100,
        "data": None,
        "message": "AttributeError(\"'NoneType' object has no attribute 'split'\")",
        "status": 200,
    }
    assert one_word == {
        "code": 100,
        "data": None,
        "message": "IndexError('list index out of range')",
        "status": 200,
    }


def test_a_token_that_reads_is_enough(api, ask, tenant, filled, dataset):
    def client(scope: Scope) -> API:
        token = services.create_token(tenant=tenant, created_by=User.objects.get(pk=tenant.pk), scopes=[scope])
        return API(token.secret, tenant)

    body = {"knowledge_id": dataset["id"], "query": "fox"}
    assert len(client(Scope.READ).call("POST", PATH, body)["records"]) == 2
    assert client(Scope.WRITE).call("POST", PATH, body)["status"] == 403


def test_a_failure_while_searching(ask, filled, monkeypatch, profile):
    def fail(_self, _text):
        raise ModelError("The provider does not answer.", code="TIMEOUT")

    monkeypatch.setattr(HashingEmbedder, "embed_query", fail)
    assert ask() == {"code": 500, "message": "The provider does not answer.", "status": 500}


def test_the_number_of_queries(ask, filled, django_assert_num_queries):
    ask()
    with django_assert_num_queries(3):  # token with its owner, dataset, metadata
        ask()
