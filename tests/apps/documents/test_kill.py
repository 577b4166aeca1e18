"""A worker that is killed at any stage loses nothing: another one does its work, and the result is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from apps.documents import ingest, tasks
from apps.documents.models import Document, IngestTask

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LONG = b"\n".join(b"Sentence number %d tells something about topic %d." % (n, n) for n in range(100))

# Runs one task like a worker does, and kills itself without warning at a given point.
WORKER = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path

    import django

    task_id, point, database, index, files = sys.argv[1:]
    from django.conf import settings
    settings.DATABASES["default"]["NAME"] = database
    settings.INDEX_FILE = Path(index)
    settings.STORAGES["default"]["OPTIONS"]["location"] = files
    from ragflow.engine.registry import HASHING, ModelSettings
    settings.MODELS = ModelSettings(embedding_model=HASHING)
    django.setup()

    from apps.datasets.engine import doc_store
    from apps.documents import ingest
    from ragflow.engine import ingest as engine
    from ragflow.engine.embedding.hashing import HashingEmbedder

    engine.SLICE = 4
    die = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
    Store = type(doc_store())
    upsert, finish, embed, calls = Store.upsert, ingest._Work.finish, HashingEmbedder.embed, []

    def store_then_die(self, chunks, vectors, **place):
        upsert(self, chunks, vectors, **place)
        calls.append(1)
        if len(calls) == 3:
            die()

    def embed_twice_then_die(self, texts):
        calls.append(1)
        return embed(self, texts) if len(calls) < 4 else die()

    if point == "claim":
        ingest._Work.do = die
    elif point == "parse":
        engine.parse = die
    elif point == "embed":
        HashingEmbedder.embed = embed_twice_then_die
    elif point == "store":
        Store.upsert = store_then_die
    elif point == "old chunks":
        Store.delete_document = die
    elif point == "finish":
        ingest._Work.finish = die
    elif point == "in the last write":
        ingest.recount = die
    ingest.run(task_id)
""")
POINTS = ["claim", "parse", "embed", "store", "old chunks", "finish", "in the last write"]


@pytest.fixture
def killed(tmp_path):
    """Return a function that runs a task in a process which dies at a point."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def run(task: IngestTask, point: str) -> None:
        places = (connection.settings_dict["NAME"], django_settings.INDEX_FILE, tmp_path / "files")
        command = [sys.executable, str(script), task.pk, point, *map(str, places)]
        environment = os.environ | {"PYTHONPATH": str(django_settings.BASE_DIR)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert result.returncode == -signal.SIGKILL, result.stderr

    return run


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost(api, base, dataset, upload, document_of, counts, store, run_tasks, killed, point):
    api.call("PUT", base, {"parser_config": {"chunk_token_num": 20}})
    (id_,) = upload("long.txt", content=LONG)
    api.call("POST", f"{base}/chunks", {"document_ids": [id_]})
    task = IngestTask.objects.get()
    killed(task, point)
    task.refresh_from_db()
    assert (task.state, task.attempt) == ("running", 1)
    assert document_of(id_)["run"] == "RUNNING"
    IngestTask.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep()
    assert run_tasks() == 1
    document = document_of(id_)
    assert document["run"] == "DONE"
    found = store.count(dataset["id"], id_)
    assert found.chunks == 100
    assert counts() == (1, document["chunk_count"], document["token_count"]) == (1, found.chunks, found.tokens)


def test_a_file_that_always_kills_is_set_aside_and_the_queue_moves_on(
    api, base, upload, document_of, run_tasks, killed, store, dataset
):
    bomb, good = upload("bomb.txt", "good.txt")
    api.call("POST", f"{base}/chunks", {"document_ids": [bomb, good]})
    task = IngestTask.objects.get(document_id=bomb)
    for _ in range(ingest.MAX_ATTEMPTS):
        killed(task, "parse")
        IngestTask.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        tasks.sweep()
    run_tasks()
    assert document_of(good)["run"] == "DONE"
    assert document_of(bomb)["run"] == "FAIL"
    assert Document.objects.get(pk=bomb).error_class == "worker_lost"
    assert set(store.counts_by_document(dataset["id"])) == {good}


@pytest.mark.parametrize("point", ["embed", "store", "finish"])
def test_deleting_what_a_dead_worker_left(api, base, dataset, upload, counts, store, run_tasks, killed, point):
    api.call("PUT", base, {"parser_config": {"chunk_token_num": 20}})
    (id_,) = upload("long.txt", content=LONG)
    api.call("POST", f"{base}/chunks", {"document_ids": [id_]})
    killed(IngestTask.objects.get(), point)
    assert api.call("DELETE", f"{base}/documents", {"ids": [id_]})["code"] == 0
    tasks.sweep()
    assert run_tasks() == 0
    assert counts() == (0, 0, 0)
    assert store.count(dataset["id"]).chunks == 0
