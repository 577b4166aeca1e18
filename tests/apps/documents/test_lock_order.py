"""Deleting while workers work: locks are taken in one order, so nobody waits for somebody who waits for him."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.db import connection, transaction

from apps.datasets import services as datasets
from apps.documents.models import Document, IngestTask
from apps.documents.services import file_deleting
from apps.documents.services.rows import recount
from tests.apps.documents.files import Files

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="other databases lock no rows"),
]


def while_a_worker_reports(document_id: str, write: Callable[[], object], act: Callable[[], object]) -> None:
    """Lock a document as workers do. Once `act` waits for it, `write`, and go on. Raises what either raises."""
    has_lock = Event()

    def work() -> None:
        try:
            with transaction.atomic():
                Document.objects.select_for_update().get(pk=document_id)
                has_lock.set()
                wait_until_somebody_waits()
                write()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        assert has_lock.wait(10)
        act()
        worker.result()


def wait_until_somebody_waits() -> None:
    end = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_deleting_a_dataset_while_a_document_is_parsed(api, dataset, principal, base, upload):
    (document,) = upload("a.txt")
    assert api.call("POST", f"{base}/chunks", {"document_ids": [document]})["code"] == 0
    while_a_worker_reports(
        document,
        lambda: IngestTask.objects.select_for_update().get(document=document),
        lambda: datasets.delete_datasets(principal=principal, ids=[dataset["id"]]),
    )
    assert not Document.objects.exists()


def test_deleting_a_folder_while_one_of_its_documents_is_parsed(api, dataset, principal, monkeypatch):
    files = Files(api)
    folder = files.folder("folder")
    ids = [files.put(name, parent=folder) for name in ("a.txt", "b.txt")]
    links = files.post("convert", {"file_ids": ids, "kb_ids": [dataset["id"]]})["data"]
    last = max(link["document_id"] for link in links)
    monkeypatch.setattr(file_deleting, "_SLICE", 1)
    while_a_worker_reports(
        last,
        lambda: recount(Document.objects.get(pk=last)),
        lambda: file_deleting.delete_files(principal=principal, ids=[folder]),
    )
    assert not Document.objects.exists()
