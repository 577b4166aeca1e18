"""The file manager, endpoint by endpoint: shapes, codes and messages."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage

from apps.accounts.models import User
from apps.accounts.services import create_token
from apps.documents.models import Document, File
from tests.apps.conftest import API, form
from tests.apps.documents.files import FILE, Files

UNKNOWN = uuid.uuid1().hex


@pytest.fixture
def files(api: API) -> Files:
    return Files(api)


def refused(answer, profile, code, message, data=None, status=None):
    """Assert an error of the contract; its status is honest in the standard profile."""
    honest = status or code
    expected = {"code": code, "message": message, "data": data, "status": honest if profile == "standard" else 200}
    assert answer == expected


def bad_value(answer, profile, sentence, reference):
    if profile == "standard":
        assert answer == {"code": 101, "message": sentence, "data": None, "status": 400}
    else:
        assert answer == {"code": 100, "message": reference, "data": None, "status": 200}


# -- root ----------------------------------------------------------------------------------------------------------


def test_the_root_is_made_once(api, files):
    answer = files.get("root_folder")
    assert {name: answer[name] for name in ("code", "message", "status")} == {
        "code": 0,
        "message": "success",
        "status": 200,
    }
    root = answer["data"]["root_folder"]
    assert root["parent_id"] == root["id"]
    expected = {
        "name": "/",
        "type": "folder",
        "size": 0,
        "location": "",
        "source_type": "",
        "tenant_id": api.tenant.pk,
        "created_by": api.tenant.pk,
    }
    assert {name: root[name] for name in expected} == expected
    assert files.root() == root["id"]
    assert File.objects.count() == 2
    (mirror,) = files.list()
    assert (mirror["name"], mirror["type"], mirror["source_type"]) == (".knowledgebase", "folder", "knowledgebase")
    assert mirror["parent_id"] == root["id"]


# -- upload --------------------------------------------------------------------------------------------------------


def test_an_uploaded_file(api, files, profile):
    (data,) = files.upload(("Notes.TXT", b"hello"))
    id_ = data.pop("id")
    assert uuid.UUID(id_).version == 1
    assert data == {
        "parent_id": files.root(),
        "tenant_id": api.tenant.pk,
        "created_by": api.tenant.pk,
        "name": "Notes.TXT",
        "type": "doc",
        "location": f"files/{api.tenant.pk}/{id_}",
        "size": 5,
        "source_type": "",
    }
    assert files.content(id_) == b"hello"


@pytest.mark.parametrize(
    ("name", "type_"),
    [("a.pdf", "pdf"), ("a.docx", "doc"), ("a.png", "visual"), ("a.mp3", "aural"), ("a.exe", "other"), ("a", "other")],
)
def test_any_type_is_accepted(files, name, type_):
    assert files.upload((name, b""))[0]["type"] == type_


def test_slashes_make_folders_which_are_found_again(files):
    stored = files.upload(("a/b/x.txt", b"1"), ("a/b/y.txt", b"2"), ("/A//c/x.txt", b"3"), ("a/B/x.txt", b"4"))
    assert [file["name"] for file in stored] == ["x.txt", "y.txt", "x.txt", "x(1).txt"]
    assert [files.path(file["id"]) for file in stored] == [
        ["x.txt", "b", "a", "/"],
        ["y.txt", "b", "a", "/"],
        ["x.txt", "c", "a", "/"],
        ["x(1).txt", "b", "a", "/"],
    ]
    below = files.put("b/z.txt", parent=next(file["id"] for file in files.list() if file["name"] == "a"))
    assert files.path(below) == ["z.txt", "b", "a", "/"]


@pytest.mark.parametrize(
    "name",
    ["n" * 251 + ".txt", "é" * 125 + ".txt", "back\\slash.txt", "a&lt;b.txt", "你好.txt", " . ", "..", 'quo"te\n.txt'],
)
def test_names_are_kept_as_sent_and_never_become_paths(files, name):
    id_ = files.put(name, b"bytes")
    assert files.names() == [name]
    assert files.content(id_) == b"bytes"
    assert default_storage.listdir(f"files/{files.api.tenant.pk}")[1] == [id_]


def test_parent_directories_are_names_too(files):
    id_ = files.put("../../etc/passwd")
    assert files.path(id_) == ["passwd", "etc", "..", "..", "/"]


def test_names_in_use_get_numbers(files):
    names = [file["name"] for file in files.upload(("x.txt", b"1"), ("X.TXT", b"2"), ("x.txt", b"3"))]
    assert names == ["x.txt", "X(1).TXT", "x(2).txt"]
    assert files.upload(("x.txt", b"4"))[0]["name"] == "x(3).txt"
    assert files.upload(("x.txt", b"5"), parent=files.folder("f"))[0]["name"] == "x.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "No file part!"),
        (form(), "No file part!"),
        (form(("file", None, b"text")), "No file part!"),
        (form(("other", "a.txt", b"x")), "No file part!"),
        (form(("file", "", b"x")), "No selected file!"),
        (form(("file", "a.txt", b"x"), ("file", "", b"x")), "No selected file!"),
        (form(("file", "folder/", b"x")), "No selected file!"),
        (form(("file", "n" * 252 + ".txt", b"x")), "File name must be 255 bytes or less."),
        (form(("file", "n" * 256 + "/a.txt", b"x")), "File name must be 255 bytes or less."),
        (form(("file", "a\0.txt", b"x")), "File name must not contain the character NUL."),
        (form(("file", "a/" * 100 + "a.txt", b"x")), "Folders cannot be nested deeper than 100 levels."),
        (
            form(("file", ".knowledgebase/a.txt", b"x")),
            ".knowledgebase shows what the datasets hold; add documents to a dataset instead.",
        ),
    ],
)
def test_uploads_that_are_refused_store_nothing(files, profile, content, message):
    refused(files.send(content), profile, 400, message, False)
    assert files.names() == []
    assert not default_storage.exists(f"files/{files.api.tenant.pk}") or not any(
        default_storage.listdir(f"files/{files.api.tenant.pk}")
    )


def test_a_parent_that_is_no_folder(files, profile):
    file = files.put("a.txt")
    for parent in (UNKNOWN, "nonsense", "a\0b", file):
        answer = files.send(form(("parent_id", None, parent.encode()), ("file", "b.txt", b"x")))
        refused(answer, profile, 404, "Can't find this folder!", False)
    refused(files.send(form(("file", "a.txt/b.txt", b"x"))), profile, 409,
            "a.txt is a file in this folder, so nothing can be put into it.", False)  # fmt: skip


def test_a_folder_that_vanishes_during_an_upload(files, profile, monkeypatch):
    folder = files.folder("f")
    save = FileSystemStorage.save

    def remove_first(storage, name, content, max_length=None):
        assert files.post("rm", {"file_ids": [folder]})["code"] == 0
        return save(storage, name, content, max_length)

    monkeypatch.setattr(FileSystemStorage, "save", remove_first)
    answer = files.send(form(("parent_id", None, folder.encode()), ("file", "b.txt", b"x")))
    refused(answer, profile, 404, "Folder not found!", False)
    assert not any(default_storage.listdir(f"files/{files.api.tenant.pk}"))


# -- create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "type_"),
    [({"type": "folder"}, "folder"), ({"type": "FOLDER"}, "folder"), ({"type": "VIRTUAL"}, "virtual"), ({}, "virtual")],
)
def test_creating(files, profile, sent, type_):
    answer = files.post("create", {"name": "new"} | sent)
    assert answer["code"] == 0
    data = answer["data"]
    assert (data["name"], data["type"], data["size"], data["location"]) == ("new", type_, 0, "")
    assert data["parent_id"] == files.root()
    assert "create_time" not in data


def test_creating_what_cannot_be(files, profile):
    files.folder("Taken")
    file = files.put("a.txt")
    duplicate = "Duplicated folder name in the same folder."
    refused(files.post("create", {"name": "tAKEN", "type": "folder"}), profile, 409, duplicate, False)
    for parent in (UNKNOWN, "nonsense", file):
        answer = files.post("create", {"name": "x", "parent_id": parent})
        refused(answer, profile, 400, "Parent Folder Doesn't Exist!", False)
    refused(files.post("create", {"name": ""}), profile, 400, "The name must not be empty.", False)
    refused(files.post("create", {"name": "n" * 256}), profile, 400, "File name must be 255 bytes or less.", False)
    assert files.post("create", {"name": "x", "parent_id": files.mirror()})["code"] == 400
    bad_value(files.post("create", {}), profile, "`name` is required.", "KeyError('name')")
    assert files.post("create", {"name": 3})["message"] == "`name` must be text, not 3."
    assert files.names() == ["Taken", "a.txt"]


def test_folders_end_somewhere(files, profile):
    deepest = files.upload(("a/" * 99 + "a.txt", b"x"))[0]["parent_id"]
    assert len(files.path(deepest)) == 100
    sub = files.folder("last", parent=deepest)
    answer = files.post("create", {"name": "too deep", "parent_id": sub})
    refused(answer, profile, 400, "Folders cannot be nested deeper than 100 levels.", False)
    tree = files.upload(("top/x/y.txt", b"x"))[0]["parent_id"]
    answer = files.post("mv", {"src_file_ids": [tree], "dest_file_id": deepest})
    refused(answer, profile, 400, "Folders cannot be nested deeper than 100 levels.", False)


# -- list ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def five(files):
    return files.upload(("a.txt", b"1"), ("B.md", b"22"), ("Report 10%_x.txt", b"333"), ("d.pdf", b""), ("É.txt", b"4"))


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ("page_size=3", ["É.txt", "d.pdf", "Report 10%_x.txt"], 6),
        ("page=2&page_size=4&orderby=create_time", ["a.txt", ".knowledgebase"], 6),
        ("page=0&page_size=1&desc=true", ["É.txt"], 6),
        ("page_size=2&desc=", [".knowledgebase", "a.txt"], 6),
        ("page_size=2&desc=false", [".knowledgebase", "a.txt"], 6),
        ("orderby=size&page_size=2", ["Report 10%_x.txt", "B.md"], 6),
        ("orderby=name&desc=false&keywords=.T", ["Report 10%_x.txt", "a.txt", "É.txt"], 3),
        ("keywords=%C3%A9", ["É.txt"], 1),
        ("keywords=%25_", ["Report 10%_x.txt"], 1),
        ("keywords=a%00b", [], 0),
        ("page=9", [], 6),
    ],
)
def test_pages_order_and_keywords(files, five, query, names, total):
    answer = files.get(f"list?{query}")
    assert [file["name"] for file in answer["data"]["files"]] == names
    assert answer["data"]["total"] == total


def test_fifteen_to_a_page(files):
    files.upload(*((f"{number}.txt", b"x") for number in range(20)))
    assert len(files.get("list")["data"]["files"]) == 15


def test_the_entries_of_a_list(files, dataset):
    inner = files.upload(("a/b/x.txt", b"12345"), ("a/y.txt", b"123"), ("c/z.txt", b"1"), ("top.txt", b"12"))
    (link,) = files.convert([inner[3]["id"]], [dataset["id"]])
    listed = {file["name"]: file for file in files.list()}
    assert (listed["a"]["size"], listed["a"]["has_child_folder"], listed["a"]["kbs_info"]) == (8, True, [])
    assert (listed["c"]["size"], listed["c"]["has_child_folder"]) == (1, False)
    assert listed["top.txt"]["kbs_info"] == [
        {"kb_id": dataset["id"], "kb_name": "set", "document_id": link["document_id"]}
    ]
    assert "has_child_folder" not in listed["top.txt"]
    assert {"create_time", "create_date", "update_time", "update_date"} <= set(listed["top.txt"])
    folder = listed["a"]["id"]
    assert files.get(f"list?parent_id={folder}")["data"]["parent_folder"]["id"] == files.root()
    assert files.get("list")["data"]["parent_folder"]["id"] == files.root()
    below = files.get(f"list?parent_id={listed['a']['id']}&orderby=name")["data"]
    assert [file["name"] for file in below["files"]] == ["y.txt", "b"]


def test_lists_that_are_refused(files, profile):
    file = files.put("a.txt")
    for parent in (UNKNOWN, "nonsense", file):
        refused(files.get(f"list?parent_id={parent}"), profile, 404, "Folder not found!")
    bad_value(
        files.get("list?page=a"),
        profile,
        "`page` must be a whole number, not 'a'.",
        """ValueError("invalid literal for int() with base 10: 'a'")""",
    )
    bad_value(
        files.get("list?orderby=nope"),
        profile,
        "`orderby` must be a field of a file, not 'nope'.",
        "AttributeError(\"type object 'File' has no attribute 'nope'\")",
    )


@pytest.mark.parametrize("count", [1, 12])
def test_the_number_of_queries_does_not_grow(files, dataset, django_assert_num_queries, count):
    stored = files.upload(*((f"f{number}/sub/{number}.txt", b"x") for number in range(count)))
    files.convert([files.put(f"{number}.txt") for number in range(count)], [dataset["id"]])
    mirror = files.mirror()
    with django_assert_num_queries(8):  # token, root, count, page, folders' content, mirror (2), links
        files.get("list?page_size=100")
    with django_assert_num_queries(6):  # token, root, mirror, count, page with sizes, parent
        files.get(f"list?parent_id={mirror}")
    with django_assert_num_queries(7):  # token, root, no file but a dataset, mirror, count, page
        files.get(f"list?parent_id={dataset['id']}")
    folder = "/".join(f"{number}" for number in range(count))
    deep = files.put(f"{folder}/deep.txt")
    with django_assert_num_queries(4):  # token, root, file, path
        assert len(files.path(deep)) == count + 2
    with django_assert_num_queries(4):  # token, root, file, parent
        files.get(f"parent_folder?file_id={stored[0]['id']}")


# -- parents -------------------------------------------------------------------------------------------------------


def test_parents(files, profile):
    (file,) = files.upload(("a/b/x.txt", b"1"))
    assert files.get(f"parent_folder?file_id={file['id']}")["data"]["parent_folder"]["name"] == "b"
    root = files.root()
    assert files.get(f"parent_folder?file_id={root}")["data"]["parent_folder"]["id"] == root
    assert files.path(root) == ["/"]
    for what in ("parent_folder", "all_parent_folder"):
        for query in ("", "?file_id=", f"?file_id={UNKNOWN}", "?file_id=x"):
            refused(files.get(what + query), profile, 404, "Folder not found!")


# -- rm ------------------------------------------------------------------------------------------------------------


def test_removing_a_folder_with_everything(files, dataset, counts, store, run_tasks):
    inner = files.upload(("a/b/x.txt", b"The fox."), ("a/y.txt", b"The dog."), ("z.txt", b"stays"))
    links = files.convert([inner[0]["id"], inner[1]["id"]], [dataset["id"]])
    files.api.call(
        "POST",
        f"/api/v1/datasets/{dataset['id']}/chunks",
        {"document_ids": [link["document_id"] for link in links]},
    )
    run_tasks()
    assert counts()[:2] == (2, 2)
    answer = files.post("rm", {"file_ids": [inner[1]["parent_id"]]})
    assert (answer["code"], answer["data"]) == (0, True)
    assert files.names() == ["z.txt"]
    assert files.get(f"all_parent_folder?file_id={inner[0]['id']}")["code"] == 404
    assert counts() == (0, 0, 0)
    assert store.count(dataset["id"]).chunks == 0
    assert default_storage.listdir(f"files/{files.api.tenant.pk}")[1] == [inner[2]["id"]]
    assert set(File.objects.values_list("name", flat=True)) == {"/", ".knowledgebase", "z.txt"}


def test_removing_stops_at_the_first_problem(files, profile):
    first, last = files.put("a.txt"), files.put("b.txt")
    answer = files.post("rm", {"file_ids": [first, UNKNOWN, last]})
    refused(answer, profile, 404, "File or Folder not found!")
    assert files.names() == ["b.txt"]
    bad_value(files.post("rm", {}), profile, "`file_ids` is required.", "KeyError('file_ids')")
    for fixed in (files.root(), files.mirror()):
        assert files.post("rm", {"file_ids": [fixed]})["code"] == 400
    assert files.names() == ["b.txt"]


# -- rename --------------------------------------------------------------------------------------------------------


def test_renaming(files, dataset, api, profile):
    file, folder = files.put("old.txt"), files.folder("f")
    (link,) = files.convert([file], [dataset["id"]])
    files.api.upload(dataset["id"], ("new.txt", b"taken in the dataset"))
    answer = files.post("rename", {"file_id": file, "name": "new.txt"})
    assert (answer["code"], answer["data"]) == (0, True)
    assert files.post("rename", {"file_id": folder, "name": "g.h"})["code"] == 0
    assert files.names() == ["g.h", "new.txt"]
    assert Document.objects.get(pk=link["document_id"]).name == "new(1).txt"
    for same in ("new.txt", "NEW.TXT"):
        assert files.post("rename", {"file_id": file, "name": same})["code"] == 0


def test_renaming_what_cannot_be(files, profile):
    first, second = files.put("a.txt"), files.put("b.txt")
    elsewhere = files.put("c.txt", parent=files.folder("f"))
    refused(files.post("rename", {"file_id": UNKNOWN, "name": "x"}), profile, 404, "File not found!")
    for name in ("a.md", "a", ".txt"):
        answer = files.post("rename", {"file_id": first, "name": name})
        refused(answer, profile, 400, "The extension of file can't be changed", False)
    answer = files.post("rename", {"file_id": first, "name": "b.txt"})
    refused(answer, profile, 409, "Duplicated file name in the same folder.", False)
    assert files.post("rename", {"file_id": elsewhere, "name": "a.txt"})["code"] == 0
    refused(files.post("rename", {"file_id": second, "name": ""}), profile, 400, "The name must not be empty.", False)
    bad_value(files.post("rename", {"name": "x"}), profile, "`file_id` is required.", "KeyError('file_id')")
    bad_value(files.post("rename", {"file_id": first}), profile, "`name` is required.", "KeyError('name')")
    for fixed in (files.root(), files.mirror()):
        assert files.post("rename", {"file_id": fixed, "name": "x"})["code"] == 400
    assert files.names() == ["a.txt", "b.txt", "f"]


# -- get and download ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.txt", "application/txt"),
        ("A.TXT", "application/TXT"),
        ("a.png", "image/png"),
        ("a.html", "application/html"),
        ("a.svg", "image/svg"),
        ("none", "text/html; charset=utf-8"),
        ("a.xhtml+xml", "application/xhtml+xml"),
        ("a.with space", "application/octet-stream"),
        ("a.x\r\nSet-Cookie: y=1", "application/octet-stream"),
        ("a.你好", "application/octet-stream"),
    ],
)
def test_downloading(files, profile, name, content_type):
    content = bytes(range(256)) * 1000
    response = files.api.get(f"{FILE}/get/{files.put(name, content)}")
    assert b"".join(response.streaming_content) == content
    assert response["Content-Type"] == content_type
    assert response["Content-Length"] == str(len(content))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"].startswith("sandbox;")
    disposition = response.headers.get("Content-Disposition")
    assert disposition is None if profile == "exact" else disposition.startswith("attachment; filename")


def test_downloads_without_bytes(files, profile):
    assert files.content(files.put("empty.txt", b"")) == b""
    refused(files.get(f"get/{UNKNOWN}"), profile, 404, "Document not found!")
    lost = files.put("lost.txt")
    default_storage.delete(File.objects.get(pk=lost).location)
    for id_, reference in (
        (files.folder("f"), "AssertionError('please specify doc_id')"),
        (lost, "TypeError('The response value returned by the view function cannot be None')"),
    ):
        answer = files.get(f"get/{id_}")
        if profile == "standard":
            refused(answer, profile, 404, "Nothing is stored for this entry.")
        else:
            refused(answer, profile, 100, reference)


@pytest.mark.parametrize(
    ("query", "content_type"),
    [
        ("", "text/markdown"),
        ("?ext=pdf", "application/pdf"),
        ("?ext=docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("?ext=py", "text/plain"),
        ("?ext=html", "text/html"),
        ("?ext=svg", "image/svg+xml"),
        ("?ext=jpg", "image/jpeg"),
        ("?ext=strange", "application/strange"),
        ("?ext=a%0D%0AX: y", "application/octet-stream"),
    ],
)
def test_attachments(files, other, profile, query, content_type):
    default_storage.save(f"attachments/{files.api.tenant.pk}/{UNKNOWN}", ContentFile(b"made by an agent"))
    response = files.api.get(f"{FILE}/download/{UNKNOWN}{query}")
    assert b"".join(response.streaming_content) == b"made by an agent"
    assert response["Content-Type"] == content_type
    assert response["X-Content-Type-Options"] == "nosniff"
    for client, id_ in ((other, UNKNOWN), (files.api, uuid.uuid1().hex), (files.api, "..")):
        assert client.call("GET", f"{FILE}/download/{id_}")["code"] == (404 if profile == "standard" else 100)


# -- mv ------------------------------------------------------------------------------------------------------------


def test_moving(files):
    file, taken = files.put("x.txt"), files.upload(("f/X.txt", b"1"))[0]
    folder = taken["parent_id"]
    answer = files.post("mv", {"src_file_ids": [file], "dest_file_id": folder})
    assert (answer["code"], answer["data"]) == (0, True)
    assert files.names(folder) == ["X.txt", "x(1).txt"]
    assert files.post("mv", {"src_file_ids": [file], "dest_file_id": folder})["code"] == 0
    assert files.names(folder) == ["X.txt", "x(1).txt"]
    outer = files.folder("outer")
    assert files.post("mv", {"src_file_ids": [folder, file], "dest_file_id": outer})["code"] == 0
    assert files.path(taken["id"]) == ["X.txt", "f", "outer", "/"]
    assert files.path(file) == ["x(1).txt", "outer", "/"]


def test_moves_that_cannot_be(files, profile):
    (inner,) = files.upload(("a/b/x.txt", b"1"))
    b = inner["parent_id"]
    a = files.get(f"parent_folder?file_id={b}")["data"]["parent_folder"]["id"]
    file = files.put("y.txt")

    def move(ids, destination):
        return files.post("mv", {"src_file_ids": ids, "dest_file_id": destination})

    refused(move([file, UNKNOWN], b), profile, 404, "File or Folder not found!")
    refused(move([file], UNKNOWN), profile, 404, "Parent Folder not found!")
    refused(move([a], file), profile, 400, "Nothing can be moved into y.txt.", False)
    for destination in (a, b):
        answer = move([file, a], destination)
        refused(answer, profile, 400, "The folder a cannot be moved into itself.", False)
    assert files.path(file) == ["y.txt", "/"]  # all or none
    assert move([file], files.mirror())["code"] == 400
    for fixed in (files.root(), files.mirror()):
        assert move([fixed], a)["code"] == 400
    bad_value(files.post("mv", {"dest_file_id": a}), profile, "`src_file_ids` is required.", "KeyError('src_file_ids')")
    bad_value(
        files.post("mv", {"src_file_ids": []}), profile, "`dest_file_id` is required.", "KeyError('dest_file_id')"
    )


# -- who may -------------------------------------------------------------------------------------------------------


def test_restricted_tokens_do_not_reach_the_file_manager(files, api, tenant, profile):
    user = User.objects.get(pk=tenant.pk)
    narrow = Files(API(create_token(tenant=tenant, created_by=user, dataset_ids=[api.create_dataset()["id"]]).secret))
    answer = narrow.get("root_folder")
    assert answer["code"] == 108
    assert "restricted" in answer["message"]
    reader = Files(API(create_token(tenant=tenant, created_by=user, scopes=["read"]).secret))
    assert reader.get("list")["code"] == 0
    assert reader.post("create", {"name": "x"})["code"] == 108
