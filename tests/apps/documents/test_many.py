"""What a list asks of the database does not grow with the dataset: plans are looked at, not times."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.many import among
from apps.core.paging import Page
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document
from apps.documents.selectors import DocumentFilter, active_tasks, documents_of
from apps.documents.services.retention import forget_finished_tasks
from apps.documents.tasks import collect_garbage, sweep
from tests.apps.conftest import API

sqlite_only = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="other databases count rows by themselves")


def plan_of(rows: Any) -> str:
    return str(rows.explain())


@sqlite_only
@pytest.mark.parametrize("sign", ["-", ""])
@pytest.mark.parametrize(
    ("wanted", "order", "index"),
    [
        (DocumentFilter(), "created_at", "document_listed"),
        (DocumentFilter(), "updated_at", "document_updated"),
        (DocumentFilter(states=["1"]), "created_at", "document_state"),
    ],
)
def test_a_page_is_read_along_an_index_in_its_order(
    wanted: DocumentFilter, sign: str, order: str, index: str, dataset: dict[str, Any]
) -> None:
    rows = wanted.apply(documents_of(KnowledgeBase.objects.get(pk=dataset["id"])))
    plan = plan_of(rows.order_by(sign + order, "pk")[90:120])
    assert f"INDEX {index}" in plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan  # ties may be sorted: RIGHT PART OF ORDER BY


@sqlite_only
def test_a_name_or_an_id_is_looked_up_and_not_searched_for(dataset: dict[str, Any]) -> None:
    rows = documents_of(KnowledgeBase.objects.get(pk=dataset["id"]))
    by_name = DocumentFilter(name="a.txt").apply(rows).order_by("-created_at", "pk")[:30]
    assert "name_key=?" in plan_of(by_name)
    assert "(id=?)" in plan_of(rows.filter(among("pk", ["x", "y"])))
    assert "(id=?)" in plan_of(rows.filter(pk__in=["x", "y"]))


def test_the_total_of_a_whole_dataset_is_not_counted(api: API, base: str, upload: Any) -> None:
    upload("a.txt", "b.txt")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert api.call("GET", f"{base}/documents?page_size=1")["data"]["total"] == 2
    assert not [query for query in queries if "COUNT(" in query["sql"]]
    assert api.call("GET", f"{base}/documents?keywords=a&page_size=1")["data"]["total"] == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 2), max_size=12),
    page=st.builds(Page, st.integers(1, 14), st.integers(0, 14)),
    order=st.sampled_from([("size", "pk"), ("-size", "pk"), ("-created_at", "pk"), ("state", "-size", "-pk")]),
)
def test_a_page_is_the_same_from_either_end(
    dataset: dict[str, Any], sizes: list[int], page: Page, order: tuple[str, ...]
) -> None:
    row = KnowledgeBase.objects.get(pk=dataset["id"])
    Document.objects.filter(dataset=row).delete()
    Document.objects.bulk_create(Document(dataset=row, name=str(n), size=size) for n, size in enumerate(sizes))
    rows = documents_of(row).order_by(*order)
    start = (page.number - 1) * page.size
    with CaptureQueriesContext(connection) as queries:
        assert page.read(rows, len(sizes)) == list(rows)[start : start + page.size]
    offset = re.search(r"OFFSET (\d+)", queries[0]["sql"])
    assert offset is None or int(offset[1]) <= len(sizes) / 2


def looked_up_names(queries: CaptureQueriesContext) -> list[str]:
    found = re.compile(r'SELECT .* FROM "documents_document" WHERE .*name_key')
    return [query["sql"] for query in queries if found.match(query["sql"])]


def test_a_name_that_is_taken_many_times_costs_few_queries(api: API, base: str, dataset: dict[str, Any]) -> None:
    row = KnowledgeBase.objects.get(pk=dataset["id"])
    names = ["a.txt", *(f"a({number}).txt" for number in range(1, 1100))]
    Document.objects.bulk_create(
        Document(dataset=row, name=name, name_key=name, location=name, chunk_method="naive") for name in names
    )
    with CaptureQueriesContext(connection) as queries:
        assert api.upload(dataset["id"], ("a.txt", b"x"))[0]["name"] == "a(1100).txt"
    assert len(looked_up_names(queries)) <= 6


def test_names_of_many_files_are_looked_up_at_once(api: API, dataset: dict[str, Any]) -> None:
    api.upload(dataset["id"], ("0.txt", b"x"))
    with CaptureQueriesContext(connection) as queries:
        rows = api.upload(dataset["id"], *((f"{number}.txt", b"x") for number in range(20)), ("5.TXT", b"x"))
    assert [row["name"] for row in rows] == ["0(1).txt", *(f"{number}.txt" for number in range(1, 20)), "5(1).TXT"]
    # One for all of them, and two for each of the two that were taken.
    assert len(looked_up_names(queries)) == 5


@sqlite_only
def test_what_a_worker_looks_for_all_the_time_is_found_by_an_index(upload: Any) -> None:
    """Every ten seconds, and in tables that only grow."""
    upload("a.txt")
    with CaptureQueriesContext(connection) as queries:
        sweep(), collect_garbage(), forget_finished_tasks()
    plans = []
    with connection.cursor() as cursor:
        for query in queries:
            if re.match(r'SELECT .* FROM "documents_(document|file|ingesttask)"', query["sql"]):
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plans += [row[3] for row in cursor.fetchall()]
    assert [plan for plan in plans if plan.startswith("SCAN documents")] == []
    found = "\n".join(plans)
    assert "documents_ingesttask USING INDEX ingest_state_lease (state=? AND lease_until<?)" in found
    assert "documents_ingesttask USING INDEX documents_ingesttask_created_at_fc7595b1 (created_at<?)" in found
    assert "documents_document USING INDEX document_being_deleted (deleted_at<?)" in found
    assert "documents_file USING INDEX file_being_deleted (deleted_at<?)" in found


@sqlite_only
@pytest.mark.parametrize("count", [1, 500])
def test_tasks_are_found_by_their_documents_and_not_among_all_that_wait(count: int, dataset: dict[str, Any]) -> None:
    plan = plan_of(active_tasks([str(number) for number in range(count)]).order_by())
    assert "(document_id=?)" in plan
