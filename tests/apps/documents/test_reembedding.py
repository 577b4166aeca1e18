"""A dataset changes its embedding model: nothing is lost, and no search ever compares vectors of two models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts import language_models
from apps.accounts.models import TenantModel, User
from apps.administration.admin import DatasetAdmin
from apps.chats.search import search_in
from apps.core.crypto import encrypt
from apps.core.errors import Conflict, InvalidArgument
from apps.core.threads import in_database
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import aim, aim_again
from apps.datasets.services import hide_datasets
from apps.documents import embedding_anew, ingest, leases, tasks
from apps.documents.models import Document, IngestTask, Reembedding
from apps.documents.services.reembedding import start_reembedding, stop_reembedding
from ragflow.engine import ingest as engine
from ragflow.engine.docstore.base import SearchRequest
from ragflow.engine.embedding.chunks import ChunkEmbedder
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import StoreUnavailable, VectorsMissing
from ragflow.engine.registry import HASHING
from ragflow.engine.retrieval import RetrievalRequest
from ragflow.heartbeats import heartbeats
from ragflow.models import Worker
from tests.apps.documents.test_concurrency import together
from tests.tools.model_server import ModelServer, Reply

NAME = "embedding-3@ZHIPU-AI"
LINES = b"\n".join(b"Sentence number %d tells something about topic %d." % (n, n) for n in range(20))


class Killed(BaseException):
    """Stands for the end of a worker's process: no handler of exceptions sees it."""


@pytest.fixture(autouse=True)
def provider(settings: Any, engine: None, api: Any) -> Iterator[ModelServer]:
    with ModelServer() as server:
        settings.PROVIDER_URLS = {"ZHIPU-AI": server.url}
        language_models.registry.reset()
        TenantModel.objects.create(
            tenant=api.tenant, provider="ZHIPU-AI", name="embedding-3", type="embedding", encrypted_key=encrypt("key")
        )
        yield server


@pytest.fixture
def row(dataset: dict[str, Any]) -> KnowledgeBase:
    return KnowledgeBase.objects.get(pk=dataset["id"])


@pytest.fixture
def filled(api: Any, base: str, parsed: Callable[..., str]) -> str:
    """A document of twenty chunks, in slices of four."""
    api.call("PUT", base, {"parser_config": {"chunk_token_num": 20}})
    return parsed("lines.txt", LINES)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_anew, "SLICE", 4)
    monkeypatch.setattr(engine, "SLICE", 4)


@pytest.fixture
def found(api: Any, dataset: dict[str, Any]) -> Callable[..., set[str]]:
    """Return a function that searches as a client does and returns the contents."""

    def ask(question: str = "sentence") -> set[str]:
        body = {"dataset_ids": [dataset["id"]], "question": question, "similarity_threshold": 0, "page_size": 100}
        answer = api.call("POST", "/api/v1/retrieval", body)
        assert answer["code"] == 0, answer
        return {chunk["content"] for chunk in answer["data"]["chunks"]}

    return ask


def model_of(api: Any, dataset: dict[str, Any]) -> str:
    (shown,) = api.call("GET", f"/api/v1/datasets?id={dataset['id']}")["data"]
    return str(shown["embedding_model"])


def chunks_of(store: Any, document: str, dataset: dict[str, Any]) -> Any:
    return store.list_chunks(dataset["id"], document, offset=0, limit=1000).chunks


def assert_embedded(store: Any, row: KnowledgeBase) -> None:
    """Check that every chunk has the vector that it would get if it were written now."""
    row.refresh_from_db()
    embedder = language_models.embedder_for(row.embedding_model, row.tenant_id)
    for document in Document.objects.filter(dataset=row):
        chunks = store.list_chunks(row.pk, document.pk, offset=0, limit=1000).chunks
        ids = [chunk.id for chunk in chunks]
        stored = store.vectors([row.pk], ids, spaces={row.pk: row.vector_space})
        assert set(stored) == set(ids)
        if not chunks:
            continue
        wanted = ChunkEmbedder(embedder, document.name, document.parser_config).embed(chunks)
        np.testing.assert_allclose(np.stack([stored[id_] for id_ in ids]), wanted, atol=1e-5)


def on_slice(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], Any]) -> None:
    """Do something while the n-th slice of a re-embedding is with the model."""
    embed, calls = embedding_anew.embed_chunks, []

    def watched(*args: Any) -> Any:
        calls.append(args)
        vectors = embed(*args)
        if len(calls) == number:
            act()
        return vectors

    monkeypatch.setattr(embedding_anew, "embed_chunks", watched)


