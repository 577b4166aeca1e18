"""POST and DELETE /chunks: starting and stopping, as clients see it."""

from __future__ import annotations

import uuid

import pytest
from django.conf import settings

from apps.documents import ingest
from apps.documents.models import Document, IngestTask
from ragflow.models import BrokerMessage


@pytest.fixture
def parse(api, base):
    def send(*ids, method="POST"):
        return api.call(method, f"{base}/chunks", {"document_ids": list(ids)})

    return send


@pytest.fixture
def stop(parse):
    return lambda *ids: parse(*ids, method="DELETE")


def test_from_upload_to_done(api, base, dataset, upload, parse, run_tasks, document_of, counts, store, profile):
    (id_,) = upload("fox.txt")
    assert parse(id_) == {"code": 0, "status": 200}
    queued = document_of(id_)
    assert queued["run"] == "RUNNING"
    assert 0 < queued["progress"] < 0.01
    assert queued["progress_msg"] == "Task is queued..."
    assert queued["process_begin_at"].endswith(" GMT")
    assert settings.REDIS_URL or BrokerMessage.objects.count() == 1
    run_tasks()
    done = document_of(id_)
    assert (done["run"], done["progress"], done["chunk_count"]) == ("DONE", 1.0, 1)
    assert "Task done (" in done["progress_msg"]
    assert done["process_duration"] > 0
    assert done["process_begin_at"] == queued["process_begin_at"]
    assert counts() == (1, 1, done["token_count"])
    (chunk,) = api.call("GET", f"{base}/documents/{id_}/chunks")["data"]["chunks"]
    assert chunk["content"] == "The quick brown fox jumps over the lazy dog."
    assert chunk["positions"] == [[1, 0, 0, 0, 0]]
    task = IngestTask.objects.get()
    assert (task.state, task.attempt, task.progress, task.lease_until) == ("done", 1, 1, None)


def test_parsing_again_gives_the_same(api, base, parsed, parse, run_tasks, document_of, counts, store, dataset):
    id_ = parsed()
    first = api.call("GET", f"{base}/documents/{id_}/chunks")["data"]["chunks"]
    before = counts()
    for _ in range(2):
        assert parse(id_)["code"] == 0
        document = document_of(id_)
        assert (document["run"], document["chunk_count"], document["token_count"]) == ("RUNNING", 0, 0)
        assert counts() == (1, 0, 0)
        assert store.count(dataset["id"]).chunks == 0
        run_tasks()
        assert counts() == before
    assert api.call("GET", f"{base}/documents/{id_}/chunks")["data"]["chunks"] == first


def test_a_document_that_is_running_already(upload, parse, profile, document_of):
    ids = upload("a.txt", "b.txt", "c.txt")
    parse(ids[1])
    answer = parse(*ids)
    assert (answer["code"], answer["message"]) == (102, "Can't parse document that is currently being processed")
    assert answer["status"] == (409 if profile == "standard" else 200)
    assert [document_of(id_)["run"] for id_ in ids] == ["RUNNING", "RUNNING", "UNSTART"]
    assert IngestTask.objects.count() == 2


def test_unknown_documents_are_named_and_the_known_are_parsed(upload, parse, run_tasks, document_of, profile):
    (known,) = upload("a.txt")
    unknown = uuid.uuid1().hex
    answer = parse(known, unknown)
    assert (answer["code"], answer["message"]) == (102, f"Documents not found: ['{unknown}']")
    run_tasks()
    assert document_of(known)["run"] == "DONE"


def test_ids_that_come_twice(upload, parse, stop):
    (id_,) = upload("a.txt")
    expected = {"success_count": 1, "errors": [f"Duplicate document ids: {id_}"]}
    assert parse(id_, id_)["data"] == expected
    assert stop(id_, id_)["data"] == expected


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("body", [None, {}, {"document_ids": []}, {"document_ids": None}, {"other": 1}])
def test_ids_are_required(api, base, method, body, profile):
    answer = api.call(method, f"{base}/chunks", body)
    status = 400 if profile == "standard" else 200
    assert answer == {"code": 102, "message": "`document_ids` is required", "status": status}


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_dataset_is_checked_before_the_body(api, other, method):
    for id_ in ("unknown", other.create_dataset()["id"]):
        answer = api.send(method, f"/api/v1/datasets/{id_}/chunks", b"nonsense")
        assert (answer["code"], answer["message"]) == (102, f"You don't own the dataset {id_}.")


def test_a_hundred_documents_in_one_call(upload, parse, run_tasks, counts, django_assert_max_num_queries):
    ids = upload(*(f"{number}.txt" for number in range(100)))
    with django_assert_max_num_queries(12 * len(ids)):
        assert parse(*ids)["code"] == 0
    assert run_tasks() == 100
    assert Document.objects.filter(state=Document.State.DONE).count() == 100
    assert counts()[:2] == (100, 100)


def test_unknown_ids_cost_one_query_together(parse, django_assert_max_num_queries):
    ids = [f"{number:032x}" for number in range(100)]
    with django_assert_max_num_queries(20):
        assert parse(*ids)["message"] == f"Documents not found: {ids}"


def test_stop(api, base, upload, parse, stop, run_tasks, document_of, store, dataset, counts, profile):
    (id_,) = upload("a.txt")
    for refused in (stop(id_), stop(id_)):
        assert refused["message"] == "Can't stop parsing document with progress at 0 or 1"
    parse(id_)
    task = IngestTask.objects.get()
    assert stop(id_) == {"code": 0, "status": 200}
    cancelled = document_of(id_)
    assert (cancelled["run"], cancelled["progress"], cancelled["chunk_count"]) == ("CANCEL", 0.0, 0)
    assert cancelled["process_begin_at"] is not None
    ingest.run(task.pk)
    assert store.count(dataset["id"]).chunks == 0
    assert document_of(id_)["run"] == "CANCEL"
    assert stop(id_)["code"] == 102
    assert parse(id_)["code"] == 0
    run_tasks()
    assert document_of(id_)["run"] == "DONE"
    assert counts()[1] == 1


def test_stop_names_the_first_document_that_is_not_there(upload, parse, stop, document_of):
    ids = upload("a.txt", "b.txt")
    parse(*ids)
    assert stop(ids[0], "unknown", ids[1])["message"] == "You don't own the document unknown."
    assert [document_of(id_)["run"] for id_ in ids] == ["CANCEL", "RUNNING"]


def test_a_failed_document_can_be_stopped_and_parsed_again(upload, parse, stop, run_tasks, document_of):
    (id_,) = upload("broken.docx", content=b"not a zip")
    parse(id_)
    run_tasks()
    assert document_of(id_)["run"] == "FAIL"
    assert stop(id_)["code"] == 0
    assert document_of(id_)["run"] == "CANCEL"
    assert parse(id_)["code"] == 0


def test_a_file_without_text_is_done(upload, parse, run_tasks, document_of):
    (id_,) = upload("empty.txt", content=b"  \n ")
    parse(id_)
    run_tasks()
    document = document_of(id_)
    assert (document["run"], document["chunk_count"]) == ("DONE", 0)
    assert "No chunk built from empty.txt" in document["progress_msg"]
