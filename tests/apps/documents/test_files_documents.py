"""Files and documents: the mirror of the datasets, documents made from files, and whose the bytes are."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone

from apps.accounts.models import Membership
from apps.documents.models import Document, File, FileLink
from apps.documents.services import deleting, file_deleting
from apps.documents.tasks import collect_garbage
from ragflow.engine.errors import StoreError
from tests.apps.conftest import API, form
from tests.apps.documents.files import Files


@pytest.fixture
def files(api: API) -> Files:
    return Files(api)


def stored(tenant) -> list[str]:
    folder = f"files/{tenant.pk}"
    return sorted(default_storage.listdir(folder)[1]) if default_storage.exists(folder) else []


def download(api, base, document) -> bytes:
    return b"".join(api.get(f"{base}/documents/{document}").streaming_content)


# -- the mirror ----------------------------------------------------------------------------------------------------


def test_datasets_are_folders_and_documents_files(api, files, dataset, upload):
    api.create_dataset("empty")
    first, second = upload("a.txt", "b.pdf", content=b"12345")
    mirror = next(file for file in files.list() if file["name"] == ".knowledgebase")
    assert (mirror["size"], mirror["has_child_folder"]) == (10, True)
    folders = files.list(mirror["id"], orderby="name", desc="false")
    assert [(file["name"], file["size"], file["type"]) for file in folders] == [
        ("empty", 0, "folder"),
        ("set", 10, "folder"),
    ]
    assert {folder["parent_id"] for folder in folders} == {mirror["id"]}
    entries = files.list(dataset["id"], orderby="name", desc="false")
    assert [(entry["id"], entry["name"], entry["type"], entry["source_type"]) for entry in entries] == [
        (first, "a.txt", "doc", "knowledgebase"),
        (second, "b.pdf", "pdf", "knowledgebase"),
    ]
    assert entries[0]["kbs_info"] == [{"kb_id": dataset["id"], "kb_name": "set", "document_id": first}]
    assert files.names(dataset["id"], keywords="B.P") == ["b.pdf"]
    assert files.names(mirror["id"], orderby="size", page_size=1) == ["set"]
    assert files.path(first) == ["a.txt", "set", ".knowledgebase", "/"]
    assert files.get(f"parent_folder?file_id={first}")["data"]["parent_folder"]["id"] == dataset["id"]
    assert files.get(f"list?parent_id={dataset['id']}")["data"]["parent_folder"]["id"] == mirror["id"]
    assert files.content(first) == b"12345"


def test_the_mirror_follows_at_once(api, files, dataset, base, upload, profile):
    (id_,) = upload("a.txt")
    assert files.post("rename", {"file_id": id_, "name": "b.txt"})["code"] == 0
    assert Document.objects.get(pk=id_).name == "b.txt"
    upload("c.txt")
    answer = files.post("rename", {"file_id": id_, "name": "c.txt"})
    assert (answer["code"], answer["message"]) == (409, "Duplicated file name in the same folder.")
    assert files.post("rename", {"file_id": id_, "name": "b.md"})["code"] == 400
    assert files.post("rm", {"file_ids": [id_]})["code"] == 0
    assert files.names(dataset["id"]) == ["c.txt"]
    assert api.call("GET", f"{base}/documents")["data"]["total"] == 1
    api.call("PUT", f"/api/v1/datasets/{dataset['id']}", {"name": "renamed"})
    assert files.names(files.mirror()) == ["renamed"]
    api.call("DELETE", "/api/v1/datasets", {"ids": [dataset["id"]]})
    assert files.names(files.mirror()) == []
    assert files.get(f"list?parent_id={dataset['id']}")["code"] == 404


def test_the_mirror_changes_with_the_datasets_only(files, dataset, upload):
    (document,), file, folder = upload("a.txt"), files.put("x.txt"), files.folder("f")
    for what, body in (
        ("rm", {"file_ids": [dataset["id"]]}),
        ("rename", {"file_id": dataset["id"], "name": "x"}),
        ("mv", {"src_file_ids": [document], "dest_file_id": folder}),
        ("mv", {"src_file_ids": [dataset["id"]], "dest_file_id": folder}),
        ("mv", {"src_file_ids": [file], "dest_file_id": dataset["id"]}),
        ("create", {"name": "x", "parent_id": dataset["id"]}),
        ("convert", {"file_ids": [document], "kb_ids": [dataset["id"]]}),
        ("convert", {"file_ids": [files.mirror()], "kb_ids": [dataset["id"]]}),
    ):
        answer = files.post(what, body)
        assert (answer["code"], answer["data"]) == (400, False), what
    assert files.names(dataset["id"]) == ["a.txt"]
    assert files.names() == ["f", "x.txt"]


def test_datasets_of_a_team_are_in_its_owners_tree_only(api, other, files, dataset, upload):
    (id_,) = upload("a.txt")
    api.call("PUT", f"/api/v1/datasets/{dataset['id']}", {"permission": "team"})
    Membership.objects.create(tenant=api.tenant, user_id=other.tenant.pk)
    member = Files(other)
    assert member.names(member.mirror()) == []
    assert member.get(f"get/{id_}")["code"] == 404


def test_the_document_of_a_tree_that_nobody_opened_yet(files, upload):
    (id_,) = upload("a.txt", content=b"12345")
    assert files.content(id_) == b"12345"
    assert files.path(id_) == ["a.txt", "set", ".knowledgebase", "/"]


# -- conversion ----------------------------------------------------------------------------------------------------


def test_converting(api, files, dataset, base, counts, store, run_tasks):
    second = api.create_dataset("second", chunk_method="book")
    inner = files.upload(("f/a.txt", b"The quick fox."), ("f/g/b.txt", b"The lazy dog."), ("c.pptx", b"x"))
    folder = inner[0]["parent_id"]
    links = files.convert([folder, inner[2]["id"]], [dataset["id"], second["id"]])
    names = {file["id"]: file["name"] for file in inner}
    assert [names[link["file_id"]] for link in links] == ["a.txt"] * 2 + ["b.txt"] * 2 + ["c.pptx"] * 2
    assert all(set(link) == {"id", "file_id", "document_id"} for link in links)
    documents = [Document.objects.get(pk=link["document_id"]) for link in links]
    assert [document.dataset_id for document in documents] == [dataset["id"], second["id"]] * 3
    assert [document.chunk_method for document in documents] == ["naive", "book", "naive", "book"] + [
        "presentation"
    ] * 2
    assert (documents[0].size, documents[0].location) == (14, inner[0]["location"])
    assert (documents[0].parser_config, documents[0].state) == (dataset["parser_config"], "0")
    assert counts()[0] == 3
    assert download(api, base, links[0]["document_id"]) == b"The quick fox."
    api.call("POST", f"{base}/chunks", {"document_ids": [links[0]["document_id"]]})
    run_tasks()
    assert store.count(dataset["id"], links[0]["document_id"]).chunks == 1
    assert len(stored(api.tenant)) == 3


def test_converting_again_replaces_the_documents(api, files, dataset, counts, store, run_tasks, base):
    file = files.put("a.txt", b"The fox.")
    files.api.upload(dataset["id"], ("a.txt", b"another"))
    (first,) = files.convert([file], [dataset["id"]])
    assert Document.objects.get(pk=first["document_id"]).name == "a(1).txt"
    api.call("POST", f"{base}/chunks", {"document_ids": [first["document_id"]]})
    run_tasks()
    (second,) = files.convert([file], [dataset["id"]])
    assert second["document_id"] != first["document_id"]
    assert store.counts_by_document(dataset["id"]) == {}
    assert counts() == (2, 0, 0)
    assert Document.objects.get(pk=second["document_id"]).name == "a(1).txt"
    assert files.convert([file], []) == []
    assert counts()[0] == 1
    assert files.content(file) == b"The fox."


def test_conversions_that_are_refused_change_nothing(api, other, files, dataset, counts, profile):
    file = files.put("a.txt")
    files.convert([file], [dataset["id"]])
    foreign, unknown = other.create_dataset()["id"], uuid.uuid1().hex
    odd = files.upload(("f/program.exe", b"x"), ("f/fine.txt", b"x"))[0]["parent_id"]
    virtual = files.post("create", {"name": "v.txt", "type": "VIRTUAL"})["data"]["id"]
    for ids, datasets, code, message in (
        ([file, unknown], [dataset["id"]], 404, "File not found!"),
        ([file], [dataset["id"], unknown], 404, "Can't find this dataset!"),
        ([file], [foreign], 404, "Can't find this dataset!"),
        ([file, odd], [dataset["id"]], 400, "program.exe: This type of file has not been supported yet!"),
        ([virtual], [dataset["id"]], 400, "v.txt: This file has no content."),
    ):
        answer = files.post("convert", {"file_ids": ids, "kb_ids": datasets})
        assert (answer["code"], answer["message"]) == (code, message)
        assert answer["status"] == (code if profile == "standard" else 200)
    assert counts()[0] == FileLink.objects.count() == Document.objects.count() == 1
    for missing in ("file_ids", "kb_ids"):
        answer = files.post("convert", {"file_ids": [file], "kb_ids": []} | {missing: 3})
        assert f"`{missing}` must be a list of ids." in answer["message"] or profile == "exact"
        body = {"file_ids": [file], "kb_ids": []}
        del body[missing]
        reference = f"KeyError('{missing}')"
        expected = f"`{missing}` is required." if profile == "standard" else reference
        assert files.post("convert", body)["message"] == expected


@pytest.mark.parametrize(("role", "code"), [("viewer", 404), ("editor", 0)])
def test_a_teams_dataset_takes_files_of_its_editors(api, other, role, code):
    dataset = api.create_dataset("team", permission="team")
    membership = Membership.objects.create(tenant=api.tenant, user_id=other.tenant.pk, role=role)
    member = Files(other)
    file = member.put("a.txt", b"bytes")
    assert member.post("convert", {"file_ids": [file], "kb_ids": [dataset["id"]]})["code"] == code
    if code:
        return
    base = f"/api/v1/datasets/{dataset['id']}"
    (document,) = (row["id"] for row in api.call("GET", f"{base}/documents")["data"]["docs"])
    membership.delete()
    assert member.list()[0]["kbs_info"] == []
    assert member.post("rm", {"file_ids": [file]})["code"] == 0
    assert download(api, base, document) == b"bytes"  # the team keeps what it was given
    assert stored(other.tenant) == [file]
    api.call("DELETE", f"{base}/documents", {"ids": [document]})
    File.objects.filter(deleted_at__isnull=False).update(deleted_at=timezone.now() - timedelta(hours=1))
    collect_garbage()
    assert stored(other.tenant) == []
    assert not File.objects.filter(pk=file).exists()


# -- whose the bytes are -------------------------------------------------------------------------------------------


def test_deleting_a_document_leaves_the_file(api, files, dataset, base):
    file = files.put("a.txt", b"bytes")
    first, second = files.convert([file], [dataset["id"], api.create_dataset("second")["id"]])
    api.call("DELETE", f"{base}/documents", {"ids": [first["document_id"]]})
    assert files.content(file) == b"bytes"
    listed = next(entry for entry in files.list() if entry["id"] == file)
    assert [info["document_id"] for info in listed["kbs_info"]] == [second["document_id"]]
    api.call("DELETE", "/api/v1/datasets", {"ids": None})
    assert files.content(file) == b"bytes"
    assert not FileLink.objects.exists()
    assert files.post("rm", {"file_ids": [file]})["code"] == 0
    assert stored(api.tenant) == []


def test_two_deletions_of_one_document_do_not_take_the_files_bytes(api, files, dataset):
    file = files.put("a.txt", b"bytes")
    (link,) = files.convert([file], [dataset["id"]])
    hidden = deleting.hide(Document.objects.get(pk=link["document_id"]).dataset, [link["document_id"]])
    deleting.purge(hidden)
    deleting.purge(hidden)  # a sweep that had read them before
    assert files.content(file) == b"bytes"


def test_a_store_that_fails_while_files_are_removed(api, files, dataset, store, monkeypatch, counts):
    file = files.put("a.txt", b"bytes")
    files.convert([file], [dataset["id"]])

    def fail(*_arguments, **_options):
        raise StoreError("The index is away.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_document", fail)
        answer = files.post("rm", {"file_ids": [file]})
    assert (answer["code"], answer["message"]) == (500, "The index is away.")
    assert files.names() == []
    assert counts()[0] == 0
    assert stored(api.tenant) == [file]
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Document.objects.update(deleted_at=an_hour_ago)
    File.objects.filter(pk=file).update(deleted_at=an_hour_ago)
    collect_garbage()
    assert stored(api.tenant) == []
    assert not FileLink.objects.exists()
    assert File.objects.count() == 2


def test_a_storage_that_fails_while_files_are_removed(api, files, monkeypatch, caplog):
    file = files.put("a.txt")

    def fail(_storage, _name):
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", fail)
        assert files.post("rm", {"file_ids": [file]})["code"] == 0
    assert "could not be removed yet" in caplog.text
    assert file_deleting.purge_hidden() == 0  # somebody may still be at it
    File.objects.filter(pk=file).update(deleted_at=timezone.now() - timedelta(hours=1))
    assert file_deleting.purge_hidden() == 1
    assert stored(api.tenant) == []


def test_an_upload_that_fails_leaves_nothing(api, files, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(File, "save", fail)
    assert files.send(form(("file", "a.txt", b"x"), ("file", "b.txt", b"x")))["code"] == 100
    assert stored(api.tenant) == []