def expire_and_sweep() -> None:
    Reembedding.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep()


# -- the whole way -------------------------------------------------------------------------------------------------


def test_every_chunk_gets_a_vector_of_the_new_model_and_nothing_else_changes(
    api, base, dataset, row, filled, parsed, found, store, counts, provider
):
    other = parsed("other.txt", b"Words of their own.")
    path = f"{base}/documents/{filled}/chunks"
    first, second, *_ = chunks_of(store, filled, dataset)
    api.call("PUT", f"{path}/{first.id}", {"available": False})
    api.call("PUT", f"{path}/{second.id}", {"questions": ["What is this?"], "important_keywords": ["seventh"]})
    api.call("POST", path, {"content": "Added by hand.", "important_keywords": ["hand"]})
    api.call("PUT", f"{base}/documents/{filled}", {"parser_config": {"filename_embd_weight": 0.5}})
    before, counted = [chunks_of(store, id_, dataset) for id_ in (filled, other)], counts()
    provider.reset()

    task = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(task.pk)

    task.refresh_from_db()
    assert (task.state, task.progress, task.error_class) == ("done", 1, "")
    assert [chunks_of(store, id_, dataset) for id_ in (filled, other)] == before
    assert counts() == counted
    assert model_of(api, dataset) == NAME
    assert_embedded(store, row)
    assert first.content not in found()
    assert "Added by hand." in found("hand")


def test_small_documents_are_embedded_together(api, base, upload, run_tasks, row, provider):
    ids = upload(*(f"{number}.txt" for number in range(20)))
    api.call("POST", f"{base}/chunks", {"document_ids": ids})
    run_tasks()
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert sum(exchange.path.endswith("embeddings") for exchange in provider.exchanges) <= 2


def test_searches_use_the_old_vectors_until_the_switch(
    api, dataset, row, filled, small, found, provider, monkeypatch, store
):
    before = found()

    def look() -> None:
        asked = len(provider.exchanges)
        assert found() == before
        assert len(provider.exchanges) == asked
        assert model_of(api, dataset) == HASHING
        assert Reembedding.objects.get().state == "running"

    for number in range(1, 6):
        on_slice(monkeypatch, number, look)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    asked = len(provider.exchanges)
    assert found() == before
    assert len(provider.exchanges) == asked + 1


def test_back_and_forth(row, filled, found, store):
    before = found()
    for model in (NAME, HASHING, HASHING, NAME):
        embedding_anew.run(start_reembedding(dataset=row, model=model).pk)
        assert found() == before
        assert_embedded(store, row)
    assert set(Reembedding.objects.values_list("state", flat=True)) == {"done"}


def test_the_same_model_repairs_what_has_no_vectors(row, filled, found, store):
    store.drop_space(row.pk, 0)
    with pytest.raises(AssertionError, match="embed the dataset anew"):
        found()
    embedding_anew.run(start_reembedding(dataset=row, model=HASHING).pk)
    assert len(found()) == 20
    assert_embedded(store, row)


def test_a_dataset_without_chunks(api, dataset, row, parsed, found, store):
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert model_of(api, dataset) == NAME
    assert found() == set()
    parsed()
    assert_embedded(store, row)


def test_another_model_for_a_dataset_that_was_emptied(api, base, dataset, row, parsed, found, store):
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    document = parsed()
    assert api.call("DELETE", f"{base}/documents", {"ids": [document]})["code"] == 0
    assert api.call("PUT", base, {"embedding_model": HASHING})["code"] == 0
    assert found() == set()
    parsed("lines.txt", LINES)
    assert found()
    assert_embedded(store, row)


def test_rows_of_spreadsheets_stay(api, base, dataset, row, parsed, store):
    api.call("PUT", base, {"chunk_method": "table"})
    document = parsed("prices.csv", b"name,price\napple,3\npear,4\n")
    before = chunks_of(store, document, dataset)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert chunks_of(store, document, dataset) == before != ()
    assert_embedded(store, row)
    assert Document.objects.get().table.row_count == 2


# -- asking for it -------------------------------------------------------------------------------------------------


