"""Many clients, and a worker, that change the chunks of one document at once."""

from __future__ import annotations

import pytest

from apps.documents import ingest
from apps.documents.models import Document, IngestTask
from tests.apps.documents.test_concurrency import together
from tests.apps.documents.test_ingest import LONG, pieces, queue, slices  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def path(base, upload):
    (document,) = upload("fox.txt")
    return f"{base}/documents/{document}/chunks"


@pytest.fixture
def recounted(counts, store, dataset, api, base):
    """Return a function that checks all counters against the store and returns the number of chunks."""

    def check():
        found = store.count(dataset["id"])
        documents = api.call("GET", f"{base}/documents")["data"]["docs"]
        assert counts()[1:] == (found.chunks, found.tokens)
        assert sum(document["chunk_count"] for document in documents) == found.chunks
        assert sum(document["token_count"] for document in documents) == found.tokens
        return found.chunks

    return check


def test_a_hundred_chunks_added_and_at_once_deleted_one_by_one(api, path, recounted):
    added = together(lambda n: api.call("POST", path, {"content": f"chunk {n}"}), range(100))
    assert {answer["code"] for answer in added} == {0}
    assert recounted() == 100
    ids = [answer["data"]["chunk"]["id"] for answer in added]
    deleted = together(lambda id_: api.call("DELETE", path, {"chunk_ids": [id_]}), ids)
    assert {answer["code"] for answer in deleted} == {0}
    assert recounted() == 0


def test_the_same_chunk_added_by_many(api, path, recounted):
    codes = together(lambda _: api.call("POST", path, {"content": "the same"})["code"], range(10))
    assert codes == [0] * 10
    assert recounted() == 1


def test_one_chunk_changed_by_many(api, path, recounted):
    id_ = api.call("POST", path, {"content": "the first"})["data"]["chunk"]["id"]

    def change(n):
        field = {"content": f"content {n}"} if n % 2 else {"questions": [f"question {n}"]}
        return api.call("PUT", f"{path}/{id_}", field)["code"]

    assert together(change, range(50)) == [0] * 50
    assert recounted() == 1
    (chunk,) = api.call("GET", path)["data"]["chunks"]
    assert chunk["content"].startswith("content ")
    assert chunk["questions"][0].startswith("question ")


def test_adding_changing_and_deleting_side_by_side(api, path, recounted):
    ids = [api.call("POST", path, {"content": f"chunk {n}"})["data"]["chunk"]["id"] for n in range(20)]

    def act(n):
        if n % 3 == 0:
            return api.call("DELETE", path, {"chunk_ids": [ids[n]]})["code"]
        if n % 3 == 1:
            return api.call("PUT", f"{path}/{ids[n]}", {"content": f"longer content of chunk {n}"})["code"]
        return api.call("POST", path, {"content": f"new chunk {n}"})["code"]

    assert together(act, range(20)) == [0] * 20
    assert recounted() == 20 - 7 + 6


def test_adding_while_the_document_is_deleted(api, base, path, store, dataset, counts):
    document = path.split("/")[-2]

    def act(n):
        if n == 10:
            return api.call("DELETE", f"{base}/documents", {"ids": [document]})["code"]
        return api.call("POST", path, {"content": f"chunk {n}"})["code"]

    assert set(together(act, range(20))) <= {0, 102}
    assert store.count(dataset["id"]).chunks == 0
    assert counts() == (0, 0, 0)


def test_documents_renamed_to_one_name(api, base, upload):
    ids = upload(*(f"{number}.txt" for number in range(5)))
    answers = together(lambda id_: api.call("PUT", f"{base}/documents/{id_}", {"name": "one.txt"}), ids)
    assert sorted(answer["code"] for answer in answers) == [0, 102, 102, 102, 102]
    assert Document.objects.filter(name="one.txt").count() == 1


def test_one_document_renamed_and_switched_by_many(api, base, parsed, document_of):
    id_ = parsed("0.txt")
    path = f"{base}/documents/{id_}"
    bodies = [{"name": f"{n}.txt"} if n % 2 else {"enabled": n % 4 == 0} for n in range(20)]
    assert {answer["code"] for answer in together(lambda body: api.call("PUT", path, body), bodies)} == {0}
    document = document_of(id_)
    (chunk,) = api.call("GET", f"{path}/chunks")["data"]["chunks"]
    assert (chunk["docnm_kwd"], chunk["available"]) == (document["name"], document["status"] == "1")


# -- while a worker parses -----------------------------------------------------------------------------------------


def test_a_document_renamed_and_disabled_while_it_is_parsed(api, base, queue, slices, pieces, recounted):  # noqa: F811
    task = queue("vulpine.txt", LONG)
    path = f"{base}/documents/{task.document_id}"
    slices[3] = lambda: api.call("PUT", path, {"name": "canine.txt", "enabled": 0})
    ingest.run(task.pk)
    answer = api.call("GET", f"{path}/chunks?page_size=1000")["data"]
    assert (answer["doc"]["run"], answer["doc"]["name"], answer["doc"]["status"]) == ("DONE", "canine.txt", "0")
    assert {(chunk["docnm_kwd"], chunk["available"]) for chunk in answer["chunks"]} == {("canine.txt", False)}
    assert len(answer["chunks"]) == recounted() > 10
    assert api.call("GET", f"{path}/chunks?keywords=vulpine")["data"]["total"] == 0
    assert api.call("GET", f"{path}/chunks?keywords=canine")["data"]["total"] == len(answer["chunks"])


def test_another_chunk_method_while_it_is_parsed(api, base, queue, slices, pieces, recounted, document_of):  # noqa: F811
    task = queue("long.txt", LONG)
    slices[3] = lambda: api.call("PUT", f"{base}/documents/{task.document_id}", {"chunk_method": "one"})
    ingest.run(task.pk)
    assert document_of(task.document_id)["run"] == "UNSTART"
    assert IngestTask.objects.get().state == "cancelled"
    assert recounted() == 0


def test_chunks_changed_by_hand_while_the_document_is_parsed(api, base, queue, slices, pieces, recounted):  # noqa: F811
    task = queue("long.txt", LONG)
    path = f"{base}/documents/{task.document_id}/chunks"

    def interfere():
        slices.clear()
        assert api.call("POST", path, {"content": "added meanwhile"})["code"] == 0
        first = api.call("GET", path)["data"]["chunks"][0]["id"]
        assert api.call("PUT", f"{path}/{first}", {"content": "changed meanwhile"})["code"] == 0
        second = api.call("GET", path)["data"]["chunks"][1]["id"]
        assert api.call("DELETE", path, {"chunk_ids": [second]})["code"] == 0

    slices[4] = interfere
    ingest.run(task.pk)
    contents = [chunk["content"] for chunk in api.call("GET", f"{path}?page_size=1000")["data"]["chunks"]]
    assert len(contents) == recounted() > 10
    assert (contents[0], contents[-1]) == ("changed meanwhile", "added meanwhile")
