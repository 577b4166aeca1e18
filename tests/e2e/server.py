"""A running server process: ephemeral port, fresh data folder, built-in models, no network."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
LISTENING = re.compile(r"Listening on (http://\S+)")

# Runs before the server starts: gives the one tenant a dataset that was parsed.
SEED = """
import json, sys
import django
django.setup()
from apps.accounts import language_models
from apps.accounts.models import Tenant
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from ragflow.engine.ids import chunk_id
from ragflow.engine.types import Chunk

texts, embedding_model = json.loads(sys.argv[1]), sys.argv[2]
dataset = KnowledgeBase.objects.create(
    tenant=Tenant.objects.get(), name="facts", embedding_model=embedding_model, chunk_count=len(texts)
)
chunks = [
    Chunk(id=chunk_id(text, "doc"), dataset_id=dataset.pk, document_id="doc", document_name="facts.txt", content=text)
    for text in texts
]
doc_store().upsert(chunks, language_models.embedder_for(dataset.embedding_model, dataset.tenant_id).embed(texts))
print(dataset.pk)
"""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    token: str
    dataset: str

    def post(self, path: str, body: Any) -> Any:
        """Send a request of the API and return what the answer holds under `data`."""
        import httpx2

        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx2.post(self.url + path, json=body, headers=headers, timeout=DEADLINE).json()
        assert answer["code"] == 0, answer
        return answer["data"]


@contextmanager
def running_server(
    folder: Path, *texts: str, embedding_model: str = "hash-1024@Builtin", **variables: str
) -> Iterator[Server]:
    """Start a server whose one dataset holds these texts; `variables` are added to its environment."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "ragflow.settings",
        "RAGFLOW_DATA_DIR": str(folder),
        "RAGFLOW_HOST": "127.0.0.1",
        "RAGFLOW_PORT": "0",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("manage.py", "migrate", "--verbosity", "0")
    token = run("manage.py", "create_token", "--email", "client@example.org").strip()
    dataset = run("-c", SEED, json.dumps(texts), embedding_model).strip()
    process = subprocess.Popen(
        [sys.executable, "-m", "ragflow.web"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Server(_url_of(process), token, dataset)
    finally:
        process.terminate()
        process.wait(DEADLINE)
        assert process.stderr is not None
        process.stderr.close()


def _url_of(process: subprocess.Popen[str]) -> str:
    """Return the address that the server says it listens on."""
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_copy_lines, args=(process.stderr, lines), daemon=True).start()
    seen = []
    while True:
        line = lines.get(timeout=DEADLINE)
        seen.append(line)
        if match := LISTENING.search(line):
            return match.group(1)
        assert line, f"the server did not start:\n{''.join(seen)}"


def _copy_lines(stream: IO[str], lines: queue.Queue[str]) -> None:
    """Read to the end, so that the server never waits for somebody to read its log. Empty text is the end."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed
        pass
    lines.put("")