def test_what_is_refused(row, filled):
    with pytest.raises(InvalidArgument, match="Unsupported model"):
        start_reembedding(dataset=row, model="nothing@Nowhere")
    with pytest.raises(InvalidArgument, match="Unauthorized model"):
        start_reembedding(dataset=row, model="text-embedding-3-small@OpenAI")
    start_reembedding(dataset=row, model=NAME)
    with pytest.raises(Conflict, match="already"):
        start_reembedding(dataset=row, model=HASHING)
    assert Reembedding.objects.count() == 1


def test_the_contract_still_refuses_another_model(api, base, dataset, filled):
    answer = api.call("PUT", base, {"embedding_model": NAME})
    assert answer["message"] == f"When chunk_num (20) > 0, embedding_model must remain {HASHING}"


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(endpoint="embeddings", status=401, message="no such key"), "no such key"),
        (Reply(endpoint="embeddings", dimension=32), "32 instead of 64"),
        (Reply(endpoint="embeddings", raw='{"data": []}'), "embeddings"),
    ],
)
def test_a_provider_that_fails_changes_nothing(
    api, dataset, row, filled, small, found, provider, store, monkeypatch, reply, sentence
):
    before = found()
    on_slice(monkeypatch, 2, lambda: provider.script(reply))
    task = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert task.state == "failed"
    assert sentence in task.message
    assert found() == before
    assert model_of(api, dataset) == HASHING
    assert_embedded(store, row)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert found() == before
    assert_embedded(store, row)


def test_a_key_that_is_taken_away(api, dataset, row, filled, found):
    task = start_reembedding(dataset=row, model=NAME)
    TenantModel.objects.all().delete()
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.error_class) == ("failed", "model_not_found")
    assert len(found()) == 20


@pytest.mark.parametrize("number", [1, 3, 5])
def test_cancelling(api, dataset, row, filled, small, found, store, monkeypatch, number):
    on_slice(monkeypatch, number, lambda: stop_reembedding(dataset=row))
    task = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert task.state == "cancelled"
    assert store.count_lacking(row.pk, task.space) == 20 - 4 * (number - 1)
    assert len(found()) == 20
    assert not stop_reembedding(dataset=row)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert_embedded(store, row)
    assert model_of(api, dataset) == NAME


def test_deleting_the_dataset_meanwhile(api, base, dataset, row, filled, small, store, purge_deleted, monkeypatch):
    def delete() -> None:
        api.call("DELETE", "/api/v1/datasets", {"ids": [dataset["id"]]})
        purge_deleted()

    on_slice(monkeypatch, 2, delete)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert store.count(dataset["id"]).chunks == 0
    assert not Reembedding.objects.exists()


@pytest.mark.parametrize("slice_", [2, None])
def test_no_model_is_asked_for_a_dataset_that_is_being_deleted(row, filled, small, store, monkeypatch, slice_):
    task = start_reembedding(dataset=row, model=NAME)
    if slice_:
        on_slice(monkeypatch, slice_, lambda: hide_datasets([row]))
    else:
        settle = embedding_anew._Work.settle
        monkeypatch.setattr(embedding_anew._Work, "settle", lambda work: (settle(work), hide_datasets([row])))
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.message) == ("failed", "The dataset has been deleted meanwhile.")
    assert store.count_lacking(row.pk, task.space) == (16 if slice_ else 0)


# -- workers that die ----------------------------------------------------------------------------------------------

