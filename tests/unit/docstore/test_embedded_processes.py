"""Several processes on one store: nothing stale, nothing lost, nothing broken by `kill -9`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ragflow.engine.docstore.base import SearchRequest
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from tests.unit.docstore.conformance import DIMENSION, found, make, put, unit
from tests.unit.docstore.test_embedded import assert_sound

ROOT = Path(__file__).parents[3]
BATCH = 20

WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.types import Chunk

path, name, batches = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = EmbeddedDocStore(path)
vectors = np.eye({BATCH}, {DIMENSION}, dtype=np.float32)
for batch in range(batches):
    text = f"text {{name}} {{batch}}"
    chunks = [
        Chunk(f"{{name}}{{batch:08}}{{n:04}}", "data", f"doc-{{name}}", "x.txt", text) for n in range({BATCH})
    ]
    store.upsert(chunks, vectors)
    print(batch, flush=True)
"""


def start_writer(path: Path, name: str, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(batches)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_readers_see_each_acknowledged_batch_of_other_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "chunks.db"
    store = EmbeddedDocStore(path)
    writers = {name: start_writer(path, name, 25) for name in ("one", "two")}
    written = dict.fromkeys(writers, 0)
    while writers:
        for name, process in list(writers.items()):
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                assert process.wait() == 0
                process.stdout.close()
                del writers[name]
                continue
            written[name] = (int(line) + 1) * BATCH
            assert store.get(["data"], f"{name}{int(line):08}0000") is not None
            assert store.count("data", f"doc-{name}").chunks >= written[name]
            assert found(store, f"{int(line)}", document_ids=(f"doc-{name}",))
            everything = len(store.search(_nearest(f"doc-{name}")))
            assert everything >= written[name]
    assert store.count("data").chunks == sum(written.values()) == 2 * 25 * BATCH
    assert_sound(path)
    store.close()


def _nearest(document: str) -> SearchRequest:
    return SearchRequest(("data",), "", unit(0), document_ids=(document,), top_k=10_000)


@pytest.mark.slow
def test_changes_of_another_process_reach_a_warm_cache(tmp_path: Path) -> None:
    path = tmp_path / "chunks.db"
    here, there = EmbeddedDocStore(path), EmbeddedDocStore(path)
    for n in range(10):
        put(here, make(f"one {n}"), make(f"two {n}"))
        assert {f"one {n}", f"two {n}"} <= found(there, "", unit(0))
        here.set_available("data", "doc", False, [make(f"one {n}").id])
        assert f"one {n}" not in found(there, "", unit(0))
        here.delete_chunks("data", "doc", [make(f"two {n}").id])
        assert f"two {n}" not in found(there, "", unit(0))
        here.rename_document("data", "doc", f"name{n}.txt")
        assert there.search(_nearest("doc")).documents in ((), (("doc", f"name{n}.txt"),))
    here.close()
    there.close()


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_batch(tmp_path: Path) -> None:
    path = tmp_path / "chunks.db"
    for round_ in range(3):
        process = start_writer(path, f"w{round_}", 10_000)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(5 + round_)]
        time.sleep(0.01 * round_)
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines() if line]
        process.stdout.close()
        process.wait()

        store = EmbeddedDocStore(path)
        chunks = store.count("data", f"doc-w{round_}").chunks
        assert chunks % BATCH == 0
        assert chunks >= (acknowledged[-1] + 1) * BATCH
        store.upsert([make(f"after round {round_}")], np.eye(1, DIMENSION, dtype=np.float32))
        assert f"after round {round_}" in found(store, f"after {round_}")
        store.close()
        assert_sound(path)


@pytest.mark.slow
def test_processes_that_create_the_store_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "chunks.db"
    writers = [start_writer(path, f"w{n}", 2) for n in range(4)]
    for process in writers:
        process.communicate(timeout=60)
        assert process.returncode == 0
    store = EmbeddedDocStore(path)
    assert store.count("data").chunks == 4 * 2 * BATCH
    store.close()
    assert_sound(path)
