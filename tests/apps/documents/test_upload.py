"""POST /documents: names as sent, bytes as sent, and nothing half stored."""

from __future__ import annotations

import errno
import uuid

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.test import Client

from apps.documents.models import Document
from apps.documents.services import adding
from tests.apps.conftest import BOUNDARY, form


def stored_files(dataset) -> int:
    folder = default_storage.path(dataset["id"])
    try:
        return len(default_storage.listdir(folder)[1])
    except FileNotFoundError:
        return 0


def test_the_answer_of_the_contract(api, dataset, profile):
    (data,) = api.upload(dataset["id"], ("Notes.TXT", b"hello"))
    id_ = data.pop("id")
    assert uuid.UUID(id_).version == 1
    assert data == {
        "dataset_id": dataset["id"],
        "name": "Notes.TXT",
        "chunk_method": "naive",
        "pipeline_id": None,
        "parser_config": dataset["parser_config"],
        "created_by": api.tenant.pk,
        "type": "doc",
        "source_type": "local",
        "suffix": "TXT",
        "location": f"{dataset['id']}/{id_}",
        "size": 5,
        "thumbnail": "",
        "run": "UNSTART",
    }


@pytest.mark.parametrize(
    ("name", "type_", "method"),
    [
        ("a.pdf", "pdf", "naive"),
        ("a.docx", "doc", "naive"),
        ("a.XLSX", "doc", "naive"),
        ("a.pptx", "doc", "presentation"),
        ("a.PPTX", "doc", "naive"),
        ("a.pages", "doc", "presentation"),
        ("a.eml", "doc", "email"),
        ("a.png", "visual", "picture"),
        ("a.mp3", "aural", "audio"),
        ("a.tar.md", "doc", "naive"),
    ],
)
def test_the_name_decides_type_and_chunk_method(api, dataset, name, type_, method):
    (data,) = api.upload(dataset["id"], (name, b"x"))
    assert (data["type"], data["chunk_method"]) == (type_, method)


def test_the_datasets_chunk_method_and_pipeline_are_inherited(api):
    dataset = api.create_dataset(chunk_method="book")
    assert api.upload(dataset["id"], ("a.txt", b"x"))[0]["chunk_method"] == "book"
    dataset = api.create_dataset(parse_type=1, pipeline_id="a" * 32)
    assert api.upload(dataset["id"], ("a.txt", b"x"))[0]["pipeline_id"] == "a" * 32


@pytest.mark.parametrize(
    "name",
    [
        "n" * 251 + ".txt",
        "é" * 125 + ".txt",
        "!#$%&'()+,-.;=@[]^`{}~.txt",
        'quo"te.txt',
        "back\\slash.txt",
        "../../../etc/passwd.txt",
        "/absolute.txt",
        "a&lt;b.txt",
        "control\x01\x7f.txt",
        "你好.txt",
        " spaces .txt",
        ".txt",
    ],
)
def test_names_are_kept_as_sent_and_never_become_paths(api, dataset, name, settings):
    (data,) = api.upload(dataset["id"], (name, b"content"))
    assert data["name"] == name
    assert api.call("GET", f"/api/v1/datasets/{dataset['id']}/documents")["data"]["docs"][0]["name"] == name
    assert stored_files(dataset) == 1
    download = api.get(f"/api/v1/datasets/{dataset['id']}/documents/{data['id']}")
    assert b"".join(download.streaming_content) == b"content"


def test_names_in_use_get_numbers_within_a_request_and_across(api, dataset):
    names = [row["name"] for row in api.upload(dataset["id"], ("x.txt", b"1"), ("X.TXT", b"2"), ("x.txt", b"3"))]
    assert names == ["x.txt", "X(1).TXT", "x(2).txt"]
    assert api.upload(dataset["id"], ("x.txt", b"4"))[0]["name"] == "x(3).txt"
    elsewhere = api.create_dataset()
    assert api.upload(elsewhere["id"], ("x.txt", b"5"))[0]["name"] == "x.txt"


def test_an_empty_file_is_accepted(api, dataset):
    assert api.upload(dataset["id"], ("empty.txt", b""))[0]["size"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "No file part!"),
        (form(), "No file part!"),
        (form(("file", None, b"text")), "No file part!"),
        (form(("other", "a.txt", b"x")), "No file part!"),
        (form(("file", "", b"x")), "No file selected!"),
        (form(("file", "a.txt", b"x"), ("file", "", b"x")), "No file selected!"),
        (form(("file", "n" * 252 + ".txt", b"x")), "File name must be 255 bytes or less."),
        (form(("file", "é" * 126 + ".txt", b"x")), "File name must be 255 bytes or less."),
        (form(("file", "a\0.txt", b"x")), "File name must not contain the character NUL."),
    ],
)
def test_forms_without_usable_files(api, dataset, profile, content, message):
    answer = api.send_form(dataset["id"], content)
    status = 400 if profile == "standard" else 200
    assert answer == {"code": 101, "message": message, "status": status}
    assert stored_files(dataset) == 0