POINTS = {
    "claimed": (embedding_anew._Work, "do", "before"),
    "model asked": (embedding_anew, "embed_chunks", "before"),
    "vectors made": (embedding_anew, "embed_chunks", "after"),
    "filled": (embedding_anew._Work, "fill", "after"),
    "about to settle": (embedding_anew._Work, "settle", "before"),
    "settled": (embedding_anew._Work, "settle", "after"),
    "about to switch": (embedding_anew._Work, "switch", "before"),
    "about to commit": (embedding_anew._Work, "_finish", "after"),
    "switched": (embedding_anew._Work, "switch", "after"),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("call", [1, 2])
def test_a_worker_that_dies_leaves_a_searchable_dataset_and_another_goes_on(
    api, dataset, row, filled, small, found, store, monkeypatch, point, call
):
    before = found()
    owner, name, when = POINTS[point]
    original, calls = getattr(owner, name), []

    def dying(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == call and when == "before":
            raise Killed
        result = original(*args, **options)
        if len(calls) == call and when == "after":
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        try:
            embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
        except Killed:
            assert found() == before
    assert_embedded(store, row)  # with the old model, or with the new one
    expire_and_sweep()
    (task,) = Reembedding.objects.all()
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert task.state == "done"
    assert found() == before
    assert model_of(api, dataset) == NAME
    assert_embedded(store, row)


def test_what_a_dead_worker_embedded_is_not_embedded_again(row, filled, small, store, provider, monkeypatch):
    def die() -> None:
        raise Killed

    on_slice(monkeypatch, 4, die)
    task = start_reembedding(dataset=row, model=NAME)
    with pytest.raises(Killed):
        embedding_anew.run(task.pk)
    provider.reset()
    expire_and_sweep()
    embedding_anew.run(task.pk)
    sent = [text for exchange in provider.exchanges for text in exchange.body["input"] if text != "lines.txt"]
    assert len(sent) == 8


def test_a_worker_that_is_told_to_stop_leaves_it_to_the_next_one(row, filled, small, monkeypatch):
    leaving = threading.Event()
    monkeypatch.setattr(leases, "_leaving", leaving)
    on_slice(monkeypatch, 2, leaving.set)
    task = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.attempt, task.worker) == ("pending", 0, "")
    leaving.clear()
    tasks.sweep()
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.attempt) == ("done", 1)


def test_it_waits_for_a_store_that_is_away(row, filled, store, monkeypatch):
    def away(*_: Any) -> int:
        raise StoreUnavailable("The index does not answer.")

    task = start_reembedding(dataset=row, model=NAME)
    with monkeypatch.context() as patch:
        patch.setattr(store, "add_vectors", away)
        embedding_anew.run(task.pk)
        task.refresh_from_db()
        assert (task.state, task.message) == ("running", "The index does not answer.")
        tasks.sweep()
        embedding_anew.run(task.pk)
        task.refresh_from_db()
        assert task.attempt == 1  # not again at once
        for _ in range(embedding_anew.MAX_ATTEMPTS - 2):
            expire_and_sweep()
            embedding_anew.run(task.pk)
    expire_and_sweep()
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert task.state == "done"
    assert_embedded(store, row)


def test_it_does_not_wait_for_ever(row, filled, found, store, monkeypatch):
    def away(*_: Any) -> int:
        raise StoreUnavailable("The index does not answer.")

    monkeypatch.setattr(store, "add_vectors", away)
    task = start_reembedding(dataset=row, model=NAME)
    for _ in range(embedding_anew.MAX_ATTEMPTS):
        embedding_anew.run(task.pk)
        expire_and_sweep()
    task.refresh_from_db()
    assert (task.state, task.message) == ("failed", "The index does not answer.")
    assert len(found()) == 20


def test_one_that_stops_its_workers_again_and_again_is_set_aside(row, filled, found, monkeypatch):
    def die(work: Any) -> None:
        raise Killed

    monkeypatch.setattr(embedding_anew._Work, "do", die)
    task = start_reembedding(dataset=row, model=NAME)
    for _ in range(embedding_anew.MAX_ATTEMPTS):
        with pytest.raises(Killed):
            embedding_anew.run(task.pk)
        expire_and_sweep()
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert (task.state, task.error_class) == ("quarantined", "worker_lost")
    assert len(found()) == 20


def test_a_worker_that_slept_past_its_lease_writes_nothing(row, filled, small, store, monkeypatch):
    on_slice(monkeypatch, 2, expire_and_sweep)
    task = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(task.pk)
    assert store.count_lacking(row.pk, task.space) == 16
    task.refresh_from_db()
    assert task.state == "pending"


# -- others write meanwhile ----------------------------------------------------------------------------------------


def test_chunks_that_are_written_while_it_runs(
    api, base, dataset, row, filled, upload, small, found, store, counts, run_tasks, monkeypatch
):
    path = f"{base}/documents/{filled}/chunks"
    chunks = chunks_of(store, filled, dataset)
    (late,) = upload("late.txt", content=b"Came late.")

    def change() -> None:
        assert api.call("POST", path, {"content": "Added meanwhile."})["code"] == 0
        for chunk in (chunks[0], chunks[5], chunks[19]):  # embedded, being embedded, to be embedded
            content = f"{chunk.content} Changed meanwhile."
            assert api.call("PUT", f"{path}/{chunk.id}", {"content": content})["code"] == 0
        ids = [chunk.id for chunk in (chunks[1], chunks[6], chunks[18])]
        assert api.call("DELETE", path, {"chunk_ids": ids})["code"] == 0
        api.call("POST", f"{base}/chunks", {"document_ids": [late]})
        run_tasks()

    on_slice(monkeypatch, 2, change)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert Reembedding.objects.get().state == "done"
    assert_embedded(store, row)
    contents = found("sentence meanwhile late")
    assert len(contents) == counts()[1] == 20 - 3 + 2
    assert sum("Changed meanwhile" in content for content in contents) == 3


