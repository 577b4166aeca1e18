"""A file storage without local paths, as S3 is one."""

from __future__ import annotations

import pytest
from django.core.files.storage import FileSystemStorage, Storage, default_storage

from apps.datasets.models import KnowledgeBase


class RemoteStorage(Storage):
    """Keeps files in a folder, and does not say where."""

    def __init__(self, location: str) -> None:
        self._kept = FileSystemStorage(location)
        for method in ("_open", "_save", "delete", "exists", "listdir", "size"):
            setattr(self, method, getattr(self._kept, method))


@pytest.fixture(autouse=True)
def remote(engine, settings, tmp_path):
    remote = {"BACKEND": f"{__name__}.RemoteStorage", "OPTIONS": {"location": tmp_path / "remote"}}
    settings.STORAGES = settings.STORAGES | {"default": remote}


def test_from_upload_to_deletion(api, base, dataset, parsed, document_of, store):
    id_ = parsed("fox.txt", b"The quick brown fox.")
    assert document_of(id_)["run"] == "DONE", document_of(id_)["progress_msg"]
    assert store.count(dataset["id"]).chunks == 1
    response = api.get(f"{base}/documents/{id_}")
    assert b"".join(response.streaming_content) == b"The quick brown fox."
    location = document_of(id_)["location"]
    assert default_storage.exists(location)
    assert api.call("DELETE", f"{base}/documents", {"ids": [id_]})["code"] == 0
    assert not default_storage.exists(location)


def test_deleting_a_dataset(api, dataset, upload, purge_deleted):
    upload("a.txt", "b.txt")
    empty = api.create_dataset()["id"]
    assert api.call("DELETE", "/api/v1/datasets", {"ids": [dataset["id"], empty]})["code"] == 0
    purge_deleted()
    assert not default_storage.exists(dataset["id"])
    assert not KnowledgeBase.objects.exists()


def test_a_missing_file(api, base, parsed, upload, document_of, run_tasks):
    (id_,) = upload("gone.txt")
    default_storage.delete(document_of(id_)["location"])
    api.call("POST", f"{base}/chunks", {"document_ids": [id_]})
    run_tasks()
    assert "missing from the file storage" in document_of(id_)["progress_msg"]
    assert api.call("GET", f"{base}/documents/{id_}")["message"] == "This file is empty."