def test_other_bodies_have_no_file(api, dataset):
    answer = api.call("POST", f"/api/v1/datasets/{dataset['id']}/documents", {"file": "x"})
    assert (answer["code"], answer["message"]) == (101, "No file part!")


def test_a_form_that_breaks_off_stores_nothing(api, dataset, profile):
    answer = api.send_form(dataset["id"], form(("file", "a.txt", b"x" * 500))[:-100])
    assert answer["code"] == (101 if profile == "standard" else 100)
    assert stored_files(dataset) == 0


def test_an_unknown_dataset(api, other, profile):
    for id_ in ("unknown", uuid.uuid1().hex, other.create_dataset()["id"]):
        sentence = f"Can't find the dataset with ID {id_}!"
        expected = {
            "standard": {"code": 102, "message": sentence, "data": None, "status": 404},
            "exact": {"code": 100, "message": f'LookupError("{sentence}")', "data": None, "status": 200},
        }
        assert api.send_form(id_, form(("file", "a.txt", b"x"))) == expected[profile]


def test_files_of_other_types_are_refused_and_the_rest_is_kept(api, dataset, profile):
    content = form(("file", "bad.exe", b""), ("file", "good.txt", b"x"), ("file", "none", b"x"))
    answer = api.send_form(dataset["id"], content)
    reason = "This type of file has not been supported yet!"
    assert (answer["code"], answer["message"]) == (500, f"bad.exe: {reason}\nnone: {reason}")
    assert answer["status"] == (400 if profile == "standard" else 200)
    assert [document.name for document in Document.objects.all()] == ["good.txt"]


def test_the_counter_is_exact(upload, counts):
    upload("a.txt")
    upload(*(f"{number}.txt" for number in range(10)))
    assert counts()[0] == 11


def test_a_thousand_files_in_one_request(api, dataset, counts):
    api.upload(dataset["id"], *((f"{number}.txt", b"x") for number in range(1000)))
    assert counts()[0] == stored_files(dataset) == 1000


def test_a_full_disk_leaves_nothing_behind(api, dataset, profile, counts, monkeypatch):
    save, saved = FileSystemStorage.save, []

    def fill(storage, name, content, max_length=None):
        saved.append(save(storage, name, content, max_length))
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return saved[-1]

    monkeypatch.setattr(FileSystemStorage, "save", fill)
    answer = api.send_form(
        dataset["id"], form(("file", "a.txt", b"x"), ("file", "b.txt", b"x"), ("file", "c.txt", b"x"))
    )
    assert (answer["code"], answer["message"]) == (500, "The file storage is full. Nothing of this upload was kept.")
    assert stored_files(dataset) == 0
    assert counts() == (0, 0, 0)


def test_a_failing_database_leaves_no_file_behind(api, dataset, monkeypatch, counts):
    def fail(*_arguments, **_options):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(adding.Document.objects, "bulk_create", fail)
    assert api.send_form(dataset["id"], form(("file", "a.txt", b"x")))["status"] == 500
    assert stored_files(dataset) == 0
    assert counts() == (0, 0, 0)


def test_a_dataset_deleted_meanwhile_gets_no_document(api, dataset, monkeypatch):
    save = FileSystemStorage.save

    def delete_first(storage, name, content, max_length=None):
        api.call("DELETE", "/api/v1/datasets", {"ids": None})
        return save(storage, name, content, max_length)

    monkeypatch.setattr(FileSystemStorage, "save", delete_first)
    assert api.send_form(dataset["id"], form(("file", "a.txt", b"x")))["code"] == 102
    assert stored_files(dataset) == 0


def test_a_file_beyond_the_limit(api, dataset, profile, settings):
    settings.MAX_UPLOAD_BYTES = 100
    answer = api.send_form(dataset["id"], form(("file", "a.txt", b"x" * 101)))
    assert (answer["code"], answer["status"]) == ((101, 413) if profile == "standard" else (100, 200))
    assert "a.txt is larger than the 100 bytes" in answer["message"]


def test_a_person_in_a_browser_uploads_under_csrf_protection(api, dataset):
    from django.middleware.csrf import _get_new_csrf_string

    from apps.accounts.models import User

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(pk=api.tenant.pk))
    token = _get_new_csrf_string()
    browser.cookies["csrftoken"] = token
    path, type_ = f"/api/v1/datasets/{dataset['id']}/documents", f"multipart/form-data; boundary={BOUNDARY}"
    content = form(("file", "a.txt", b"x"))
    assert browser.generic("POST", path, content, content_type=type_).status_code == 403
    fields = form(("csrfmiddlewaretoken", None, token.encode()), ("file", "a.txt", b"x"))
    assert browser.generic("POST", path, fields, content_type=type_).json()["code"] == 0
    headers = {"X-CSRFToken": token}
    assert browser.generic("POST", path, content, content_type=type_, headers=headers).json()["code"] == 0
    assert Document.objects.count() == 2