@pytest.mark.parametrize("step", ["settle", "switch"])
def test_a_chunk_that_is_written_at_the_last_moment(api, base, row, filled, found, store, monkeypatch, step):
    original, added = getattr(embedding_anew._Work, step), []

    def late(work: Any) -> Any:
        if len(added) < 2:
            added.append(api.call("POST", f"{base}/documents/{filled}/chunks", {"content": f"Late {len(added)}."}))
        return original(work)

    monkeypatch.setattr(embedding_anew._Work, step, late)
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    assert {answer["code"] for answer in added} == {0}
    assert_embedded(store, row)
    assert len(found("sentence late")) == 20 + len(added)


@pytest.mark.parametrize("write", ["add", "update"])
def test_a_chunk_whose_vector_was_made_before_the_switch(
    api, base, dataset, row, filled, found, store, counts, monkeypatch, write
):
    path = f"{base}/documents/{filled}/chunks"
    first = chunks_of(store, filled, dataset)[0]
    embed, switched = HashingEmbedder.embed, []

    def slow(self: Any, texts: Any) -> Any:
        if not switched:
            switched.append(True)
            embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", slow)
    if write == "add":
        answer = api.call("POST", path, {"content": "Written slowly."})
    else:
        answer = api.call("PUT", f"{path}/{first.id}", {"content": "Written slowly."})
    assert answer["code"] == 0
    assert Reembedding.objects.get().state == "done"
    assert_embedded(store, row)
    assert "Written slowly." in found("slowly")
    assert counts()[1] == store.count(row.pk).chunks


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_document_that_is_parsed_across_the_switch(
    api, base, row, filled, upload, small, found, store, counts, monkeypatch, number
):
    (document,) = upload("second.txt", content=LINES.replace(b"Sentence", b"Line"))
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    embed, calls = HashingEmbedder.embed, []

    def watched(self: Any, texts: Any) -> Any:
        calls.append(texts)
        if len(calls) == number:
            embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", watched)
    ingest.run(IngestTask.objects.get(document_id=document).pk)
    assert Document.objects.get(pk=document).state == Document.State.DONE
    assert "Parsing begins again" in Document.objects.get(pk=document).progress_message
    assert_embedded(store, row)
    assert len(found("sentence line")) == counts()[1] == 40


def test_parsing_waits_while_the_last_chunks_are_embedded(api, base, row, filled, upload, store, monkeypatch):
    (document,) = upload("second.txt", content=b"Some words.")
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    task = start_reembedding(dataset=row, model=NAME)
    Reembedding.objects.filter(pk=task.pk).update(state="running", stage=Reembedding.SETTLING)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        assert store.count(row.pk, document).chunks == 0
        if len(naps) == 2:
            stop_reembedding(dataset=row)

    monkeypatch.setattr(time, "sleep", sleep)
    ingest.run(IngestTask.objects.get(document_id=document).pk)
    assert len(naps) == 2
    assert store.count(row.pk, document).chunks == 1


def test_waiting_parsing_can_be_cancelled(api, base, row, upload, store, monkeypatch):
    (document,) = upload("second.txt", content=b"Some words.")
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    task = start_reembedding(dataset=row, model=NAME)
    Reembedding.objects.filter(pk=task.pk).update(state="running", stage=Reembedding.SETTLING)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0)
    stop = {"document_ids": [document]}
    monkeypatch.setattr(time, "sleep", lambda _: api.call("DELETE", f"{base}/chunks", stop))
    ingest.run(IngestTask.objects.get(document_id=document).pk)
    assert IngestTask.objects.get(document_id=document).state == "cancelled"
    assert store.count(row.pk).chunks == 0


