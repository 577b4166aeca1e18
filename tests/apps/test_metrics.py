"""What `/metrics` shows, and to whom."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.core import metrics
from ragflow.engine.calls import call
from ragflow.engine.errors import ModelError
from tests.tools.asgi import Exchange

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
        with django_assert_num_queries(4):
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
