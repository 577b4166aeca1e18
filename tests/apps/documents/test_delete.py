"""DELETE /documents: what is deleted is gone when the call returns, and stays gone."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.storage import FileSystemStorage, default_storage

from apps.documents import ingest, tasks
from apps.documents.models import Document, IngestTask
from apps.documents.services import deleting
from ragflow.engine.errors import StoreError


@pytest.fixture
def remove(api, base):
    def send(*ids):
        return api.call("DELETE", f"{base}/documents", {"ids": list(ids)})

    return send


def test_nothing_is_left(api, base, dataset, parsed, store, remove, counts):
    first, second = parsed("a.txt"), parsed("b.txt", b"Another text, about cats.")
    locations = dict(Document.objects.values_list("pk", "location"))
    before = counts()
    assert remove(first) == {"code": 0, "status": 200}
    assert api.call("GET", f"{base}/documents")["data"]["total"] == 1
    assert store.count(dataset["id"], first).chunks == 0
    assert store.count(dataset["id"], second).chunks == 1
    assert not default_storage.exists(locations[first])
    assert default_storage.exists(locations[second])
    assert not IngestTask.objects.filter(document_id=first).exists()
    tokens = Document.objects.get().token_count
    assert before[:2] == (2, 2)
    assert counts() == (1, 1, tokens)
    assert counts()[2] == store.count(dataset["id"]).tokens


def test_the_name_is_free_again(upload, remove):
    for _ in range(3):
        (id_,) = upload("same.txt")
        assert Document.objects.get(pk=id_).name == "same.txt"
        remove(id_)


@pytest.mark.parametrize("body", [None, {}, {"ids": None}, {"ids": []}])
def test_no_ids_mean_all(api, base, upload, counts, body):
    upload("a.txt", "b.txt")
    for _ in range(2):
        assert api.call("DELETE", f"{base}/documents", body) == {"code": 0, "status": 200}
    assert counts()[0] == 0


@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (b'{"ids": ["a"]}', "application/x-www-form-urlencoded"),  # what `curl -d` declares by itself
        (b"ids=a", "application/x-www-form-urlencoded"),
        (b"ids=a", "multipart/form-data; boundary=x"),
        (b'{"ids": ["a"]}', "text/plain"),
    ],
)
def test_ids_that_cannot_be_read_are_not_taken_for_none(api, base, upload, counts, profile, content, type_):
    upload("a.txt")
    assert api.send("DELETE", f"{base}/documents", content, type_)["code"] != 0
    assert counts()[0] == 1


def test_unknown_ids_are_named_and_the_known_are_deleted(upload, remove, counts, profile):
    (known,) = upload("a.txt")
    odd = "\n!?\"'"
    answer = remove(known, odd)
    assert (answer["code"], answer["message"]) == (102, """Documents not found: ['\\n!?"\\'']""")
    assert answer["status"] == (404 if profile == "standard" else 200)
    assert counts()[0] == 0
    assert remove(known)["message"] == f"Documents not found: ['{known}']"


def test_ids_that_come_twice(upload, remove, counts):
    first, second = upload("a.txt", "b.txt")
    assert remove(first, second, first)["data"] == {
        "success_count": 2,
        "errors": [f"Duplicate document ids: {first}"],
    }
    assert counts()[0] == 0


def test_only_documents_of_this_dataset(api, other, upload, remove):
    elsewhere = api.create_dataset()["id"]
    foreign = other.create_dataset()["id"]
    ids = [api.upload(elsewhere, ("a.txt", b"x"))[0]["id"], other.upload(foreign, ("a.txt", b"x"))[0]["id"]]
    assert remove(*ids)["message"] == f"Documents not found: {ids}"
    assert Document.objects.count() == 2


def test_the_dataset_is_checked_before_the_body(api, other, profile):
    for id_ in (uuid.uuid1().hex, other.create_dataset()["id"]):
        answer = api.send("DELETE", f"/api/v1/datasets/{id_}/documents", b"nonsense")
        assert (answer["code"], answer["message"]) == (102, f"You don't own the dataset {id_}. ")


@pytest.mark.parametrize(
    ("body", "standard", "exact"),
    [
        (
            b'"text"',
            "The request body must be a JSON object, not a string.",
            "AttributeError(\"'str' object has no attribute 'get'\")",
        ),
        (b'{"ids": 3}', "`ids` must be a list of ids.", "TypeError(\"'int' object is not iterable\")"),
        (b'{"ids": [3]}', "`ids` must hold ids only, not 3.", "`ids` must hold ids only, not 3."),
    ],
)
def test_bodies_of_the_wrong_type(api, base, upload, profile, counts, body, standard, exact):
    upload("a.txt")
    answer = api.send("DELETE", f"{base}/documents", body)
    assert answer["message"] == (standard if profile == "standard" else exact)
    assert answer["code"] == (101 if profile == "standard" else 100)
    assert counts()[0] == 1


def test_a_queued_document(api, base, upload, remove, run_tasks, store, dataset):
    ids = upload("a.txt", "b.txt")
    api.call("POST", f"{base}/chunks", {"document_ids": ids})
    task = IngestTask.objects.get(document_id=ids[0])
    assert remove(ids[0])["code"] == 0
    ingest.run(task.pk)
    assert run_tasks() == 1
    assert set(store.counts_by_document(dataset["id"])) == {ids[1]}


def test_more_than_a_slice(api, base, dataset, counts, monkeypatch):
    monkeypatch.setattr(deleting, "_SLICE", 3)
    ids = [row["id"] for row in api.upload(dataset["id"], *((f"{number}.txt", b"x") for number in range(20)))]
    assert api.call("DELETE", f"{base}/documents", {"ids": ids[:8]})["code"] == 0
    assert counts()[0] == 12
    assert api.call("DELETE", f"{base}/documents", {"ids": []})["code"] == 0
    assert counts()[0] == 0


def test_a_failing_store_is_reported_and_finished_later(
    api, base, dataset, parsed, remove, store, monkeypatch, profile
):
    document = parsed()

    def fail(*_arguments, **_options):
        raise StoreError("The index is away.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_document", fail)
        answer = remove(document)
        Document.objects.update(deleted_at="2020-01-01T00:00:00Z")
        tasks.collect_garbage()  # logs it and goes on
    assert (answer["code"], answer["message"]) == (500, "The index is away.")
    assert api.call("GET", f"{base}/documents")["data"]["total"] == 0
    assert Document.objects.count() == 1
    assert deleting.purge_hidden() == 1
    assert store.count(dataset["id"]).chunks == 0
    assert not Document.objects.exists()


def test_a_failing_file_storage_does_not_keep_the_chunks(dataset, parsed, remove, store, monkeypatch, caplog):
    document = parsed()

    def fail(_storage, _name):
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", fail)
        assert remove(document)["code"] == 0
    assert store.count(dataset["id"]).chunks == 0
    assert "could not be removed yet" in caplog.text
    assert Document.objects.get().deleted_at is not None
