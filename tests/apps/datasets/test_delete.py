"""DELETE /api/v1/datasets: all or nothing, and nothing is left."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.storage import default_storage

from apps.datasets import services
from apps.datasets.models import KnowledgeBase
from apps.documents import tasks
from apps.documents.models import Document, IngestTask
from ragflow.engine.errors import StoreError

PATH = "/api/v1/datasets"


@pytest.fixture
def filled(api, run_tasks):
    """A dataset with a parsed, a queued and an untouched document."""
    dataset = api.create_dataset("filled")
    parsed, queued, _ = api.upload(dataset["id"], *((f"{name}.txt", b"Some text.") for name in "abc"))
    api.call("POST", f"{PATH}/{dataset['id']}/chunks", {"document_ids": [parsed["id"]]})
    run_tasks()
    api.call("POST", f"{PATH}/{dataset['id']}/chunks", {"document_ids": [queued["id"]]})
    return dataset


def test_nothing_is_left(api, filled, store, run_tasks):
    assert store.count(filled["id"]).chunks == 1
    kept = api.create_dataset("kept")
    assert api.call("DELETE", PATH, {"ids": [filled["id"]]}) == {"code": 0, "status": 200}
    assert [row["id"] for row in api.call("GET", PATH)["data"]] == [kept["id"]]
    assert run_tasks() == 0
    assert not Document.objects.exists()
    assert not IngestTask.objects.exists()
    tasks.collect_garbage()
    assert store.count(filled["id"]).chunks == 0
    assert KnowledgeBase.objects.count() == 1
    assert not default_storage.exists(filled["id"])


def test_null_means_all_of_the_callers(api, other):
    other.create_dataset()
    for _ in range(2):
        assert api.call("DELETE", PATH, {"ids": None})["code"] == 0
        api.create_dataset()
    assert other.call("GET", PATH)["total_datasets"] == 1


def test_an_empty_list_means_none(api):
    api.create_dataset()
    assert api.call("DELETE", PATH, {"ids": []})["code"] == 0
    assert api.call("GET", PATH)["total_datasets"] == 1


def test_all_or_nothing(api, other, profile):
    mine, foreign, unknown = api.create_dataset()["id"], other.create_dataset()["id"], uuid.uuid1().hex
    answer = api.call("DELETE", PATH, {"ids": [foreign, mine, unknown]})
    assert answer["code"] == 108
    assert answer["message"] == f"User '{api.tenant.pk}' lacks permission for datasets: '{foreign}, {unknown}'"
    assert api.call("GET", PATH)["total_datasets"] == 1
    assert other.call("GET", PATH)["total_datasets"] == 1


def test_more_ids_than_a_query_takes_parameters(api):
    ids = [f"{number:08x}e79311f1900602fc00000001" for number in range(250_001)]
    answer = api.call("DELETE", PATH, {"ids": ids})
    assert answer["code"] == 108
    assert answer["message"].endswith(f", {ids[-1]}'")


def test_a_second_time(api):
    ids = [str(uuid.UUID(api.create_dataset()["id"]))]
    assert api.call("DELETE", PATH, {"ids": ids})["code"] == 0
    assert api.call("DELETE", PATH, {"ids": ids})["code"] == 108


def test_ids_are_required(api, profile):
    for body, content_type in ((b"{}", "application/json"), (b'{"ids": null}', "text/xml")):
        answer = api.send("DELETE", PATH, body, content_type)
        assert (answer["code"], answer["message"]) == (
            101,
            "Field: <ids> - Message: <Field required> - Value: <{}>",
        )


def test_what_a_failing_store_keeps_is_out_of_sight_and_removed_later(
    api, filled, store, purge_deleted, monkeypatch, caplog
):
    def fail(dataset_id, **_):
        raise StoreError("The index is away.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_dataset", fail)
        assert api.call("DELETE", PATH, {"ids": [filled["id"]]})["code"] == 0
        purge_deleted()
    assert api.call("GET", PATH)["data"] == []
    assert store.count(filled["id"]).chunks == 1
    assert "could not be removed yet" in caplog.text
    assert services.purge_hidden() == 1
    assert store.count(filled["id"]).chunks == 0
    assert not KnowledgeBase.objects.exists()
