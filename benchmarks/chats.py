"""What does a chat turn cost beside the model? Overhead, open streams, long conversations, clients that leave.

    python -m benchmarks.chats [--clients 16] [--streams 1000] [--messages 2000] [--json FILE]

Starts an installation of its own with a scripted model server.

- overhead: clients ask one question after the other in sessions of their own; the answer has 50 tokens, 20 ms apart.
  The baseline is the same client talking to the model server directly; what a turn takes longer is the overhead.
  Once without a dataset, and once with one of 2000 chunks, where retrieval comes in.
- streams: open at the same time, 60 tokens a third of a second apart. Every answer has to be complete; memory is what
  the web process grows by from before the first to when all are open.
- messages: a turn in a session of so many messages, against one in an empty session, model without delay.

- leaving: clients hang up while a model is asked for them, in each kind of answer and at each of its stages; how long
  the model's connection stays open after that (the scripted server looks every 20 ms).

The targets: overhead without retrieval at most 10 ms (median) and 40 ms (p99), at most 60 KB per open stream, and a
long conversation answering as fast as an empty one (within a tenth), and models left within 0.2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2

from benchmarks.installation import Installation
from benchmarks.serving import (
    PER_DATASET,
    Connection,
    Language,
    Load,
    data_of,
    fill,
    model_server,
    p99,
    status_of,
    streams,
    table,
    web_process,
)
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from tests.e2e.leaving import CASES, leaver

QUICK = {"text": "Noted."}
SPOKEN = {"pieces": ["word "] * 50, "interval": 0.02}
SLOW = {"pieces": ["word "] * 60, "interval": 1 / 3}
TARGET = {"p50_ms": 10.0, "p99_ms": 40.0, "kb_per_stream": 60.0, "long_to_empty": 1.1, "left_after_ms": 200.0}
END = b'"data":true'


class Bench:
    """An installation, its model provider, and what is needed to ask."""

    def __init__(self, installation: Installation, provider: str) -> None:
        self.installation = installation
        self.provider = provider
        self.client = httpx2.Client(base_url=installation.url, headers=installation.headers, timeout=120)

    def post(self, path: str, body: dict) -> dict:
        return data_of(self.client.post(f"/api/v1/{path}", json=body))

    def script(self, reply: dict, count: int) -> None:
        root = self.provider.removesuffix("/v1")
        httpx2.post(f"{root}/script", json=[reply | {"endpoint": "chat"}] * count, timeout=60).raise_for_status()

    def forget_script(self) -> None:
        httpx2.post(f"{self.provider.removesuffix('/v1')}/reset", json={}).raise_for_status()

    def chat(self, name: str, datasets: Sequence[str] = ()) -> str:
        prompt = {"prompt": "Be brief. {knowledge}", "variables": [{"key": "knowledge", "optional": True}]}
        return self.post("chats", {"name": name, "prompt": prompt, "dataset_ids": list(datasets)})["id"]

    def session(self, chat: str) -> str:
        return self.post(f"chats/{chat}/sessions", {"name": "benchmark"})["id"]

    def dataset(self, folder: Path, language: Language) -> str:
        """Make a dataset with a parsed document, without which no chat takes it, and 2000 chunks beside it."""
        dataset = self.post("datasets", {"name": "benchmark"})["id"]
        path = f"/api/v1/datasets/{dataset}/documents"
        document = data_of(self.client.post(path, files={"file": ("a.txt", b"One sentence.")}))[0]["id"]
        self.client.post(f"/api/v1/datasets/{dataset}/chunks", json={"document_ids": [document]})
        while data_of(self.client.get(path))["docs"][0]["run"] != "DONE":
            time.sleep(0.2)
        store = EmbeddedDocStore(folder / "index.sqlite3")
        fill(store, language, dataset, PER_DATASET, 384)
        store.close()
        return dataset

    def url(self, chat: str) -> str:
        return f"{self.installation.url}/api/v1/chats/{chat}/completions"


async def turns(url: str, headers: dict[str, str], bodies: Sequence[dict], rounds: int, ends: bytes) -> list[float]:
    """Let one client per body ask so many times; return the seconds of each turn, to its last frame."""
    load = Load()

    async def one(number: int, body: dict) -> None:
        await asyncio.sleep(number / len(bodies))
        connection = Connection(url, headers)
        await connection.open()
        for _ in range(rounds):
            await connection.stream(body, load, ends=ends)
        connection.close()

    await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies)))
    return load.last


def measure_overhead(bench: Bench, dataset: str, questions: Sequence[str], clients: int) -> list[dict[str, float]]:
    rounds, rows = 10, []
    direct_url = f"{bench.provider}/chat/completions"
    direct_body = {
        "model": "scripted",
        "messages": [{"role": "user", "content": "Tell me"}],
        "stream": True,
        "stream_options": {"include_usage": True},  # as we ask; it makes one frame more
    }
    for name, datasets in (("plain", []), ("retrieval", [dataset])):
        chat = bench.chat(name, datasets)
        bodies = [
            {"question": questions[number], "stream": True, "session_id": bench.session(chat)}
            for number in range(clients)
        ]
        headers = bench.installation.headers
        bench.forget_script()
        bench.script(SPOKEN, clients * (2 * rounds + 1))
        asyncio.run(turns(bench.url(chat), headers, bodies, 1, END))
        direct: list[float] = []
        ours: list[float] = []
        for _ in range(rounds):  # by turns, so that whatever else the machine does meets both
            direct += asyncio.run(turns(direct_url, {}, [direct_body] * clients, 1, b"[DONE]"))
            ours += asyncio.run(turns(bench.url(chat), headers, bodies, 1, END))
        rows.append(
            {
                "clients": clients,
                "datasets": len(datasets),
                "turns": len(ours),
                "direct_p50_ms": statistics.median(direct) * 1000,
                "direct_p99_ms": p99(direct) * 1000,
                "overhead_p50_ms": (statistics.median(ours) - statistics.median(direct)) * 1000,
                "overhead_p99_ms": (p99(ours) - p99(direct)) * 1000,
            }
        )
    return rows


def measure_streams(bench: Bench, count: int) -> dict[str, float]:
    chat, headers = bench.chat("streams"), bench.installation.headers
    url = f"{bench.installation.url}/api/v1/chats_openai/{chat}/chat/completions"
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": True}
    bench.forget_script()
    bench.script(QUICK, 100)
    asyncio.run(streams(url, headers, body, 100))  # threads and modules are there
    bench.script(SLOW, count)
    pid = web_process(bench.installation.pid)
    before = status_of(pid, "VmRSS")
    peak = before

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, status_of(pid, "VmRSS"))
            await asyncio.sleep(0.2)

    async def both() -> Load:
        watcher = asyncio.create_task(watch())
        load = await streams(url, headers, body, count)
        watcher.cancel()
        return load

    load = asyncio.run(both())
    return {
        "streams": count,
        "answers_complete": len(load.first),
        "frames_per_answer": load.frames / count,
        "first_token_p50_ms": statistics.median(load.first) * 1000,
        "first_token_p99_ms": p99(load.first) * 1000,
        "kb_per_stream": (peak - before) / count,
    }


def measure_long_session(bench: Bench, messages: int) -> dict[str, float]:
    chat, headers = bench.chat("messages"), bench.installation.headers
    bench.forget_script()
    long = {"question": "And what then?", "stream": True, "session_id": bench.session(chat)}
    bench.script(QUICK, messages // 2 + 400)
    asyncio.run(turns(bench.url(chat), headers, [long], messages // 2, END))
    times: dict[str, list[float]] = {"empty": [], "long": []}
    for _ in range(100):  # by turns, so that whatever else the machine does meets both
        fresh = long | {"session_id": bench.session(chat)}
        times["empty"] += asyncio.run(turns(bench.url(chat), headers, [fresh], 1, END))
        times["long"] += asyncio.run(turns(bench.url(chat), headers, [long], 1, END))
    empty, full = statistics.median(times["empty"]), statistics.median(times["long"])
    return {
        "messages": messages,
        "empty_p50_ms": empty * 1000,
        "long_p50_ms": full * 1000,
        "long_to_empty": full / empty,
    }


def measure_leaving(folder: Path) -> list[dict]:
    with leaver(folder) as client:
        return [{"case": name, "left_after_ms": client.seconds_until_left(name) * 1000} for name in CASES]


def missed(results: dict) -> list[str]:
    plain, found = results["overhead"][0], []
    if plain["overhead_p50_ms"] > TARGET["p50_ms"] or plain["overhead_p99_ms"] > TARGET["p99_ms"]:
        found.append("overhead")
    open_streams = results["streams"]
    if open_streams["answers_complete"] < open_streams["streams"]:
        found.append("complete answers")
    if open_streams["kb_per_stream"] > TARGET["kb_per_stream"]:
        found.append("memory per stream")
    if max(row["left_after_ms"] for row in results["leaving"]) > TARGET["left_after_ms"]:
        found.append("models left in time")
    if results["long_session"]["long_to_empty"] > TARGET["long_to_empty"]:
        found.append("long session")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    results: dict = {}
    with tempfile.TemporaryDirectory() as name, model_server() as provider:
        folder = Path(name)
        scripted = {"OPENAI_BASE_URL": provider, "RAGFLOW_CHAT_MODEL": "scripted"}
        with Installation(folder, **scripted) as installation:
            bench, language = Bench(installation, provider), Language()
            dataset = bench.dataset(folder, language)
            questions = language.questions(options.clients)
            results["overhead"] = measure_overhead(bench, dataset, questions, options.clients)
            table(results["overhead"])
            results["streams"] = measure_streams(bench, options.streams)
            table([results["streams"]])
            results["long_session"] = measure_long_session(bench, options.messages)
            table([results["long_session"]])
    with tempfile.TemporaryDirectory() as name:
        results["leaving"] = measure_leaving(Path(name))
    for row in results["leaving"]:
        print(f"{row['left_after_ms']:7.1f} ms  {row['case']}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    for target in missed(results):
        print(f"missed: {target}", file=sys.stderr)
    return bool(missed(results))


if __name__ == "__main__":
    sys.exit(main())
