"""What does the server cost? Streams, retrieval over HTTP, memory and start, against what is behind it.

    python -m benchmarks.serving [--streams 1,100,500] [--chunks 10000,100000] [--seconds 5] [--json FILE]

Starts an installation of its own. Streams come from a scripted model server (200 tokens, 20 ms apart); the baseline is
the same client talking to the model server directly. Retrieval is hybrid, over chunks written straight into the index,
in datasets of 2000 and, at the largest size, in one dataset; the baseline is the engine without HTTP, one query after
the other. No question is asked twice, so each is embedded. CPU is that of the web process.

The target: 100 000 chunks in datasets of 2000, 16 clients, at least 100 requests per second on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import numpy as np

from benchmarks.installation import Installation
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.ids import chunk_id
from ragflow.engine.registry import ModelSettings, Registry
from ragflow.engine.retrieval import RetrievalRequest, retrieve
from ragflow.engine.types import Chunk

TOKENS, INTERVAL = 200, 0.02
VOCABULARY, STOP_WORDS = 50_000, 100
Question = tuple[str, str]  # dataset, text
TICKS = os.sysconf("SC_CLK_TCK")
PER_DATASET = 2_000
TARGET = {"chunks": 100_000, "datasets": 50, "clients": 16, "requests_per_second": 100.0}


# -- a client that costs little itself -----------------------------------------------------------------------------


@dataclass
class Load:
    """What a number of concurrent clients saw. Times in seconds."""

    first: list[float] = field(default_factory=list)  # to the first frame or the whole answer
    last: list[float] = field(default_factory=list)  # to the frame that ends a stream; the body may end later
    frames: int = 0


class Connection:
    """One kept-alive connection that posts JSON."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._address = urlsplit(url)
        lines = [f"POST {self._address.path} HTTP/1.1", f"Host: {self._address.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = "\r\n".join([*lines, "Content-Type: application/json", ""])

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)

    def close(self) -> None:
        self._writer.close()

    async def stream(self, body: object, load: Load, ends: bytes = b"[DONE]") -> None:
        """Read an event stream to its end."""
        started = time.perf_counter()
        head = await self._send(body)
        assert b" 200 " in head.split(b"\r\n")[0], head
        last_chunk = b"0\r\n\r\n" if b"chunked" in head.lower() else b""
        tail, frames, has_ended = b"", 0, False
        while not (has_ended and tail.endswith(last_chunk)):
            block = await self._reader.read(65536)
            assert block, "the stream was cut"
            if not frames:
                load.first.append(time.perf_counter() - started)
            frames += block.count(b"data:")
            tail = tail[-64:] + block
            if ends in tail and not has_ended:
                has_ended = True
                load.last.append(time.perf_counter() - started)
        load.frames += frames

    async def ask(self, body: object, load: Load) -> bytes:
        """Read one whole answer."""
        started = time.perf_counter()
        head = await self._send(body)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        load.first.append(time.perf_counter() - started)
        return answer

    async def _send(self, body: object) -> bytes:
        content = json.dumps(body).encode()
        self._writer.write(f"{self._head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return await self._reader.readuntil(b"\r\n\r\n")


@contextmanager
def model_server() -> Iterator[str]:
    """Run the scripted model server in a process of its own; give its URL."""
    command = [sys.executable, "-m", "tests.tools.model_server", "--tokens", str(TOKENS), "--interval", str(INTERVAL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


# -- streams -------------------------------------------------------------------------------------------------------


async def streams(url: str, headers: dict[str, str], body: object, count: int) -> Load:
    """Read so many streams at once; they begin within one second."""
    load = Load()

    async def one(number: int) -> None:
        connection = Connection(url, headers)
        await asyncio.sleep(number / count)
        await connection.open()
        await connection.stream(body, load)
        connection.close()

    await asyncio.gather(*(one(number) for number in range(count)))
    return load


def measure_streams(installation: Installation, provider: str, counts: list[int]) -> list[dict[str, float]]:
    with httpx2.Client(base_url=installation.url, headers=installation.headers, timeout=60) as client:
        prompt = {"prompt": "Be brief. {knowledge}", "variables": [{"key": "knowledge", "optional": True}]}
        chat = data_of(client.post("/api/v1/chats", json={"name": "benchmark", "prompt": prompt}))["id"]
    url = f"{installation.url}/api/v1/chats_openai/{chat}/chat/completions"
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": True}
    asyncio.run(streams(url, installation.headers, body, 1))  # the first stream imports the provider's client

    rows = []
    for count in counts:
        direct = asyncio.run(streams(f"{provider}/chat/completions", {}, body, count))
        with cpu_of(web_process(installation.pid)) as used:
            ours = asyncio.run(streams(url, installation.headers, body, count))
        rows.append(
            {
                "streams": count,
                "first_token_p50_ms": statistics.median(ours.first) * 1000,
                "first_token_p99_ms": p99(ours.first) * 1000,
                "direct_p50_ms": statistics.median(direct.first) * 1000,
                "direct_p99_ms": p99(direct.first) * 1000,
                "cpu_us_per_token": used[0] / ours.frames * 1e6,
                "threads": threads_of(web_process(installation.pid)),
            }
        )
    return rows


# -- retrieval -----------------------------------------------------------------------------------------------------


class Language:
    """Random words with the frequencies of a natural language (Zipf). Seeded.

    A question of four of them has 11 wordpieces, about as many as one of XQuAD (12.6).
    """

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        syllables = np.array([consonant + vowel for consonant in "bcdfghklmnprstvz" for vowel in "aeiou"])
        self.words = np.array(["".join(word) for word in self._random.choice(syllables, (VOCABULARY, 3))])
        weights = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
        self._weights = weights / weights.sum()
        self._rare = weights[STOP_WORDS:] / weights[STOP_WORDS:].sum()

    def texts(self, count: int) -> list[str]:
        drawn = self._random.choice(self.words, (count, 100), p=self._weights)
        return [" ".join(words) for words in drawn]

    def questions(self, count: int) -> list[str]:
        """Return four words each, none of the commonest."""
        drawn = self._random.choice(self.words[STOP_WORDS:], (count, 4), p=self._rare)
        return [" ".join(words) for words in drawn]

    def vectors(self, count: int, dimension: int) -> np.ndarray:
        drawn = self._random.standard_normal((count, dimension), dtype=np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def fill(store: EmbeddedDocStore, language: Language, dataset_id: str, count: int, dimension: int) -> None:
    """Write so many chunks into a dataset, a thousand per document."""
    for start in range(0, count, 1000):
        document = f"{dataset_id[:16]}{start:016x}"
        chunks = [
            Chunk(chunk_id(text, document), dataset_id, document, f"{start}.txt", text, order=number, token_count=100)
            for number, text in enumerate(language.texts(1000))
        ]
        store.upsert(chunks, language.vectors(1000, dimension))


async def ask_for(seconds: float, url: str, headers: dict[str, str], asked: Iterator[Question], clients: int) -> Load:
    """Let so many clients ask one question after the other."""
    load, end = Load(), time.perf_counter() + seconds

    async def one() -> None:
        connection = Connection(url, headers)
        await connection.open()
        while time.perf_counter() < end:
            dataset_id, question = next(asked)
            body = {"dataset_ids": [dataset_id], "question": question, "page_size": 10, "similarity_threshold": 0.0}
            answer = json.loads(await connection.ask(body, load))
            assert answer["code"] == 0, answer
            assert answer["data"]["chunks"], answer
        connection.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return load


def engine_alone(store: EmbeddedDocStore, asked: Iterator[Question], seconds: float) -> float:
    """Return the queries per second of the engine, without HTTP, in one thread."""
    embedder = Registry(ModelSettings(threads=1)).embedder("")

    def answer(dataset_id: str, question: str) -> None:
        request = RetrievalRequest(question, (dataset_id,), page_size=10, similarity_threshold=0.0, highlight=True)
        retrieve(store, request, embedder=embedder)

    for _ in range(100):
        answer(*next(asked))  # loads the model and the vectors
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        answer(*next(asked))
        done += 1
    return done / seconds


def measure_retrieval(
    installation: Installation, index: Path, sizes: list[int], seconds: float
) -> list[dict[str, float]]:
    dimension = Registry(ModelSettings(threads=1)).embedder("").dimension
    store, language, rows = EmbeddedDocStore(index), Language(), []
    url = f"{installation.url}/api/v1/retrieval"
    for size, per_dataset in [*((size, PER_DATASET) for size in sizes), (max(sizes), max(sizes))]:
        with httpx2.Client(base_url=installation.url, headers=installation.headers, timeout=60) as client:
            names = [f"{per_dataset} of {size}: {start}" for start in range(0, size, per_dataset)]
            ids = [data_of(client.post("/api/v1/datasets", json={"name": name}))["id"] for name in names]
        for id_ in ids:
            fill(store, language, id_, per_dataset, dimension)
        asked = zip(itertools.cycle(ids), language.questions(20_000), strict=False)
        alone = engine_alone(store, asked, seconds)
        asyncio.run(ask_for(2.0, url, installation.headers, asked, 8))  # every thread has loaded what it needs
        for clients in (1, 16):
            with cpu_of(web_process(installation.pid)) as used:
                load = asyncio.run(ask_for(seconds, url, installation.headers, asked, clients))
            rows.append(
                {
                    "chunks": size,
                    "datasets": len(ids),
                    "clients": clients,
                    "requests_per_second": len(load.first) / seconds,
                    "p50_ms": statistics.median(load.first) * 1000,
                    "p99_ms": p99(load.first) * 1000,
                    "cpu_ms_per_request": used[0] / len(load.first) * 1000,
                    "engine_alone_per_second": alone,
                }
            )
    store.close()
    return rows


# -- processes -----------------------------------------------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def web_process(supervisor: int) -> int:
    for pid in children_of(supervisor):
        if b"ragflow.web" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise RuntimeError("There is no web process.")


def status_of(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


def threads_of(pid: int) -> int:
    return status_of(pid, "Threads")


def memory_of(supervisor: int) -> dict[str, float]:
    """Return the resident megabytes of every process of an installation."""
    found = {}
    for pid in [supervisor, *children_of(supervisor)]:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        name = next((word for word in words if word.startswith("ragflow.")), "watcher")
        found[name] = found.get(name, 0.0) + status_of(pid, "VmRSS") / 1024
    return found


@contextmanager
def cpu_of(pid: int) -> Iterator[list[float]]:
    """Measure the CPU seconds that a process uses meanwhile, into the list that is given."""

    def now() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    used = [0.0]
    before = now()
    yield used
    used[0] = now() - before


# -- report --------------------------------------------------------------------------------------------------------


def data_of(response: httpx2.Response) -> dict:
    body = response.json()
    assert body["code"] == 0, body
    return body["data"]


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def table(rows: list[dict[str, float]]) -> None:
    names = list(rows[0])
    print("  ".join(f"{name:>{max(len(name), 7)}}" for name in names))
    for row in rows:
        print(
            "  ".join(
                f"{row[name]:>{max(len(name), 7)}.{0 if float(row[name]).is_integer() else 1}f}" for name in names
            )
        )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=_numbers, default=[1, 100, 500])
    parser.add_argument("--chunks", type=_numbers, default=[10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name, model_server() as provider:
        folder = Path(name)
        scripted = {"OPENAI_BASE_URL": provider, "RAGFLOW_CHAT_MODEL": "scripted"}
        with Installation(folder, **scripted):
            pass  # the second start finds everything in place
        with Installation(folder, **scripted) as installation:
            results["start_seconds"] = installation.start_seconds
            results["idle_memory_mb"] = memory_of(installation.pid)
            print(f"start {installation.start_seconds:.1f} s, idle", results["idle_memory_mb"])
            if options.streams:
                results["streams"] = measure_streams(installation, provider, options.streams)
                table(results["streams"])
            if options.chunks:
                results["retrieval"] = measure_retrieval(
                    installation, folder / "index.sqlite3", options.chunks, options.seconds
                )
                table(results["retrieval"])
            results["memory_after_mb"] = memory_of(installation.pid)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return int(_misses_target(results.get("retrieval", [])))


def _misses_target(rows: list[dict[str, float]]) -> bool:
    for row in rows:
        if all(row[name] == TARGET[name] for name in ("chunks", "datasets", "clients")):
            return row["requests_per_second"] < TARGET["requests_per_second"]
    return False


if __name__ == "__main__":
    sys.exit(main())
