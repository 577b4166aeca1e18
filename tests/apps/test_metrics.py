"""What `/metrics` shows, and to whom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.accounts.usage import count_spent
from apps.core import metrics
from ragflow import worker_counts
from ragflow.engine.calls import Call, Spent, call
from ragflow.engine.errors import ModelError
from ragflow.engine.types import Usage
from ragflow.models import WorkerCount
from tests.tools.asgi import Exchange

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.django_db(transaction=True)


def value(name: str, **labels: str) -> float:
    registry = metrics.REGISTRY.restricted_registry([name])  # without a look into the database
    samples = [sample for family in registry.collect() for sample in family.samples]
    return next((found.value for found in samples if (found.name, found.labels) == (name, labels)), 0.0)


def shown(**headers: str) -> str:
    response = Client().get("/metrics", headers=headers)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    return response.content.decode()


async def ask(path: str, method: str = "GET", **headers: str) -> Exchange:
    from ragflow.asgi import application

    return await Exchange(application, path, method=method, headers=headers).start().finish()


class TestWhoMayRead:
    def test_programs_of_this_machine(self):
        assert "ragflow_database_up 1.0" in shown()

    @pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.7", "", "unix:", "::ffff:10.0.0.7"])
    def test_no_others(self, address: str):
        response = Client().get("/metrics", REMOTE_ADDR=address)
        assert (response.status_code, response.json()["code"]) == (403, 109)

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
    def test_a_proxy_on_this_machine_opens_nothing(self, header: str, settings: Any):
        assert Client().get("/metrics", headers={header: "127.0.0.1"}).status_code == 403
        settings.PROXIES = 1
        assert Client().get("/metrics").status_code == 403

    @pytest.mark.parametrize("sent", ["", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Bearer ü"])
    def test_who_has_the_token(self, settings: Any, sent: str):
        settings.METRICS_TOKEN = "secret"
        far = Client(REMOTE_ADDR="203.0.113.9")
        assert far.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert far.get("/metrics", headers={"Authorization": sent}).status_code == 403
        assert Client().get("/metrics", headers={"Authorization": sent}).status_code == 403  # this machine, too

    def test_no_token_of_a_tenant(self, api: Any, settings: Any):
        assert api.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403

    def test_nothing_is_written_there(self):
        assert Client().post("/metrics").status_code == 405


class TestRequests:
    async def test_both_halves_count_by_route(self):
        for method, route, path, status in (
            ("GET", "api/v1/datasets/<str:dataset_id>/documents", "/api/v1//datasets/planted-id/documents/", 401),
            ("POST", "api/v1/chats/<chat_id>/completions", "/api/v1/chats/planted-id/completions", 401),
            ("GET", "v1/system/ping", "/v1/system/ping", 200),
            ("GET", "/", "/", 200),
            ("GET", "unknown", "/planted-path", 404),
        ):
            labels = {"method": method, "route": route}
            counted = value("ragflow_http_requests_total", **labels, status=str(status))
            timed = value("ragflow_http_request_seconds_count", **labels)
            assert (await ask(path, method)).status == status
            assert value("ragflow_http_requests_total", **labels, status=str(status)) == counted + 1, route
            assert value("ragflow_http_request_seconds_count", **labels) == timed + 1

    async def test_a_client_makes_no_labels(self):
        counted = value("ragflow_http_requests_total", method="other", route="v1/system/ping", status="405")
        assert (await ask("/v1/system/ping", "PLANTED")).status == 405
        assert value("ragflow_http_requests_total", method="other", route="v1/system/ping", status="405") == counted + 1
        samples = [sample for family in metrics.requests.collect() for sample in family.samples]
        assert "PLANTED" not in str(samples)

    async def test_nothing_stays_open(self):
        await ask("/v1/system/ping")
        assert value("ragflow_http_open_requests") == 0
        assert value("ragflow_open_streams") == 0


class TestTheInstallation:
    def test_what_the_database_knows(self, api: Any, run_tasks: Any):
        dataset = api.create_dataset("planted-name")["id"]
        documents = [item["id"] for item in api.upload(dataset, ("a.txt", b"One."), ("b.txt", b"Two."))]
        api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": documents})
        text = shown()
        assert 'ragflow_ingest_tasks{state="pending"} 2.0' in text
        assert "ragflow_queue_messages 2.0" in text
        run_tasks()
        text = shown()
        assert 'ragflow_ingest_tasks{state="pending"} 0.0' in text
        assert 'ragflow_ingest_tasks{state="done"} 2.0' in text
        assert "ragflow_chunks 2.0" in text
        assert "ragflow_documents 2.0" in text
        assert "ragflow_workers 0.0" in text
        assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)
        for known in ("planted-name", dataset, *documents, api.tenant.pk, "example.org"):
            assert known not in text

    def test_few_queries(self, api: Any, django_assert_num_queries: Any):
        with django_assert_num_queries(6):
            shown()

    def test_without_a_database(self, monkeypatch: pytest.MonkeyPatch):
        def away() -> None:
            raise OperationalError("planted password in a message")

        monkeypatch.setattr("ragflow.metrics._tasks", away)
        text = shown()
        assert "ragflow_database_up 0.0" in text
        assert "ragflow_http_open_requests" in text
        assert "ragflow_chunks" not in text
        assert "planted" not in text


class TestModelCalls:
    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (None, "ok"),
            (ModelError("no", code="RATE_LIMIT_EXCEEDED"), "RATE_LIMIT_EXCEEDED"),
            (GeneratorExit(), "cancelled"),
            (ZeroDivisionError(), "UNEXPECTED"),
        ],
    )
    def test_they_are_counted_by_how_they_end(self, error: BaseException | None, outcome: str):
        counted = value("ragflow_model_calls_total", kind="rerank", outcome=outcome)
        with pytest.raises(type(error)) if error else nullcontext(), call("rerank"):
            if error:
                raise error
        assert value("ragflow_model_calls_total", kind="rerank", outcome=outcome) == counted + 1


def test_the_text_is_of_the_format_that_prometheus_reads():
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name for family in text_string_to_metric_families(shown())}
    assert {"ragflow_http_requests", "ragflow_first_token_seconds", "ragflow_tokens", "ragflow_answers"} <= families


class TestWorkers:
    @pytest.fixture(autouse=True)
    def nothing_reported_yet(self) -> None:
        """This process has counted in other tests; a worker begins with nothing."""
        worker_counts._reported.clear()
        worker_counts._reported.update(worker_counts._counted())

    def work(self, seconds: float = 0.0) -> None:
        metrics.count_call(Call("embedding", "ok", seconds))

    def test_nothing_is_counted_twice(self):
        for calls in (2, 0, 1):
            for _ in range(calls):
                self.work(seconds=1.5)
            worker_counts.report()
        text = shown()
        assert 'ragflow_worker_model_calls_total{kind="embedding",outcome="ok"} 3.0' in text
        assert 'ragflow_worker_model_call_seconds_bucket{kind="embedding",le="2.0"} 3.0' in text
        assert 'ragflow_worker_model_call_seconds_sum{kind="embedding"} 4.5' in text
        assert 'ragflow_worker_model_call_seconds_bucket{kind="embedding",le="1.0"} 3.0' not in text

    def test_a_report_that_fails_is_made_up_for(self, monkeypatch: pytest.MonkeyPatch):
        def away(*_: Any) -> None:
            raise OperationalError("away")

        self.work()
        with monkeypatch.context() as patch:
            patch.setattr(worker_counts, "_add", away)
            worker_counts._after_task()  # which a task survives
        self.work()
        worker_counts.report()
        assert WorkerCount.objects.get(sample="ragflow_model_calls_total").value == 2

    def test_the_text_stays_readable(self):
        from prometheus_client.parser import text_string_to_metric_families

        for seconds in (0.2, 100, 1000):
            self.work(seconds)
        metrics.count_call(Call("rerank", "TIMEOUT", 3))
        worker_counts.report()
        families = {family.name: family for family in text_string_to_metric_families(shown())}
        seconds = families["ragflow_worker_model_call_seconds"]
        assert seconds.type == "histogram"
        buckets = [
            (float(sample.labels["le"]), sample.value)
            for sample in seconds.samples
            if sample.name.endswith("_bucket") and sample.labels["kind"] == "embedding"
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == (float("inf"), 3)

    def test_no_rows_for_what_did_not_happen(self, django_assert_num_queries: Any):
        with django_assert_num_queries(0):
            worker_counts.report()

    @pytest.mark.parametrize(
        ("model", "provider"),
        [("m@OpenAI", "OpenAI"), ("m@planted", "other"), ("planted", "other")],
    )
    def test_tokens_by_provider(self, db: None, model: str, provider: str):
        count_spent(Spent("chat", model, "", Usage(3, 4)))
        worker_counts.report()
        text = shown()
        assert f'ragflow_worker_provider_tokens_total{{provider="{provider}"}} 7.0' in text
        assert "planted" not in text


SCRIPT = """
import sys, django
django.setup()
from apps.core.metrics import count_call
from ragflow import worker_counts
from ragflow.engine.calls import Call

for _ in range(20):
    count_call(Call("embedding", "ok", 0.5))
    worker_counts.report()
"""


def test_processes_add_to_the_same_numbers(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"RAGFLOW_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "ragflow.settings"}
    run = partial(subprocess.run, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    run([sys.executable, "manage.py", "migrate", "--verbosity", "0"])
    workers = [subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    read = "import django; django.setup(); from ragflow.worker_counts import shown; print(shown())"
    found = run([sys.executable, "-c", read]).stdout
    assert "labels={'kind': 'embedding', 'outcome': 'ok'}, value=40.0" in found
