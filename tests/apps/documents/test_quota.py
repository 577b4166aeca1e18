"""MAX_FILE_NUM_PER_USER: how many documents a tenant may have."""

from __future__ import annotations

from typing import Any

import pytest

from apps.documents.models import Document
from apps.documents.services import adding
from tests.apps.conftest import form

NO_ROOM = "Exceed the maximum file number of a free user!"


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.MAX_DOCUMENTS_OF_TENANT = 2


def upload(client: Any, dataset: str, *names: str) -> Any:
    return client.send_form(dataset, form(*(("file", name, b"x") for name in names)))


def test_what_has_no_room_is_refused_and_the_rest_is_kept(api: Any, other: Any, profile: str):
    first, second = (api.create_dataset(name)["id"] for name in ("first", "second"))
    assert upload(api, first, "a.txt")["code"] == 0
    answer = upload(api, second, "b.txt", "c.exe", "d.txt", "e.txt")
    assert answer["code"] == 500
    assert answer["message"].split("\n") == [
        "c.exe: This type of file has not been supported yet!",
        f"d.txt: {NO_ROOM}",
        f"e.txt: {NO_ROOM}",
    ]
    assert upload(api, first, "f.txt")["message"] == f"f.txt: {NO_ROOM}"
    assert sorted(Document.objects.values_list("name", flat=True)) == ["a.txt", "b.txt"]
    assert upload(other, other.create_dataset("theirs")["id"], "g.txt")["code"] == 0  # each tenant has its own


def test_a_deleted_document_makes_room(api: Any):
    dataset = api.create_dataset("set")["id"]
    ids = [document["id"] for document in api.upload(dataset, ("a.txt", b"x"), ("b.txt", b"x"))]
    api.call("DELETE", f"/api/v1/datasets/{dataset}/documents", {"ids": ids[:1]})
    assert upload(api, dataset, "c.txt")["code"] == 0
    assert api.call("DELETE", "/api/v1/datasets", {"ids": [dataset]})["code"] == 0
    assert upload(api, api.create_dataset("next")["id"], "d.txt", "e.txt")["code"] == 0


def test_files_of_the_file_manager_count_as_documents_once_they_are(api: Any):
    dataset = api.create_dataset("set")["id"]
    parts = form(*(("file", f"{name}.txt", b"x") for name in "abc"))
    sent = api.send("POST", "/api/v1/file/upload", parts, "multipart/form-data; boundary=----boundary")
    ids = [file["id"] for file in sent["data"]]
    refused = api.call("POST", "/api/v1/file/convert", {"file_ids": ids, "kb_ids": [dataset]})
    assert NO_ROOM in refused["message"]
    assert not Document.objects.exists()
    assert api.call("POST", "/api/v1/file/convert", {"file_ids": ids[:2], "kb_ids": [dataset]})["code"] == 0


def test_an_upload_that_was_overtaken_keeps_nothing(api: Any, monkeypatch: pytest.MonkeyPatch):
    """Another upload takes the room after this one has looked."""
    dataset = api.create_dataset("set")["id"]
    looked = iter([2, -1])
    monkeypatch.setattr(adding, "room_of", lambda _tenant: next(looked))
    assert NO_ROOM in upload(api, dataset, "a.txt")["message"]
    assert not Document.objects.exists()
    assert api.call("GET", "/api/v1/datasets")["data"][0]["document_count"] == 0


def test_no_limit(api: Any, settings: Any):
    settings.MAX_DOCUMENTS_OF_TENANT = 0
    assert upload(api, api.create_dataset("set")["id"], "a.txt", "b.txt", "c.txt")["code"] == 0
