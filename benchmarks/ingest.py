"""How long does it take from upload to searchable? 200 text files, end to end, over HTTP.

    python -m benchmarks.ingest [--files 200] [--json FILE]

Starts an installation of its own (web process and worker) in a temporary folder, uploads the files in one request,
starts parsing, and waits until every document is DONE. The baseline, in the same run, is the embedding model alone over
the same text: it does most of the work, so the ratio says what everything around it costs.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.installation import Installation
from ragflow.engine.registry import ModelSettings, Registry

WORDS = """
river engine harvest signal window copper music market lesson garden voltage harbour letter winter theory
planet border kitchen silver travel machine history pattern ocean bridge doctor paper forest energy village
""".split()  # noqa: SIM905
WORDS_PER_FILE = 180  # about one chunk


def make_files(count: int) -> list[tuple[str, bytes]]:
    source = random.Random(11)
    return [
        (f"note-{number:04}.txt", (" ".join(source.choices(WORDS, k=WORDS_PER_FILE)) + ".").encode())
        for number in range(count)
    ]


def embedding_alone(files: list[tuple[str, bytes]]) -> float:
    """Return the seconds that the built-in model takes for the texts, a worker's slice at a time."""
    embedder = Registry(ModelSettings(threads=1)).embedder("")
    texts = [content.decode() for _, content in files]
    embedder.embed(texts[:1])
    started = time.perf_counter()
    for start in range(0, len(texts), 64):
        embedder.embed(texts[start : start + 64])
    return time.perf_counter() - started


def end_to_end(installation: Installation, files: list[tuple[str, bytes]]) -> dict[str, float]:
    with httpx2.Client(base_url=installation.url, headers=installation.headers, timeout=300) as client:
        dataset = _data(client.post("/api/v1/datasets", json={"name": "benchmark"}))["id"]
        documents = f"/api/v1/datasets/{dataset}/documents"
        started = time.perf_counter()
        uploaded = _data(client.post(documents, files=[("file", file) for file in files]))
        after_upload = time.perf_counter()
        ids = [document["id"] for document in uploaded]
        _data(client.post(f"/api/v1/datasets/{dataset}/chunks", json={"document_ids": ids}))
        after_start = time.perf_counter()
        while _data(client.get(documents, params={"run": "DONE", "page_size": 1}))["total"] < len(files):
            time.sleep(0.2)
        finished = time.perf_counter()
    return {"upload": after_upload - started, "start": after_start - after_upload, "parse": finished - after_start}


def _data(response: httpx2.Response) -> dict:
    body = response.json()
    assert body["code"] == 0, body
    return body.get("data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    files = make_files(options.files)
    baseline = embedding_alone(files)
    with tempfile.TemporaryDirectory() as folder, Installation(Path(folder)) as installation:
        seconds = end_to_end(installation, files)
    total = sum(seconds.values())
    results = {
        "files": len(files),
        "seconds": seconds | {"total": total},
        "files_per_second": len(files) / total,
        "embedding_alone_seconds": baseline,
        "ratio_to_embedding_alone": total / baseline,
    }
    print(f"{'stage':<28}{'seconds':>9}")
    for stage, value in results["seconds"].items():
        print(f"{stage:<28}{value:>9.2f}")
    print(f"{'embedding alone (baseline)':<28}{baseline:>9.2f}")
    print(f"{len(files)} files, {results['files_per_second']:.0f} per second, {total / baseline:.2f} × the baseline")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
