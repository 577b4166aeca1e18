"""What a worker asks of providers shows where the web server is scraped."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from tests.e2e.installation import Installation
from tests.e2e.processes import until
from tests.tools.model_server import ModelServer

pytestmark = pytest.mark.slow


def test_calls_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer() as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
        monkeypatch.setenv("RAGFLOW_EMBEDDING_MODEL", "planted-model@OpenAI")
        installation = Installation(tmp_path / "data")
        try:
            assert parsed(installation) == "DONE"
            until(lambda: calls(metrics(installation)) == len(provider.exchanges))
            text = metrics(installation)
        finally:
            installation.close()
    assert calls(text) >= 1
    assert re.search(r'^ragflow_worker_model_call_seconds_count\{kind="embedding"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^ragflow_worker_provider_tokens_total\{provider="OpenAI"\} [1-9]', text, re.MULTILINE)
    assert 'ragflow_model_calls_total{kind="embedding"' not in text  # the web server asked nobody
    assert "planted" not in text


def calls(text: str) -> float:
    found = re.search(r'^ragflow_worker_model_calls_total\{kind="embedding",outcome="ok"\} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0


def parsed(installation: Installation) -> str:
    url = f"{installation.origin}/api/v1"
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {installation.token()}"}) as client:
        dataset = client.post("/datasets", json={"name": "Space"}).json()["data"]["id"]
        files = {"file": ("mars.txt", b"Mars has two moons, Phobos and Deimos.")}
        document = client.post(f"/datasets/{dataset}/documents", files=files).json()["data"][0]["id"]
        client.post(f"/datasets/{dataset}/chunks", json={"document_ids": [document]})

        def state() -> str:
            return str(client.get(f"/datasets/{dataset}/documents").json()["data"]["docs"][0]["run"])

        until(lambda: state() in {"DONE", "FAIL"})
        return state()


def metrics(installation: Installation) -> str:
    return httpx2.get(f"{installation.origin}/metrics").text
