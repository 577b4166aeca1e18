"""The file manager stays a tree, whatever is done to it, one after the other or at once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.core.files.storage import default_storage

from apps.documents.models import File
from tests.apps.conftest import API, form
from tests.apps.documents.files import Files
from tests.apps.documents.test_concurrency import together


def entries(files: Files, parent: str, depth: int = 0) -> list[dict[str, Any]]:
    """Everything below a folder as lists show it, without the mirror; each folder's size is checked on the way."""
    assert depth < 50
    found = []
    for entry in files.list(parent, page_size=1000):
        if entry["source_type"] == "knowledgebase":
            continue
        found.append(entry)
        if entry["type"] == "folder":
            below = entries(files, entry["id"], depth + 1)
            assert entry["size"] == sum(file["size"] for file in below if file["type"] != "folder")
            assert entry["has_child_folder"] == any(
                file["parent_id"] == entry["id"] and file["type"] == "folder" for file in below
            )
            found += below
    return found


def check_tree(files: Files) -> list[dict[str, Any]]:
    """Assert that every entry reaches the root, that siblings have different names, and that no bytes are left over."""
    found = entries(files, files.root())
    ids = {entry["id"] for entry in found}
    stored = File.objects.filter(tenant=files.api.tenant, deleted_at=None, source_type="").exclude(parent=None)
    assert ids == set(stored.values_list("pk", flat=True))
    assert len(ids) == len(found) == len({(entry["parent_id"], entry["name"]) for entry in found})
    folder = f"files/{files.api.tenant.pk}"
    blobs = set(default_storage.listdir(folder)[1]) if default_storage.exists(folder) else set()
    assert blobs == {entry["id"] for entry in found if entry["location"]}
    for entry in found:
        assert files.path(entry["id"])[-1] == "/"
    return found


def act(files: Files, chance: random.Random, known: list[str]) -> None:
    """Do something at random. What is refused is refused with a sentence; nothing fails unexpectedly."""
    target, place = chance.choice(known), chance.choice(known)
    name = chance.choice(["a", "B", "b.txt", "c.txt", "a/b", "a/c.txt", "B/a/c.txt", "a(1)"])
    step = chance.choice(["create", "upload", "upload", "mv", "mv", "rename", "rm"])
    if step == "upload":
        parent = place if chance.random() < 0.5 else ""
        content = b"x" * chance.randrange(100)
        answer = files.send(form(("parent_id", None, parent.encode()), ("file", name, content)))
    elif step == "create":
        answer = files.post("create", {"name": name, "parent_id": place, "type": "folder"})
    elif step == "mv":
        answer = files.post("mv", {"src_file_ids": [target, chance.choice(known)], "dest_file_id": place})
    elif step == "rename":
        answer = files.post("rename", {"file_id": target, "name": name})
    else:
        answer = files.post("rm", {"file_ids": [target]})
    assert answer["code"] in (0, 400, 404, 409), answer
    if answer["code"] == 0 and step in ("upload", "create"):
        data = answer["data"]
        known.append(data[0]["id"] if isinstance(data, list) else data["id"])


@pytest.mark.parametrize("seed", range(8))
def test_random_changes_keep_it_a_tree(api: API, seed: int):
    files, chance = Files(api), random.Random(seed)
    known = [files.root()]
    for _ in range(60):
        act(files, chance, known)
    assert check_tree(files)
    for entry in files.list(page_size=1000):
        if entry["name"] != ".knowledgebase":
            assert files.post("rm", {"file_ids": [entry["id"]]})["code"] == 0
    assert check_tree(files) == []
    assert File.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_root_asked_for_by_many_at_once(api: API):
    files = Files(api)
    assert len(set(together(lambda _: files.root(), range(20)))) == 1
    assert sorted(File.objects.values_list("name", flat=True)) == [".knowledgebase", "/"]


@pytest.mark.django_db(transaction=True)
def test_uploads_of_one_name_at_once(api: API):
    files = Files(api)
    together(lambda number: files.put("f/x.txt", b"x" * number), range(20))
    (folder,) = (entry["id"] for entry in files.list() if entry["name"] == "f")
    assert files.names(folder) == sorted(["x.txt", *(f"x({number}).txt" for number in range(1, 20))])


@pytest.mark.django_db(transaction=True)
def test_folders_moved_into_each_other_at_once(api: API):
    files = Files(api)
    for _ in range(5):
        first, second = files.folder("first"), files.folder("second")
        pairs = [(first, second), (second, first)] * 2
        answers = together(lambda pair: files.post("mv", {"src_file_ids": [pair[0]], "dest_file_id": pair[1]}), pairs)
        assert 0 in {answer["code"] for answer in answers} <= {0, 400}
        (top,) = (entry["id"] for entry in files.list() if entry["source_type"] == "")
        check_tree(files)
        files.post("rm", {"file_ids": [top]})


@pytest.mark.django_db(transaction=True)
def test_uploads_into_a_folder_that_is_removed_meanwhile(api: API):
    files = Files(api)
    folder = files.folder("f")

    def step(number: int) -> int:
        if number == 7:
            return files.post("rm", {"file_ids": [folder]})["code"]
        return files.send(form(("parent_id", None, folder.encode()), ("file", f"{number}.txt", b"x")))["code"]

    assert set(together(step, range(20))) <= {0, 404}
    assert check_tree(files) == []


@pytest.mark.django_db(transaction=True)
def test_conversions_and_removals_at_once(api: API):
    files = Files(api)
    datasets = [api.create_dataset(f"d{number}")["id"] for number in range(3)]
    ids = [files.put(f"{number}.txt") for number in range(10)]

    def step(number: int) -> int:
        if number % 3 == 0:
            return files.post("rm", {"file_ids": [ids[number % 10]]})["code"]
        return files.post("convert", {"file_ids": [ids[number % 10]], "kb_ids": datasets})["code"]

    assert set(together(step, range(30))) <= {0, 404}
    left = check_tree(files)
    assert files.post("rm", {"file_ids": [entry["id"] for entry in left]})["code"] == 0
    for dataset in datasets:
        assert api.call("GET", f"/api/v1/datasets/{dataset}/documents")["data"]["total"] == 0
        (row,) = api.call("GET", f"/api/v1/datasets?id={dataset}")["data"]
        assert row["document_count"] == 0
