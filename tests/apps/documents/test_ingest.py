"""The worker's side: who owns a task, what a lost worker leaves, and what failures are called."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import OperationalError, transaction
from django.utils import timezone

from apps.documents import embedding_anew, ingest, leases, tasks
from apps.documents.models import Document, IngestTask
from apps.documents.services import deleting, parsing
from ragflow.engine import ingest as engine
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import ModelError, StoreError, StoreUnavailable
from ragflow.engine.types import Progress, Stage
from ragflow.models import BrokerMessage

LONG = b"\n".join(b"Sentence number %d tells something about topic %d." % (n, n) for n in range(300))


@pytest.fixture
def queue(api, base, upload):
    """Return a function that uploads a file, queues it and returns its task."""

    def send(name="fox.txt", content=b"The quick brown fox."):
        (id_,) = upload(name, content=content)
        assert api.call("POST", f"{base}/chunks", {"document_ids": [id_]})["code"] == 0
        return IngestTask.objects.get(document_id=id_)

    return send


@pytest.fixture
def slices(monkeypatch):
    """Cut and store in small slices, and run a function before the n-th of them is embedded."""
    monkeypatch.setattr(engine, "SLICE", 2)
    embed, calls, actions = HashingEmbedder.embed, [], {}

    def watched(self, texts):
        calls.append(len(texts))
        if action := actions.get(len(calls)):
            action()
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", watched)
    return actions


@pytest.fixture
def pieces(api, base):
    api.call("PUT", base, {"parser_config": {"chunk_token_num": 20}})


def expire(task):
    IngestTask.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_only_one_worker_gets_a_task(queue):
    task = queue()
    claimed = ingest.claim(task.pk)
    assert claimed.state == "running"
    assert claimed.lease_until > timezone.now()
    assert claimed.worker
    assert ingest.claim(task.pk) is None


def test_a_message_for_nothing_is_harmless(queue):
    ingest.run("unknown")
    task = queue()
    ingest.run(task.pk)
    finished = IngestTask.objects.values().get()
    ingest.run(task.pk)
    assert IngestTask.objects.values().get() == finished


def test_the_task_of_the_broker_runs_it(queue, document_of):
    task = queue()
    tasks.ingest_document(task.pk)
    assert document_of(task.document_id)["run"] == "DONE"


@pytest.mark.parametrize(
    ("name", "content", "key", "part"),
    [
        ("broken.docx", b"not a zip", "malformed", "broken.docx"),
        ("broken.pdf", b"%PDF-1.7 nothing", "malformed", "broken.pdf"),
        ("song.mp3", b"ID3", "unsupported", "song.mp3"),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_a_sentence(queue, document_of, caplog, name, content, key, part):
    task = queue(name, content)
    with caplog.at_level(logging.INFO):
        ingest.run(task.pk)
    (line,) = [record for record in caplog.records if record.name == "apps.documents.ingest"]
    assert part in line.getMessage()
    assert line.exc_info is None
    document = document_of(task.document_id)
    assert (document["run"], document["progress"], document["chunk_count"]) == ("FAIL", -1.0, 0)
    assert "[ERROR] " in document["progress_msg"]
    assert part in document["progress_msg"]
    task.refresh_from_db()
    assert (task.state, task.error_class) == ("failed", key)
    assert Document.objects.get().error_class == key


def test_a_task_that_goes_while_it_is_claimed(queue):
    assert leases.claimed(IngestTask.objects.none(), queue().pk) is None


def test_a_missing_file_fails(queue, document_of):
    task = queue()
    default_storage.delete(task.document.location)
    ingest.run(task.pk)
    assert "missing from the file storage" in document_of(task.document_id)["progress_msg"]


def fail_with(error):
    def act():
        raise error

    return act


def test_a_failing_model_leaves_no_half_document(queue, pieces, slices, document_of, store, dataset, counts):
    slices[3] = fail_with(ModelError("The model is overloaded.", code="RATE_LIMIT_EXCEEDED"))
    task = queue("long.txt", LONG)
    ingest.run(task.pk)
    document = document_of(task.document_id)
    assert document["run"] == "FAIL"
    assert document["progress_msg"].endswith("[ERROR] The model is overloaded.")
    assert store.count(dataset["id"]).chunks == document["chunk_count"] == counts()[1] == 0


@pytest.mark.django_db(transaction=True)
def test_a_half_document_goes_slice_by_slice(queue, pieces, slices, store, dataset, monkeypatch):
    """The rows, on SQLite the whole database, are locked for one slice at a time."""
    monkeypatch.setattr(ingest, "_SLICE", 2)
    slices[3] = fail_with(ModelError("The model is overloaded."))
    seen: list[str] = []
    delete = store.delete_chunks

    def delete_chunks(dataset_id, document_id, ids):
        seen.append(f"{len(ids)} deleted")
        transaction.on_commit(lambda: seen.append("committed"))
        return delete(dataset_id, document_id, ids)

    monkeypatch.setattr(store, "delete_chunks", delete_chunks)
    ingest.run(queue("long.txt", LONG).pk)
    assert store.count(dataset["id"]).chunks == 0
    assert seen[:4] == ["2 deleted", "committed", "2 deleted", "committed"]


def test_an_unexpected_failure_is_logged_and_named(queue, slices, document_of, caplog):
    slices[1] = fail_with(ZeroDivisionError("secret detail"))
    task = queue()
    ingest.run(task.pk)
    document = document_of(task.document_id)
    assert document["run"] == "FAIL"
    assert "unexpected ZeroDivisionError" in document["progress_msg"]
    assert "secret detail" not in document["progress_msg"]
    assert "secret detail" in caplog.text
    assert Document.objects.get().error_class == "zero_division_error"


def broken(store, monkeypatch, error):
    def fail(*_arguments, **_options):
        raise error

    for method in ("upsert", "list_chunks", "delete_chunks", "count"):
        monkeypatch.setattr(store, method, fail)


def test_a_store_that_fails_is_a_failure_with_a_sentence(queue, store, document_of, monkeypatch):
    broken(store, monkeypatch, StoreError("The index is damaged."))
    task = queue()
    ingest.run(task.pk)
    assert document_of(task.document_id)["progress_msg"].endswith("[ERROR] The index is damaged.")


def test_a_document_waits_for_a_store_that_is_away(queue, store, document_of, dataset, run_tasks, pieces, monkeypatch):
    task = queue("long.txt", LONG)
    with monkeypatch.context() as patch:
        broken(store, patch, StoreUnavailable("The index does not answer."))
        assert run_tasks() == 1
    document = document_of(task.document_id)
    assert document["run"] == "RUNNING"
    assert document["progress_msg"].endswith("The index does not answer. Parsing is tried again in a minute.")
    tasks.sweep()
    assert run_tasks() == 0  # not at once
    expire(task)
    tasks.sweep()
    assert run_tasks() == 1
    document = document_of(task.document_id)
    assert document["run"] == "DONE"
    assert document["chunk_count"] == store.count(dataset["id"]).chunks > 1


def test_a_document_does_not_wait_for_ever(queue, store, document_of, monkeypatch):
    broken(store, monkeypatch, StoreUnavailable("The index does not answer."))
    task = queue()
    for _ in range(ingest.MAX_ATTEMPTS):
        ingest.run(task.pk)
        expire(task)
        parsing.ring_again()
    document = document_of(task.document_id)
    assert document["run"] == "FAIL"
    assert document["progress_msg"].endswith("[ERROR] The index does not answer.")


def test_a_document_that_waits_can_be_cancelled(api, base, queue, store, document_of, monkeypatch):
    task = queue()
    with monkeypatch.context() as patch:
        broken(store, patch, StoreUnavailable("The index does not answer."))
        ingest.run(task.pk)
    assert api.call("DELETE", f"{base}/chunks", {"document_ids": [task.document_id]})["code"] == 0
    assert document_of(task.document_id)["run"] == "CANCEL"
    expire(task)
    assert parsing.ring_again() == 0


def test_while_the_database_is_away_nothing_is_decided(queue, slices):
    slices[1] = fail_with(OperationalError("server closed the connection"))
    task = queue()
    with pytest.raises(OperationalError):
        ingest.run(task.pk)
    task.refresh_from_db()
    assert task.state == "running"


@pytest.mark.parametrize("task", [tasks.ingest_document, tasks.reembed_dataset])
def test_a_message_is_sent_again_while_the_database_is_away(task, monkeypatch):
    def away(*_):
        raise OperationalError("connection refused")

    def retry(exc, **options):
        sent.append(options)
        return exc

    sent = []
    monkeypatch.setattr(ingest, "run", away)
    monkeypatch.setattr(embedding_anew, "run", away)
    monkeypatch.setattr(task, "retry", retry)

    with pytest.raises(OperationalError):
        task("an id")

    assert sent == [{"max_retries": None, "countdown": 10}]


def test_a_worker_that_died_is_replaced(queue, document_of, run_tasks, store, dataset, pieces, slices, counts):
    slices[4] = fail_with(OperationalError("killed"))
    task = queue("long.txt", LONG)
    with pytest.raises(OperationalError):
        ingest.run(task.pk)
    left = store.count(dataset["id"]).chunks
    assert left > 0
    tasks.sweep()
    assert run_tasks() == 0  # its lease has not run out
    expire(task)
    rung = BrokerMessage.objects.count()
    tasks.sweep()
    assert settings.REDIS_URL or BrokerMessage.objects.count() == rung + 1
    assert run_tasks() == 1
    task.refresh_from_db()
    assert (task.state, task.attempt) == ("done", 2)
    document = document_of(task.document_id)
    assert document["chunk_count"] == store.count(dataset["id"]).chunks == counts()[1] > left


def test_a_lease_of_before_the_clock_was_set_back_is_over(queue, document_of, run_tasks):
    task = queue()
    assert ingest.claim(task.pk) is not None  # by a worker that died
    BrokerMessage.objects.all().delete()
    IngestTask.objects.update(lease_until=timezone.now() + timedelta(hours=1))
    tasks.sweep()
    assert run_tasks() == 1
    assert document_of(task.document_id)["run"] == "DONE"


def test_a_worker_that_is_told_to_stop_leaves_its_task_to_the_next_one(
    queue, document_of, run_tasks, store, dataset, pieces, slices, counts, monkeypatch
):
    leaving = threading.Event()
    monkeypatch.setattr(leases, "_leaving", leaving)
    task = queue(content=LONG)
    slices.update(dict.fromkeys(range(2, 20), leaving.set))
    for _ in range(ingest.MAX_ATTEMPTS + 1):  # as often as somebody wants to start it again
        ingest.run(task.pk)
        task.refresh_from_db()
        assert (task.state, task.attempt, task.worker) == ("pending", 0, "")
        assert document_of(task.document_id)["run"] == "RUNNING"
        leaving.clear()
    slices.clear()
    tasks.sweep()  # at once: nobody waits for a lease
    assert run_tasks() == 1
    assert document_of(task.document_id)["run"] == "DONE"
    assert counts()[1] == store.count(dataset["id"]).chunks


def test_a_task_that_is_cancelled_while_its_worker_stops_stays_cancelled(queue, base, api, document_of, monkeypatch):
    task = queue()
    work = ingest._Work(ingest.claim(task.pk))
    api.call("DELETE", f"{base}/chunks", {"document_ids": [task.document_id]})
    assert not work.give_back()
    task.refresh_from_db()
    assert task.state == "cancelled"


def test_a_waiting_task_is_rung_for_again_when_its_message_is_lost(queue, run_tasks, document_of):
    task = queue()
    BrokerMessage.objects.all().delete()
    assert parsing.ring_again() == 0
    expire(task)
    assert parsing.ring_again() == 1
    assert parsing.ring_again() == 0
    assert settings.REDIS_URL or BrokerMessage.objects.count() == 1


def test_a_document_that_kills_its_workers_is_set_aside(queue, document_of):
    task = queue("bomb.txt")
    for attempt in range(1, ingest.MAX_ATTEMPTS + 1):
        assert ingest.claim(task.pk).attempt == attempt
        expire(task)
        assert parsing.ring_again() == 1
    assert ingest.claim(task.pk) is None
    task.refresh_from_db()
    assert (task.state, task.error_class) == ("quarantined", "worker_lost")
    document = document_of(task.document_id)
    assert document["run"] == "FAIL"
    assert "[ERROR] Parsing stopped its worker 3 times" in document["progress_msg"]
    assert parsing.ring_again() == 0


def test_a_worker_that_slept_past_its_lease_changes_nothing(queue, slices, pieces, document_of, store, dataset, counts):
    task = queue("long.txt", LONG)

    def another_worker_does_it():
        expire(task)
        parsing.ring_again()
        slices.clear()
        ingest.run(task.pk)

    slices[3] = another_worker_does_it
    ingest.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.attempt) == ("done", 2)
    document = document_of(task.document_id)
    assert document["run"] == "DONE"
    assert document["chunk_count"] == store.count(dataset["id"]).chunks == counts()[1]


@pytest.mark.parametrize("nth", [1, 3])
def test_stopping_takes_effect_before_the_next_slice_is_stored(
    api, base, queue, slices, pieces, document_of, store, dataset, counts, nth
):
    task = queue("long.txt", LONG)
    slices[nth] = lambda: api.call("DELETE", f"{base}/chunks", {"document_ids": [task.document_id]})
    ingest.run(task.pk)
    assert document_of(task.document_id)["run"] == "CANCEL"
    assert store.count(dataset["id"]).chunks == counts()[1] == 0
    task.refresh_from_db()
    assert task.state == "cancelled"


@pytest.mark.parametrize("nth", [1, 3])
def test_nothing_of_a_document_that_is_deleted_while_it_is_parsed_comes_back(
    api, base, queue, slices, pieces, store, dataset, counts, nth
):
    task = queue("long.txt", LONG)
    slices[nth] = lambda: api.call("DELETE", f"{base}/documents", {"ids": [task.document_id]})
    ingest.run(task.pk)
    assert store.count(dataset["id"]).chunks == 0
    assert counts() == (0, 0, 0)
    assert not Document.objects.exists()
    assert not IngestTask.objects.exists()


def test_nothing_of_a_dataset_that_is_deleted_meanwhile_comes_back(
    api, queue, slices, pieces, store, dataset, purge_deleted
):
    task = queue("long.txt", LONG)

    def delete() -> None:
        api.call("DELETE", "/api/v1/datasets", {"ids": [dataset["id"]]})
        purge_deleted()

    slices[3] = delete
    ingest.run(task.pk)
    assert store.count(dataset["id"]).chunks == 0
    assert not Document.objects.exists()


def test_stopped_and_started_again_while_the_first_worker_is_busy(
    api, base, queue, slices, pieces, document_of, store, dataset, run_tasks
):
    task = queue("long.txt", LONG)

    def again():
        slices.clear()
        for method in ("DELETE", "POST"):
            assert api.call(method, f"{base}/chunks", {"document_ids": [task.document_id]})["code"] == 0

    slices[3] = again
    ingest.run(task.pk)
    assert document_of(task.document_id)["run"] == "RUNNING"
    assert store.count(dataset["id"]).chunks == 0
    assert run_tasks() == 1
    document = document_of(task.document_id)
    assert document["run"] == "DONE"
    assert document["chunk_count"] == store.count(dataset["id"]).chunks > 10


def test_progress_is_shown_while_it_runs_and_never_falls(queue, document_of, monkeypatch):
    monkeypatch.setattr(ingest, "REPORT_SECONDS", 0)
    task, seen = queue(), []

    def steps(*_arguments, **_options):
        for fraction in (0.2, 0.1, 0.5, 1.0):
            yield Progress(Stage.STORE, fraction, f"At {fraction}.")
            seen.append(document_of(task.document_id))
        yield Progress(Stage.DONE, 1.0, "Task done (0.10s)")

    monkeypatch.setattr(ingest, "ingest", steps)
    ingest.run(task.pk)
    assert [document["progress"] for document in seen] == [0.2, 0.2, 0.5, 0.999]
    assert all(document["run"] == "RUNNING" for document in seen)
    assert seen[0]["progress_msg"].split("\n")[0].endswith(" Task has been received.")  # it is not queued any more
    lines = document_of(task.document_id)["progress_msg"].split("\n")
    assert [line[9:] for line in lines[1:]] == ["At 0.2.", "At 0.1.", "At 0.5.", "At 1.0.", "Task done (0.10s)"]


def test_progress_is_written_once_a_second(queue, django_assert_max_num_queries):
    task = queue()
    work = ingest._Work(ingest.claim(task.pk))
    with django_assert_max_num_queries(8):
        for number in range(1000):
            work.report(Progress(Stage.STORE, number / 1000))


def test_a_stop_is_noticed_without_a_slice(queue, monkeypatch):
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0)
    task = queue()
    work = ingest._Work(ingest.claim(task.pk))
    assert not work.should_stop()
    IngestTask.objects.update(state=IngestTask.State.CANCELLED)
    assert work.should_stop()
    assert work.lost.is_set()


def test_the_row_is_not_read_for_every_block(queue, django_assert_num_queries):
    task = queue()
    work = ingest._Work(ingest.claim(task.pk))
    with django_assert_num_queries(0):
        for _ in range(1000):
            work.should_stop()


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_a_model_thinks(queue, slices, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.02)
    task = queue()
    renewed = threading.Event()
    renew = leases.Held._renewed

    def watched(work):
        result = renew(work)
        renewed.set()
        return result

    monkeypatch.setattr(leases.Held, "_renewed", watched)

    def think():
        expire(task)
        assert renewed.wait(10)
        task.refresh_from_db()

    slices[1] = think
    ingest.run(task.pk)
    assert task.lease_until > timezone.now()
    assert IngestTask.objects.get().state == "done"


def test_an_interrupted_deletion_is_finished(parsed, store, dataset):
    parsed()
    Document.objects.update(deleted_at=timezone.now())
    assert deleting.purge_hidden() == 0
    Document.objects.update(deleted_at=timezone.now() - timedelta(minutes=2))
    tasks.collect_garbage()
    assert not Document.objects.exists()
    assert store.count(dataset["id"]).chunks == 0


def test_chunks_that_were_added_since_the_call_stay(queue, store, dataset):
    import numpy as np

    from ragflow.engine.types import Chunk

    task = queue()
    now = timezone.now().timestamp()
    added = Chunk("0" * 16, dataset["id"], task.document_id, "fox.txt", "By hand.", manual=True, created_at=now)
    store.upsert([added], np.eye(1, 1024, dtype=np.float32))
    ingest.run(task.pk)
    assert store.count(dataset["id"]).chunks == 2
    assert Document.objects.get().chunk_count == 2
