"""What do datasets and documents cost when there are many? Over HTTP, against an installation of its own.

    python -m benchmarks.catalogue [--documents 113000] [--datasets 1000] [--rounds 8] [--json FILE]

Lists are measured in pairs, small and large in turn, so what else the machine does meets both: the ratio says whether a
page costs the same however many rows there are. The same goes for lists beside a deletion, and for uploads beside the
plain writing of the same bytes. The rows of the large dataset are written through the ORM, everything else over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.installation import Installation

BATCH = 2000
SMALL = 100  # documents of the small dataset
PAGE = 30
REPEATS = 40  # of a page
CHUNKS = 10_000  # of a dataset that is deleted
MOST_OF_A_PAGE = 1.5  # times that of a small list
MOST_BESIDE_DELETION = 1.1  # times the p95 of a list alone
BLOCK = os.urandom(1 << 20)


@dataclass(frozen=True)
class Line:
    """Milliseconds of an operation and of what it is compared with."""

    operation: str
    milliseconds: float
    baseline: float
    compared_with: str
    limit: float | None = None  # of the ratio

    @property
    def ratio(self) -> float:
        return self.milliseconds / self.baseline

    @property
    def passed(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


class Client:
    """A client of the installation that wants every answer to be a success."""

    def __init__(self, installation: Installation) -> None:
        self._http = httpx2.Client(base_url=installation.url, headers=installation.headers, timeout=300)

    def call(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        answer = self._http.request(method, f"/api/v1{path}", json=body, **extra).json()
        assert answer["code"] == 0, answer
        return answer.get("data")

    def create(self, name: str) -> str:
        return str(self.call("POST", "/datasets", {"name": name})["id"])

    def upload(self, dataset: str, files: list[tuple[str, bytes]]) -> list[str]:
        parts = [("file", file) for file in files]
        answer = self._http.post(f"/api/v1/datasets/{dataset}/documents", files=parts).json()
        assert answer["code"] == 0, answer
        return [document["id"] for document in answer["data"]]


def milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def in_turn(one: Callable[[], object], other: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Return the median milliseconds of both."""
    one(), other()
    pairs = [(milliseconds(one), milliseconds(other)) for _ in range(repeats)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


# -- rows that are there -------------------------------------------------------------------------------------------


def connect(folder: Path) -> None:
    """Let this process use the database of the installation."""
    os.environ.update(RAGFLOW_DATA_DIR=str(folder), DJANGO_SETTINGS_MODULE="ragflow.settings")
    import django

    django.setup()


def insert_documents(dataset_id: str, ids: Iterator[str] | None, count: int) -> None:
    """Write rows as uploads would, without bytes."""
    from django.db.models import F

    from apps.core.ids import new_id
    from apps.datasets.models import KnowledgeBase
    from apps.documents.models import Document

    dataset = KnowledgeBase.objects.get(pk=dataset_id)
    for start in range(0, count, BATCH):
        rows = []
        for number in range(start, min(start + BATCH, count)):
            document_id, name = next(ids) if ids else new_id(), f"report {number:06}.txt"
            rows.append(
                Document(
                    id=document_id,
                    dataset=dataset,
                    created_by=dataset.tenant_id,
                    name=name,
                    name_key=name,
                    suffix="txt",
                    location=f"{dataset_id}/{document_id}",
                    size=1000,
                    type="doc",
                    chunk_method=dataset.chunk_method,
                    parser_config=dataset.parser_config,
                )
            )
        Document.objects.bulk_create(rows)
    KnowledgeBase.objects.filter(pk=dataset_id).update(document_count=F("document_count") + count)


# -- measurements --------------------------------------------------------------------------------------------------


def measure_datasets(client: Client, count: int) -> Iterator[Line]:
    first = [milliseconds(lambda name=f"set {number}": client.create(name)) for number in range(PAGE * 2)]

    def page(number: int) -> float:
        path = f"/datasets?page={number}&page_size={PAGE}"
        return statistics.median(milliseconds(lambda: client.call("GET", path)) for _ in range(REPEATS))

    few = page(1)
    for number in range(len(first), count - PAGE):
        client.create(f"set {number}")
    last = [milliseconds(lambda name=f"set {number}": client.create(name)) for number in range(count - PAGE, count)]
    many, end = page(1), page(count // PAGE)
    yield Line(f"create a dataset, {count} there", statistics.median(last), statistics.median(first), "the first 60")
    yield Line(f"page of {count} datasets", many, few, "of 60", MOST_OF_A_PAGE)
    yield Line(f"last page of {count} datasets", end, many, "first page", MOST_OF_A_PAGE)


def measure_documents(client: Client, count: int) -> Iterator[Line]:
    small, large = client.create("small"), client.create("large")
    insert_documents(small, None, SMALL)
    started = time.perf_counter()
    insert_documents(large, None, count)
    print(f"{count} rows written in {time.perf_counter() - started:.1f} s", flush=True)

    def list_(dataset: str, query: str) -> Callable[[], object]:
        return lambda: client.call("GET", f"/datasets/{dataset}/documents?page_size={PAGE}&{query}")

    for name, query, limit in [
        ("first page", "page=1", MOST_OF_A_PAGE),
        ("first page, oldest first", "desc=false", MOST_OF_A_PAGE),
        ("page by name", "name=report 000042.txt", MOST_OF_A_PAGE),
        ("first page by time of update", "orderby=update_time", MOST_OF_A_PAGE),
        ("first page of a keyword", "keywords=0042", None),
        ("first page of a state that all have", "run=UNSTART", None),
        ("first page of a state that none has", "run=FAIL", MOST_OF_A_PAGE),
    ]:
        many, few = in_turn(list_(large, query), list_(small, query))
        yield Line(f"{name}, {count} documents", many, few, f"{SMALL} documents", limit)
    for name, number in [("last", count // PAGE), ("middle", count // PAGE // 2)]:
        far, first = in_turn(list_(large, f"page={number}"), list_(large, "page=1"))
        yield Line(f"{name} page, {count} documents", far, first, "first page", MOST_OF_A_PAGE)

    files = [(f"new {number}.txt", b"Some words.") for number in range(10)]
    many, few = in_turn(lambda: client.upload(large, files), lambda: client.upload(small, files), 10)
    yield Line(f"upload 10 files to {count} documents", many, few, f"to {SMALL} documents")
    yield from measure_parsing(client, small, large)


def measure_parsing(client: Client, small: str, large: str) -> Iterator[Line]:
    """Queue documents and stop them again."""
    times: dict[str, list[float]] = {small: [], large: []}
    for _ in range(10):
        for dataset, measured in times.items():
            ids = client.upload(dataset, [(f"parse {number}.txt", b"Some words.") for number in range(10)])
            body = {"document_ids": ids}
            measured.append(
                milliseconds(
                    lambda dataset=dataset, body=body: client.call("POST", f"/datasets/{dataset}/chunks", body)
                )
            )
    yield Line(
        "queue 10 documents for parsing, many there",
        statistics.median(times[large]),
        statistics.median(times[small]),
        "few",
    )

    def delete(dataset: str) -> float:
        ids = client.upload(dataset, [(f"delete {number}.txt", b"Some words.") for number in range(10)])
        return milliseconds(lambda: client.call("DELETE", f"/datasets/{dataset}/documents", {"ids": ids}))

    pairs = [(delete(large), delete(small)) for _ in range(10)]
    many, few = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield Line("delete 10 documents, many there", many, few, "few")


def measure_uploads(client: Client, folder: Path) -> Iterator[Line]:
    dataset = client.create("uploads")
    numbers = iter(range(1_000_000))
    for name, count, size in [("100 files of 10 KB", 100, 10_000), ("1 file of 32 MB", 1, 32 << 20)]:
        content = (BLOCK * (size // len(BLOCK) + 1))[:size]

        def upload(count: int = count, content: bytes = content) -> None:
            client.upload(dataset, [(f"{next(numbers)}.txt", content) for _ in range(count)])

        def write(count: int = count, content: bytes = content) -> None:
            place = folder / "plain"
            place.mkdir(exist_ok=True)
            for _ in range(count):
                (place / str(next(numbers))).write_bytes(content)

        ours, plain = in_turn(upload, write, 7)
        speed = count * size / 1e6 / (ours / 1000)
        yield Line(f"upload {name} ({speed:.0f} MB/s)", ours, plain, "plain writes")


def measure_deletion(installation: Installation, client: Client, folder: Path, rounds: int) -> Iterator[Line]:
    """List while a dataset of 10,000 chunks is deleted, and as long without; then the same without any deletion."""
    from benchmarks.serving import Language
    from benchmarks.serving import fill as fill_index
    from ragflow.engine.docstore.embedded import EmbeddedDocStore

    listed = client.create("listed")
    insert_documents(listed, None, SMALL)
    store, language = EmbeddedDocStore(folder / "index.sqlite3"), Language()
    beside: list[float] = []
    alone: list[float] = []
    control: list[float] = []
    took = []
    for number in range(rounds):
        victim = client.create(f"victim {number}")
        fill_index(store, language, victim, CHUNKS, 384)
        insert_documents(victim, (f"{victim[:16]}{start:016x}" for start in range(0, CHUNKS, 1000)), CHUNKS // 1000)
        deleter = Client(installation)
        with listing(installation, listed) as times:
            took.append(milliseconds(lambda victim=victim, by=deleter: delete_whole(by, victim)))
        beside += times
        for quiet in (alone, control):
            with listing(installation, listed) as times:
                time.sleep(took[-1] / 1000)
            quiet.extend(times)
    store.close()
    print(f"{len(beside)} lists beside {rounds} deletions of {statistics.median(took):.0f} ms", flush=True)
    name = f"p95 of a list while {CHUNKS} chunks are deleted"
    yield Line(name, p95(beside), p95(alone), "p95 alone", MOST_BESIDE_DELETION)
    yield Line("p95 of a list alone", p95(control), p95(alone), "the same again (noise)")


def delete_whole(client: Client, dataset: str) -> None:
    """Delete a dataset, and wait until a worker has removed what it held."""
    from apps.datasets.models import KnowledgeBase

    client.call("DELETE", "/datasets", {"ids": [dataset]})
    while KnowledgeBase.objects.filter(pk=dataset).exists():
        time.sleep(0.25)  # seldom: this process lists meanwhile


@contextmanager
def listing(installation: Installation, dataset: str) -> Iterator[list[float]]:
    """List documents one time after the other in another thread, and note the milliseconds of each."""
    client, times, over = Client(installation), [], threading.Event()
    client.call("GET", f"/datasets/{dataset}/documents")

    def run() -> None:
        while not over.is_set():
            times.append(milliseconds(lambda: client.call("GET", f"/datasets/{dataset}/documents")))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


# -- report --------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=113_000)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=8, help="deletions beside lists")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        connect(folder)
        with Installation(folder) as installation:
            client = Client(installation)
            print(f"{'operation':56} {'ms':>8} {'baseline':>8} {'ratio':>6}")
            for measured in (
                measure_datasets(client, options.datasets),
                measure_documents(client, options.documents),
                measure_uploads(client, folder),
                measure_deletion(installation, client, folder, options.rounds),
            ):
                for line in measured:
                    mark = "" if line.passed else f"  more than {line.limit:g}"
                    figures = f"{line.milliseconds:8.1f} {line.baseline:8.1f} {line.ratio:6.2f}"
                    print(f"{line.operation:56} {figures}  {line.compared_with}{mark}", flush=True)
                    lines.append(line)
    if options.json:
        results = [asdict(line) | {"ratio": line.ratio} for line in lines]
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return not all(line.passed for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
