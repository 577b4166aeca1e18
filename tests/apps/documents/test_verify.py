"""`manage.py verify`: what it finds, what it repairs, and what it leaves alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from apps.core.ids import new_id
from apps.datasets.models import KnowledgeBase
from apps.documents import embedding_anew
from apps.documents.models import Document, File, IngestTask
from apps.documents.services import verifying
from apps.documents.services.reembedding import start_reembedding
from ragflow.engine.docstore.base import DocStore
from ragflow.engine.errors import StoreError
from tests.apps.conftest import API, form

HOUR = timedelta(hours=1)


@pytest.fixture
def verify(capsys: Any) -> Callable[..., tuple[str, int]]:
    """Return a function that runs the command an hour later, and returns what it says and its exit status."""

    def run(*arguments: str, later: bool = True) -> tuple[str, int]:
        out = io.StringIO()
        try:
            call_command("verify", *arguments, *(["--grace", "-60"] if later else []), stdout=out, stderr=out)
        except SystemExit as stop:
            return out.getvalue(), int(str(stop.code))
        return out.getvalue(), 0

    return run


@pytest.fixture
def installation(api: API, base: str, parsed: Callable[..., str], upload: Any, other: API) -> str:
    """An installation in which everything fits. The id of its parsed document."""
    document = parsed("parsed.txt")
    assert api.call("POST", f"{base}/documents/{document}/chunks", {"content": "by hand"})["code"] == 0
    upload("waiting.txt")
    answer = api.send(
        "POST", "/api/v1/file/upload", form(("file", "a.txt", b"x")), "multipart/form-data; boundary=----boundary"
    )
    assert answer["code"] == 0
    other.upload(other.create_dataset("foreign")["id"], ("foreign.txt", b"x"))
    return document


# Each plants one kind of damage and returns a word of the sentence about it.


def orphaned_chunks(document: Document) -> str:
    _raw(document).delete()
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(document_count=1, chunk_count=0, token_count=0)
    default_storage.delete(document.location)
    return "2 chunks of the document"


def orphaned_dataset(document: Document) -> str:
    for row in Document.objects.filter(dataset=document.dataset_id):
        default_storage.delete(row.location)
    KnowledgeBase.objects.filter(pk=document.dataset_id).delete()
    return "chunks of the dataset"


def miscounted_document(document: Document) -> str:
    _raw(document).update(chunk_count=7)
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(chunk_count=7)
    return "7 chunks"


def uncounted_chunks(document: Document) -> str:
    _raw(document).update(chunk_count=0, token_count=0)
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(chunk_count=0, token_count=0)
    return "0 chunks with 0 tokens, but there are 2"


def miscounted_dataset(document: Document) -> str:
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(document_count=5, token_count=-3)
    return "5 documents"


def forgotten_bytes(document: Document) -> str:
    default_storage.save(f"{document.dataset_id}/{new_id()}", ContentFile(b"left"))
    return "nothing refers to these bytes"


def forgotten_bytes_of_no_dataset(_document: Document) -> str:
    default_storage.save(f"{new_id()}/{new_id()}", ContentFile(b"left"))
    return "nothing refers to these bytes"


def forgotten_bytes_of_a_file(document: Document) -> str:
    default_storage.save(f"files/{document.created_by}/{new_id()}", ContentFile(b"left"))
    return f"files/{document.created_by}/"


def hidden_document(document: Document) -> str:
    _raw(document).update(deleted_at=timezone.now() - HOUR)
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(document_count=1, chunk_count=0, token_count=0)
    return "1 deleted document still hold"


def hidden_dataset(document: Document) -> str:
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(deleted_at=timezone.now() - HOUR)
    return "1 deleted dataset still hold"


def hidden_file(_document: Document) -> str:
    File.objects.filter(name="a.txt").update(deleted_at=timezone.now() - HOUR, parent=None)
    return "1 deleted file still hold"


def task_of_nothing(_document: Document) -> str:
    IngestTask.objects.create(document_id=new_id())
    return "which does not exist"


def document_without_task(document: Document) -> str:
    _raw(document).update(state=Document.State.RUNNING)
    return "no task is left"


REPAIRABLE = [
    orphaned_chunks,
    orphaned_dataset,
    miscounted_document,
    uncounted_chunks,
    miscounted_dataset,
    forgotten_bytes,
    forgotten_bytes_of_no_dataset,
    forgotten_bytes_of_a_file,
    hidden_document,
    hidden_dataset,
    hidden_file,
    task_of_nothing,
    document_without_task,
]


def _raw(document: Document) -> Any:
    return Document.objects.filter(pk=document.pk)


def test_nothing_is_wrong(installation: str, verify: Any) -> None:
    said, status = verify()
    assert status == 0, said
    assert said.count("ok") == len(verifying.CHECKS)


@pytest.mark.parametrize("damage", REPAIRABLE, ids=lambda damage: damage.__name__)
def test_damage_is_found_and_repaired(damage: Any, installation: str, verify: Any) -> None:
    words = damage(Document.objects.get(pk=installation))
    said, status = verify()
    assert (words in said, status) == (True, 1), said
    assert said.count("WRONG") == 1, "one damage is one finding"
    assert verify()[0] == said, "looking changes nothing"

    said, status = verify("--repair")
    assert (words in said, status) == (True, 0), said
    said, status = verify()
    assert status == 0, said


def test_repairing_keeps_what_fits(installation: str, verify: Any, store: DocStore, api: API, base: str) -> None:
    for damage in (miscounted_document, miscounted_dataset, forgotten_bytes):
        damage(Document.objects.get(pk=installation))
    assert verify("--repair")[1] == 0
    document = Document.objects.get(pk=installation)
    assert (document.chunk_count, store.count(document.dataset_id, document.pk).chunks) == (2, 2)
    assert default_storage.exists(document.location)
    assert api.call("GET", f"{base}/documents")["data"]["total"] == 2


@pytest.mark.parametrize("name", ["parsed.txt", "a.txt"])
def test_lost_bytes_are_told_and_nothing_is_deleted(name: str, installation: str, verify: Any) -> None:
    row = (Document.objects.filter(name=name) or File.objects.filter(name=name))[0]
    default_storage.delete(row.location)
    said, status = verify("--repair")
    assert status == 1
    assert f"{name!r} ({row.pk}) has lost its bytes" in said
    assert type(row).objects.filter(pk=row.pk).exists()
    assert Document.objects.get(pk=installation).chunk_count == 2


def test_chunks_without_vectors_are_told(
    installation: str, verify: Any, store: DocStore, dataset: dict[str, Any]
) -> None:
    store.drop_space(dataset["id"], 0)
    output, status = verify("--repair")
    assert status == 1
    assert f"2 chunks of 'set' ({dataset['id']}) have no vector of its embedding model" in output
    row = KnowledgeBase.objects.get(pk=dataset["id"])
    embedding_anew.run(start_reembedding(dataset=row, model=row.embedding_model).pk)
    assert verify()[1] == 0


def test_what_is_young_may_be_work_in_progress(installation: str, verify: Any) -> None:
    document = Document.objects.get(pk=installation)
    forgotten_bytes(document)  # an upload stores the bytes first
    _raw(document).update(deleted_at=timezone.now(), chunk_count=0)  # a deletion hides first
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(document_count=1, chunk_count=0, token_count=0)
    said, status = verify(later=False)
    assert status == 0, said


def test_a_document_that_is_being_parsed_has_chunks_that_nobody_counted_yet(installation: str, verify: Any) -> None:
    document = Document.objects.get(pk=installation)
    uncounted_chunks(document)
    _raw(document).update(state=Document.State.RUNNING)
    IngestTask.objects.create(document=document, state=IngestTask.State.RUNNING, lease_until=timezone.now() + HOUR)
    said, status = verify()
    assert status == 0, said


def test_a_counter_that_changes_while_it_is_looked_at_is_right(
    installation: str, verify: Any, monkeypatch: Any, api: API, base: str, store: DocStore
) -> None:
    """The counts of the store are read; then somebody adds a chunk; then the rows are read."""
    read = type(store).counts_by_document

    def then_a_chunk_comes(self: Any, dataset_id: str) -> Any:
        counted = read(self, dataset_id)
        api.call("POST", f"{base}/documents/{installation}/chunks", {"content": "in between"})
        return counted

    monkeypatch.setattr(type(store), "counts_by_document", then_a_chunk_comes)
    said, status = verify()
    assert status == 0, said
    assert Document.objects.get(pk=installation).chunk_count == 3


def test_files_that_are_not_the_systems_stay(installation: str, verify: Any) -> None:
    default_storage.save("backup/notes.txt", ContentFile(b"mine"))
    default_storage.save("notes.txt", ContentFile(b"mine"))
    assert verify("--repair")[1] == 0
    assert default_storage.exists("backup/notes.txt")
    assert default_storage.exists("notes.txt")


@pytest.mark.parametrize(
    ("failure", "told"),
    [(StoreError("The index does not answer."), "The index does not answer."), (OSError(), "OSError")],
)
def test_a_store_that_does_not_answer_is_told(
    installation: str, verify: Any, monkeypatch: Any, store: DocStore, failure: Exception, told: str
) -> None:
    def away(_self: Any) -> Iterator[str]:
        raise failure

    monkeypatch.setattr(type(store), "dataset_ids", away)
    forgotten_bytes(Document.objects.get(pk=installation))
    said, status = verify()
    assert status == 1
    assert f"It could not be checked: {told}" in said
    assert "nothing refers to these bytes" in said, "the other checks are made all the same"


def test_many_rows_are_read_in_slices(
    api: API, installation: str, dataset: Any, verify: Any, monkeypatch: Any, upload: Any
) -> None:
    upload(*(f"{number}.txt" for number in range(7)))
    lost = Document.objects.order_by("-pk")[0]
    default_storage.delete(lost.location)
    forgotten_bytes(lost)
    miscounted_document(lost)
    monkeypatch.setattr(verifying, "SLICE", 2)
    said, _ = verify()
    assert f"({lost.pk}) has lost its bytes" in said
    assert "nothing refers to these bytes" in said
    assert f"({lost.pk}): 7 chunks" in said
    assert said.count("WRONG") == 4, said
