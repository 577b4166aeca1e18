"""Fixtures of tests of the web API: its calls, and a dataset with a document."""

from __future__ import annotations

import pytest

from tests.apps.conftest import BOUNDARY, form


@pytest.fixture
def call(api):
    def send(path, body=None, method="POST"):
        answer = api.call(method, f"/v1/{path}", body)
        del answer["status"]
        return answer

    return send


@pytest.fixture
def kb(call):
    return call("kb/create", {"name": "set"})["data"]["kb_id"]


@pytest.fixture
def send(api, kb):
    """Upload parts of a form; each is a file name with its content, or None for a form without `kb_id`."""

    def upload(*files, kb_id=kb):
        parts = [("file", name, content) for name, content in files]
        fields = [] if kb_id is None else [("kb_id", None, kb_id.encode())]
        answer = api.send(
            "POST", "/v1/document/upload", form(*parts, *fields), f"multipart/form-data; boundary={BOUNDARY}"
        )
        del answer["status"]
        return answer

    return upload


@pytest.fixture
def document(send):
    return send(("fox_0.txt", b"One content about the quick brown fox."))["data"][0]["id"]


@pytest.fixture
def listed(call, kb):
    def read(query="", body=None):
        return call(f"document/list?kb_id={kb}{query}", body)["data"]

    return read


@pytest.fixture
def state(call):
    def read(document_id):
        return call("document/infos", {"doc_ids": [document_id]})["data"][0]

    return read


@pytest.fixture
def parse(call, run_tasks):
    def start(*ids, **fields):
        assert call("document/run", {"doc_ids": list(ids), "run": 1} | fields)["data"] is True
        return run_tasks()

    return start