def test_the_model_of_an_empty_dataset_changes_while_its_first_document_is_parsed(
    api, base, dataset, row, upload, small, store, found, monkeypatch
):
    api.call("PUT", base, {"parser_config": {"chunk_token_num": 20}})
    (document,) = upload("lines.txt", content=LINES)
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    embed, calls = HashingEmbedder.embed, []

    def watched(self: Any, texts: Any) -> Any:
        calls.append(texts)
        if len(calls) == 3:
            assert api.call("PUT", base, {"embedding_model": NAME})["code"] == 0
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", watched)
    ingest.run(IngestTask.objects.get().pk)
    assert Document.objects.get().state == Document.State.DONE
    assert model_of(api, dataset) == NAME
    assert_embedded(store, row)
    assert len(found()) == 20


def test_a_model_that_an_empty_dataset_gets_meanwhile_wins(api, base, dataset, row, filled, small, monkeypatch):
    def change() -> None:
        api.call("DELETE", f"{base}/documents/{filled}/chunks", {"delete_all": True})
        KnowledgeBase.objects.update(chunk_count=0)
        assert api.call("PUT", base, {"embedding_model": NAME})["code"] == 0

    on_slice(monkeypatch, 2, change)
    embedding_anew.run(start_reembedding(dataset=row, model=HASHING).pk)
    task = Reembedding.objects.get()
    assert task.state == "failed"
    assert NAME in task.message
    assert model_of(api, dataset) == NAME


# -- what is left --------------------------------------------------------------------------------------------------


def old_search(store: Any, row: KnowledgeBase, space: int, model: str) -> int:
    vector = language_models.embedder_for(model, row.tenant_id).embed_query("sentence")
    return len(store.search(SearchRequest((row.pk,), "", vector, spaces={row.pk: space})))


def test_old_vectors_stay_for_searches_under_way_and_then_go(row, filled, found, store):
    embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
    tasks.collect_garbage()
    assert old_search(store, row, 0, HASHING) == 20
    Reembedding.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    tasks.collect_garbage()
    with pytest.raises(VectorsMissing):
        old_search(store, row, 0, HASHING)
    assert Reembedding.objects.get().is_cleared
    assert len(found()) == 20
    assert_embedded(store, row)


def test_vectors_of_a_failed_run_go_and_those_in_use_stay(row, filled, small, found, store, provider, monkeypatch):
    on_slice(monkeypatch, 2, lambda: provider.script(Reply(endpoint="embeddings", status=401)))
    failed = start_reembedding(dataset=row, model=NAME)
    embedding_anew.run(failed.pk)
    assert store.count_lacking(row.pk, failed.space) == 12
    Reembedding.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    tasks.collect_garbage()
    assert store.count_lacking(row.pk, failed.space) == 20
    assert_embedded(store, row)
    assert len(found()) == 20


# -- searches that began before the switch -------------------------------------------------------------------------


@pytest.fixture
def switch(api: Any, base: str, row: KnowledgeBase, filled: str) -> Callable[[], None]:
    """Return a function that changes the model and then writes a chunk, which has no vector of the old one."""

    def act() -> None:
        embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
        assert api.call("POST", f"{base}/documents/{filled}/chunks", {"content": "Written later."})["code"] == 0

    return act


