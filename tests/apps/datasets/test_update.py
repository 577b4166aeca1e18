"""PUT /api/v1/datasets/{id}."""

from __future__ import annotations

import uuid

import pytest

from apps.accounts.models import Membership
from apps.datasets.models import KnowledgeBase


@pytest.fixture
def dataset(api):
    return api.create_dataset("original")


@pytest.fixture
def update(api, dataset):
    def send(**body):
        return api.call("PUT", f"/api/v1/datasets/{dataset['id']}", body)

    return send


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "renamed"),
        ("name", "ORIGINAL"),
        ("avatar", "data:image/png;base64,x"),
        ("description", "text"),
        ("permission", "team"),
        ("chunk_method", "qa"),
        ("pagerank", 0),
        ("pagerank", 100),
        ("embedding_model", "all-MiniLM-L6-v2@Builtin"),
    ],
)
def test_one_field(api, dataset, update, field, value):
    answer = update(**{field: value})
    assert answer["code"] == 0
    assert answer["data"][field] == value
    (listed,) = api.call("GET", "/api/v1/datasets")["data"]
    assert listed == answer["data"]
    assert listed["update_time"] >= dataset["update_time"]
    unchanged = {name for name in dataset if dataset[name] == listed[name]}
    assert unchanged >= set(dataset) - {field, "update_time", "update_date", "parser_config"}


@pytest.mark.parametrize("field", ["avatar", "description"])
def test_null_clears(update, field):
    update(**{field: "data:image/png,x"})
    assert update(**{field: None})["data"][field] is None


def test_null_keeps_the_embedding_model(update, dataset):
    assert update(embedding_model=None)["data"]["embedding_model"] == dataset["embedding_model"]


def test_nothing_to_change(api, dataset, update, profile):
    assert update()["message"] == "No properties were modified"
    assert api.send("PUT", f"/api/v1/datasets/{dataset['id']}", b"<x/>", "text/xml") == {
        "code": 101,
        "message": "No properties were modified",
        "status": 400 if profile == "standard" else 200,
    }


def test_a_name_of_another_dataset(api, update, profile):
    api.create_dataset("Taken")
    answer = update(name=" taken ")
    assert (answer["code"], answer["message"]) == (102, "Dataset name 'taken' already exists")
    assert answer["status"] == (409 if profile == "standard" else 200)


def test_the_path_names_the_dataset(api, dataset, update):
    assert update(dataset_id=uuid.uuid1().hex, description="x")["data"]["id"] == dataset["id"]
    assert api.call("PUT", "/api/v1/datasets/nope", {"name": "x"})["message"] == (
        "Field: <dataset_id> - Message: <Invalid UUID1 format> - Value: <nope>"
    )


def test_only_owners_change_a_dataset(api, other, profile):
    foreign = other.create_dataset("foreign", permission="team")
    Membership.objects.create(tenant=other.tenant, user_id=api.tenant.pk)
    for id_ in (foreign["id"], uuid.uuid1().hex, str(uuid.uuid1())):
        answer = api.call("PUT", f"/api/v1/datasets/{id_}", {"name": "mine"})
        assert (answer["code"], answer["message"]) == (
            108,
            f"User '{api.tenant.pk}' lacks permission for dataset '{id_}'",
        )


def test_chunks_pin_the_embedding_model(dataset, update):
    KnowledgeBase.objects.update(chunk_count=3)
    assert update(embedding_model="all-MiniLM-L6-v2@Builtin")["message"] == (
        "When chunk_num (3) > 0, embedding_model must remain hash-1024@Builtin"
    )
    assert update(embedding_model=dataset["embedding_model"])["code"] == 0


def test_models_are_checked_as_on_creation(update):
    assert update(embedding_model="x@OpenAI")["message"] == "Unsupported model: <x@OpenAI>"


def test_a_failing_update_changes_nothing(api, update):
    api.create_dataset("taken")
    update(description="new", name="taken")
    assert KnowledgeBase.objects.get(name="original").description is None


def test_only_the_keys_that_were_sent_go_over_the_configuration(dataset, update):
    config = update(parser_config={"chunk_token_num": 7, "raptor": {"max_token": 9}})["data"]["parser_config"]
    expected = dataset["parser_config"] | {"chunk_token_num": 7}
    expected["raptor"] = dataset["parser_config"]["raptor"] | {"max_token": 9}
    assert config == expected
    both = update(chunk_method="qa", parser_config={"pages": None})["data"]
    assert both["chunk_method"] == "qa"
    assert both["parser_config"] == expected | {"pages": None}


@pytest.mark.parametrize("nothing", [None, {}])
def test_another_method_brings_its_defaults(dataset, update, nothing):
    assert update(parser_config=nothing)["data"]["parser_config"] == dataset["parser_config"]
    assert update(chunk_method="naive", parser_config=nothing)["data"]["parser_config"] == dataset["parser_config"]
    assert update(chunk_method="qa", parser_config=nothing)["data"]["parser_config"] == {
        "raptor": {"use_raptor": False},
        "graphrag": {"use_graphrag": False},
        "image_context_size": 0,
        "table_context_size": 0,
    }
