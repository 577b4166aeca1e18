from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.documents.models import IngestTask
from ragflow import health
from ragflow.models import Worker
from tests.apps.accounts.conftest import Web

PARTS = ("doc_engine", "storage", "database", "redis")


def test_version(ada: Web, profile: str):
    assert re.fullmatch(r"v\d+\.\d+\.\d+", ada.call("GET", "/v1/system/version")["data"])


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "x.y.z"])
def test_config_is_for_everybody(db, settings, profile: str, is_open: bool, authorization: str):
    settings.REGISTRATION_OPEN = is_open
    answer = Web(authorization).call("GET", "/v1/system/config")
    assert (answer["code"], answer["message"], answer["data"]) == (0, "success", {"registerEnabled": int(is_open)})


def test_status_of_what_is_well(ada: Web, profile: str):
    data = ada.call("GET", "/v1/system/status")["data"]
    assert set(data) == {*PARTS, "task_executor_heartbeats"}
    for part in PARTS:
        assert data[part]["status"] == "green"
        assert re.fullmatch(r"\d+\.\d", data[part]["elapsed"])
        assert "error" not in data[part]
    assert data["task_executor_heartbeats"] == {}


@pytest.mark.parametrize(("part", "check"), [("doc_engine", "doc_engine"), ("storage", "storage"), ("redis", "redis")])
def test_status_of_what_is_down(ada: Web, profile: str, part: str, check: str, monkeypatch):
    def fail() -> None:
        raise ConnectionError("password=hunter2 refused")

    monkeypatch.setitem(health.CHECKS, check, fail)
    data = ada.call("GET", "/v1/system/status")["data"]
    assert data[part]["status"] == "red"
    assert data[part]["error"]
    assert "hunter2" not in str(data)
    assert sum(data[name]["status"] == "red" for name in PARTS) == 1


def test_heartbeats(api, ada: Web):
    now = timezone.now()
    Worker.objects.create(name="celery@host/7", threads=2, started_at=now - timedelta(hours=1), seen_at=now)
    Worker.objects.create(name="celery@gone/8", threads=2, started_at=now, seen_at=now - timedelta(hours=1))
    dataset = api.create_dataset()
    api.upload(dataset["id"], ("a.txt", b"a"), ("b.txt", b"b"))
    tasks = [
        IngestTask.objects.create(document=document, worker="host/7", state=state, finished_at=finished)
        for document, state, finished in zip(
            dataset_documents(dataset["id"]), ("running", "done"), (None, now), strict=True
        )
    ]
    beats = ada.call("GET", "/v1/system/status")["data"]["task_executor_heartbeats"]
    assert set(beats) == {"celery@host/7"}
    (beat,) = beats["celery@host/7"]
    assert (beat["ip_address"], beat["pid"], beat["done"], beat["failed"]) == ("host", 7, 1, 0)
    assert set(beat["current"]) == {tasks[0].pk}


def dataset_documents(dataset_id: str):
    from apps.documents.models import Document

    return Document.objects.filter(dataset_id=dataset_id)
