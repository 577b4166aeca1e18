"""Many clients at once: nothing is lost, counted twice or locked out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.db import connection

from apps.documents import ingest
from apps.documents.models import Document, IngestTask
from apps.documents.services import parsing
from tests.apps.conftest import API

pytestmark = pytest.mark.django_db(transaction=True)
_T = TypeVar("_T")


def together(act: Callable[[_T], Any], items: Iterable[_T], threads: int = 5) -> list[Any]:
    """Run a function on every item, in several threads that each have a database connection of their own."""

    def one(item: _T) -> Any:
        try:
            return act(item)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, items))


def test_datasets_of_one_name(api: API):
    names = together(lambda _: api.create_dataset("same")["name"], range(20))
    assert sorted(names) == sorted(["same", *(f"same({number})" for number in range(1, 20))])


def test_uploads_of_one_name_into_one_dataset(api: API, dataset, counts):
    rows = together(lambda number: api.upload(dataset["id"], ("x.txt", b"x" * number), ("y.txt", b"y"))[0], range(20))
    assert sorted(row["name"] for row in rows) == sorted(["x.txt", *(f"x({number}).txt" for number in range(1, 20))])
    assert counts()[0] == Document.objects.count() == 40


def test_deleting_while_uploading(api: API, dataset, base, upload, counts):
    ids = upload(*(f"{number}.txt" for number in range(20)))

    def step(number: int) -> int:
        if number % 2:
            return api.call("DELETE", f"{base}/documents", {"ids": [ids[number]]})["code"]
        return len(api.upload(dataset["id"], (f"new{number}.txt", b"x"))) - 1

    assert together(step, range(20)) == [0] * 20
    assert counts()[0] == Document.objects.count() == 20


def test_the_same_document_deleted_by_many(api: API, base, upload, counts):
    (id_,) = upload("a.txt")
    codes = together(lambda _: api.call("DELETE", f"{base}/documents", {"ids": [id_]})["code"], range(5))
    assert 0 in codes
    assert counts() == (0, 0, 0)


def test_parsing_of_many_by_several_workers(api: API, dataset, base, upload, counts, store):
    ids = upload(*(f"{number}.txt" for number in range(20)))
    codes = together(lambda id_: api.call("POST", f"{base}/chunks", {"document_ids": [id_]})["code"], ids)
    assert codes == [0] * 20
    tasks = list(IngestTask.objects.values_list("pk", flat=True))
    together(ingest.run, tasks * 2)  # each message delivered twice
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.DONE}
    assert set(IngestTask.objects.values_list("attempt", flat=True)) == {1}
    found = store.count(dataset["id"])
    assert counts() == (20, found.chunks, found.tokens)


def test_one_document_parsed_by_many_at_once(api: API, base, upload):
    (id_,) = upload("a.txt")
    answers = together(lambda _: api.call("POST", f"{base}/chunks", {"document_ids": [id_]}), range(5))
    assert sorted(answer["code"] for answer in answers) == [0, 102, 102, 102, 102]
    assert IngestTask.objects.count() == 1


def test_a_lost_task_is_rung_for_once(api: API, base, upload):
    (id_,) = upload("a.txt")
    api.call("POST", f"{base}/chunks", {"document_ids": [id_]})
    IngestTask.objects.update(lease_until="2020-01-01T00:00:00Z")
    assert sum(together(lambda _: parsing.ring_again(), range(5))) == 1


def test_renaming_one_dataset_again_and_again(api: API, dataset):
    path = f"/api/v1/datasets/{dataset['id']}"
    assert together(lambda number: api.call("PUT", path, {"name": f"n{number}"})["code"], range(30)) == [0] * 30
    assert together(lambda _: api.call("PUT", path, {"pagerank": 3})["code"], range(10)) == [0] * 10