@pytest.fixture
def overtaken(switch: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """While the next question is embedded the model changes."""
    embed = HashingEmbedder.embed_query

    def embed_and_switch(self: HashingEmbedder, text: str) -> Any:
        monkeypatch.setattr(HashingEmbedder, "embed_query", embed)
        switch()
        return embed(self, text)

    monkeypatch.setattr(HashingEmbedder, "embed_query", embed_and_switch)


@pytest.mark.usefixtures("overtaken")
def test_a_search_that_a_switch_overtakes_starts_again(found):
    assert "Written later." in found()


@pytest.mark.usefixtures("overtaken")
def test_so_does_one_for_dify(api, dataset):
    body = {
        "knowledge_id": dataset["id"],
        "query": "sentence",
        "retrieval_setting": {"top_k": 50, "score_threshold": 0},
    }
    records = api.call("POST", "/api/v1/dify/retrieval", body)["records"]
    assert "Written later." in {record["content"] for record in records}


@pytest.mark.django_db(transaction=True)
def test_so_does_one_for_an_assistant(switch, row, monkeypatch):
    embed = HashingEmbedder.aembed_query

    async def embed_and_switch(self: HashingEmbedder, text: str) -> Any:
        monkeypatch.setattr(HashingEmbedder, "aembed_query", embed)
        await in_database(switch)
        return await embed(self, text)

    monkeypatch.setattr(HashingEmbedder, "aembed_query", embed_and_switch)
    numbers = RetrievalRequest(question="", similarity_threshold=0, page_size=50)
    passages = async_to_sync(search_in([row], numbers, tenant_id=row.tenant_id))("sentence").passages
    assert "Written later." in {passage.chunk.content for passage in passages}


def test_datasets_that_a_switch_parts_are_not_searched_with_one_model(api, row, filled, switch, monkeypatch):
    other = KnowledgeBase.objects.create(tenant_id=row.tenant_id, name="other", embedding_model=HASHING)
    request, _ = aim(RetrievalRequest(question="sentence"), [row, other])
    switch()
    with pytest.raises(VectorsMissing):
        aim_again(request)
    KnowledgeBase.objects.filter(pk=row.pk).update(deleted_at=timezone.now())
    assert aim_again(request)[0].dataset_ids == (other.pk,)


# -- where operators ask for it ------------------------------------------------------------------------------------


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.org", "correct horse battery"))
    return client


def act(admin: Client, rows: type, action: str, *ids: str, **fields: str) -> str:
    path = reverse(f"admin:{rows._meta.app_label}_{rows._meta.model_name}_changelist")
    body = {"action": action, "_selected_action": ids} | fields
    return admin.post(path, body, follow=True).content.decode()


def test_the_administration_page_asks_for_the_model(admin, api, dataset, row, filled, store):
    page = act(admin, KnowledgeBase, "reembed", row.pk)
    assert "20 chunks" in page
    assert NAME in page
    assert HASHING in page
    assert not Reembedding.objects.exists()
    assert "Select a valid choice" in act(admin, KnowledgeBase, "reembed", row.pk, post="yes", model="other@Nowhere")
    assert "1 dataset queued, 0 refused" in act(admin, KnowledgeBase, "reembed", row.pk, post="yes", model=NAME)
    assert "0 datasets queued, 1 refused" in act(admin, KnowledgeBase, "reembed", row.pk, post="yes", model=NAME)
    embedding_anew.run(Reembedding.objects.get().pk)
    assert model_of(api, dataset) == NAME
    page = admin.get(reverse("admin:datasets_knowledgebase_change", args=[row.pk])).content.decode()
    assert f"reembedding/?dataset__id__exact={row.pk}" in page


def test_editing_a_dataset_on_its_page_does_not_undo_the_switch(admin, api, dataset, row, filled, found, monkeypatch):
    read = DatasetAdmin.get_object

    def switch_after_reading(*args: Any) -> Any:
        known = read(*args)
        embedding_anew.run(start_reembedding(dataset=row, model=NAME).pk)
        return known

    monkeypatch.setattr(DatasetAdmin, "get_object", switch_after_reading)
    edited = {"permission": "me", "language": "English", "similarity_threshold": 0.2, "vector_similarity_weight": 0.3}
    path = reverse("admin:datasets_knowledgebase_change", args=[row.pk])
    assert admin.post(path, edited | {"pagerank": 7}).status_code == 302
    row.refresh_from_db()
    assert (row.pagerank, row.vector_space, row.chunk_count) == (7, 1, 20)
    assert model_of(api, dataset) == NAME
    assert len(found()) == 20


def test_models_of_one_tenant_are_not_offered_for_anothers_dataset(admin, other, row):
    foreign = other.create_dataset()["id"]
    assert NAME not in act(admin, KnowledgeBase, "reembed", row.pk, foreign)


def test_re_embeddings_are_listed_and_cancelled(admin, row, filled, found):
    task = start_reembedding(dataset=row, model=NAME)
    listing = reverse("admin:documents_reembedding_changelist")
    for query in ("", "?q=set", f"?dataset__id__exact={row.pk}"):
        page = admin.get(listing + query)
        assert page.status_code == 200
        assert NAME in page.content.decode()
    assert admin.get(reverse("admin:documents_reembedding_change", args=[task.pk])).status_code == 200
    assert "1 re-embedding cancelled" in act(admin, Reembedding, "cancel", task.pk)
    embedding_anew.run(task.pk)
    task.refresh_from_db()
    assert task.state == "cancelled"


def test_metrics_and_heartbeats_know_it(row, filled, client):
    task = start_reembedding(dataset=row, model=NAME)
    assert 'ragflow_reembeddings{state="pending"} 1.0' in client.get("/metrics").content.decode()
    now = timezone.now()
    Worker.objects.create(name="celery@host/7", threads=2, started_at=now, seen_at=now)
    Reembedding.objects.update(state="running", worker="host/7")
    ((beat,),) = heartbeats().values()
    assert beat["current"][task.pk]["dataset_id"] == row.pk


@pytest.mark.django_db(transaction=True)
class TestCommand:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ragflow.management.commands.reembed.SHOW_SECONDS", 0.01)

    def test_it_does_the_work(self, api, dataset, row, filled, capsys):
        call_command("reembed", row.pk, model=NAME)
        assert capsys.readouterr().out.strip() == f"20 chunks have vectors of {NAME}."
        assert model_of(api, dataset) == NAME

    def test_it_follows_what_goes_on_already(self, row, filled, capsys):
        task = start_reembedding(dataset=row, model=NAME)
        call_command("reembed", row.name, email=User.objects.get(pk=row.tenant_id).email)
        task.refresh_from_db()
        assert task.state == "done"
        with pytest.raises(CommandError, match="There is no dataset elsewhere"):
            call_command("reembed", "elsewhere", email=User.objects.get(pk=row.tenant_id).email)

    def test_it_tells_why_not(self, row, filled, provider):
        with pytest.raises(CommandError, match="Unsupported model"):
            call_command("reembed", row.pk, model="nothing@Nowhere")
        provider.script(Reply(endpoint="embeddings", status=401, message="no such key"))
        with pytest.raises(CommandError, match="no such key"):
            call_command("reembed", row.pk, model=NAME)

    def test_it_cancels(self, row, filled, capsys):
        start_reembedding(dataset=row, model=NAME)
        call_command("reembed", row.pk, cancel=True)
        assert Reembedding.objects.get().state == "cancelled"
        call_command("reembed", row.pk, cancel=True)
        assert "nothing to cancel" in capsys.readouterr().out


# -- at the same time ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_searching_writing_and_parsing_side_by_side(
    api, base, dataset, row, filled, upload, small, found, store, counts, monkeypatch
):
    """Two workers re-embed one after the other, while clients search and write and a third worker parses."""
    path = f"{base}/documents/{filled}/chunks"
    ids = [chunk.id for chunk in chunks_of(store, filled, dataset)]
    documents = upload(*(f"{number}.txt" for number in range(6)), content=LINES)
    api.call("POST", f"{base}/chunks", {"document_ids": documents})
    over = threading.Event()
    answers: list[int] = []

    def reembed(_: int) -> None:
        try:
            for model in (NAME, HASHING, NAME):
                embedding_anew.run(start_reembedding(dataset=row, model=model).pk)
        finally:
            over.set()

    def parse(_: int) -> None:
        for task in IngestTask.objects.filter(state="pending"):
            ingest.run(task.pk)

    def write(_: int) -> None:
        for number in range(12):
            answers.append(api.call("POST", path, {"content": f"Sentence {number} by hand."})["code"])
            answers.append(api.call("PUT", f"{path}/{ids[number]}", {"content": f"Sentence {number} anew."})["code"])

    def search(_: int) -> None:
        while not over.is_set():
            assert len(found()) >= 20

    together(lambda act: act(0), [reembed, parse, write, search], threads=4)
    assert set(answers) == {0}
    assert set(Reembedding.objects.values_list("state", flat=True)) == {"done"}
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.DONE}
    assert_embedded(store, row)
    assert model_of(api, dataset) == NAME
    assert counts()[1] == store.count(row.pk).chunks == 20 + 12 + 6 * 20


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the only one where a transaction locks single rows")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [0, 1])
def test_documents_are_deleted_while_it_waits_for_their_workers(api, base, row, upload, first):
    api.call("POST", f"{base}/chunks", {"document_ids": upload("a.txt", "b.txt")})
    IngestTask.objects.update(state="running")
    keys = list(IngestTask.objects.order_by("pk").values_list("pk", flat=True))
    settling, finished = threading.Event(), threading.Event()

    def delete(_: int) -> None:
        with transaction.atomic():
            IngestTask.objects.filter(pk=keys.pop(first)).update(state="cancelled")
            settling.set()
            assert not finished.wait(1)
            IngestTask.objects.filter(pk=keys.pop()).update(state="cancelled")

    def settle(_: int) -> None:
        settling.wait()
        embedding_anew._Work(start_reembedding(dataset=row, model=NAME)).settle()
        finished.set()

    together(lambda act: act(0), [delete, settle])
    assert set(IngestTask.objects.values_list("state", flat=True)) == {"cancelled"}
