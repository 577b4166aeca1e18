"""What does the embedded store cost beside raw SQLite and numpy on the same data, at the same moment?

    python -m benchmarks.docstore [--chunks 20000] [--json FILE]

Baselines, all in CPU time of this process:
V  the product of one dataset's matrix, in memory, with the query vector, and argpartition
T  raw FTS5: MATCH ... AND rowid BETWEEN ... ORDER BY rank LIMIT 64
F  raw FTS5: insert of the same text in transactions of 512 rows
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server does; read when numpy is imported

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ragflow.engine.docstore.base import Candidates, SearchRequest
from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.retrieval.fusion import best_first, fuse
from ragflow.engine.types import Chunk, Matrix, Vector

PER_DATASET = 2_000
DOCUMENTS_PER_DATASET = 100
DIMENSION = 384
VOCABULARY = 50_000
STOP_WORDS = 100  # the commonest words, which questions do not use
QUERIES = 60
REPEATS = 3  # of which the fastest counts
BATCH = 512
TOP = 64


@dataclass(frozen=True)
class Line:
    operation: str
    measured: float
    target: float
    unit: str
    better: str  # "low" or "high"

    @property
    def passed(self) -> bool:
        return self.measured <= self.target if self.better == "low" else self.measured >= self.target


@dataclass(frozen=True)
class Query:
    dataset: int
    words: list[str]
    vector: Vector

    @property
    def request(self) -> SearchRequest:
        return SearchRequest((f"dataset{self.dataset}",), " ".join(self.words), self.vector, top_k=TOP, text_limit=TOP)


class Corpus:
    """Synthetic chunks: Zipf words with a topic per dataset, vectors from a mixture of Gaussians. Seeded."""

    def __init__(self, chunks: int) -> None:
        self._random = np.random.default_rng(7)
        self.datasets, self.per_dataset = max(chunks // PER_DATASET, 1), min(chunks, PER_DATASET)
        self.words = np.array([self._word() for _ in range(VOCABULARY)])
        weights = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
        self._weights = weights / weights.sum()
        self._centres = self._random.normal(size=(256, DIMENSION)).astype(np.float32)
        self.texts: list[list[str]] = []
        self.vectors: list[Matrix] = []
        for _ in range(self.datasets):
            topic = self._random.permutation(VOCABULARY)
            self.texts.append([self._text(topic) for _ in range(self.per_dataset)])
            self.vectors.append(self._matrix(self.per_dataset))

    def _word(self) -> str:
        return "".join(self._random.choice(list("abcdefghijklmnopqrstuvwxyz"), self._random.integers(3, 10)))

    def _text(self, topic: np.ndarray) -> str:
        drawn = self._random.choice(VOCABULARY, self._random.integers(90, 150), p=self._weights)
        return " ".join(self.words[np.where(self._random.random(len(drawn)) < 0.5, topic[drawn], drawn)])

    def _matrix(self, rows: int) -> Matrix:
        centres = self._centres[self._random.integers(len(self._centres), size=rows)]
        matrix = centres + self._random.normal(size=(rows, DIMENSION)).astype(np.float32)
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    def chunks(self, dataset: int) -> list[Chunk]:
        size = max(self.per_dataset // DOCUMENTS_PER_DATASET, 1)
        return [
            Chunk(
                id=f"{dataset:04x}{n:012x}",
                dataset_id=f"dataset{dataset}",
                document_id=f"document{dataset}-{n // size}",
                document_name=f"document{dataset}-{n // size}.txt",
                content=text,
                order=n % size,
                token_count=200,
            )
            for n, text in enumerate(self.texts[dataset])
        ]

    def queries(self) -> list[Query]:
        common = set(self.words[:STOP_WORDS])
        queries = []
        for _ in range(QUERIES):
            dataset, row = int(self._random.integers(self.datasets)), int(self._random.integers(self.per_dataset))
            words = list(dict.fromkeys(word for word in self.texts[dataset][row].split() if word not in common))
            vector = self.vectors[dataset][row] + 0.03 * self._random.normal(size=DIMENSION).astype(np.float32)
            picked = [str(word) for word in self._random.permutation(words)[:6]]
            queries.append(Query(dataset, picked, (vector / np.linalg.norm(vector)).astype(np.float32)))
        return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = Corpus(arguments.chunks)
    with tempfile.TemporaryDirectory() as folder:
        lines = list(measure(corpus, Path(folder)))
    for line in lines:
        verdict = "passed" if line.passed else "FAILED"
        sign = "<=" if line.better == "low" else ">="
        print(f"{line.operation:52} {line.measured:8.3f} {line.unit:14} {sign} {line.target:<5g} {verdict}")
    if arguments.json:
        results = [asdict(line) | {"passed": line.passed} for line in lines]
        arguments.json.write_text(json.dumps({"chunks": arguments.chunks, "results": results}, indent=2) + "\n")
    if not all(line.passed for line in lines):
        raise SystemExit(1)


def measure(corpus: Corpus, folder: Path) -> Iterator[Line]:
    raw, store = open_raw(folder / "raw.db"), EmbeddedDocStore(folder / "store.db")
    raw_ingest, ingest = build(corpus, raw, store)
    yield Line("ingest", raw_ingest / ingest, 0.4, "F", "high")

    queries = corpus.queries()
    v = cost(queries, lambda query: nearest(corpus.vectors[query.dataset], query.vector))
    t = cost(queries, lambda query: raw_text(raw, query))
    print(f"{corpus.datasets} datasets of {corpus.per_dataset} chunks")
    print(f"V {v:.3f} ms, T {t:.3f} ms, F {raw_ingest * 1e6:.0f} us per chunk\n")

    yield Line("recall@10 of the vector side", recall(corpus, store, queries), 1.0, "", "high")
    yield Line(
        "vector, 1 dataset", cost(queries, lambda q: store.search(replace(q.request, text=""))) / v, 1.5, "V", "low"
    )
    yield Line(
        "text, 1 dataset", cost(queries, lambda q: store.search(replace(q.request, vector=None))) / t, 1.5, "T", "low"
    )
    single = cost(queries, lambda query: hybrid(store, query.request))
    yield Line("hybrid top 10 with rows, 1 dataset", single / (t + v), 1.5, "(T+V)", "low")
    five = cost(
        queries, lambda query: hybrid(store, replace(query.request, dataset_ids=some_datasets(corpus, query, 5)))
    )
    yield Line("hybrid, 5 datasets", five / single, 5, "one dataset", "low")
    hundred = cost(queries, lambda query: hybrid(store, hundred_documents(corpus, query)))
    yield Line("hybrid, 100 documents", hundred / single, 7, "one dataset", "low")
    yield Line("8 in flight", in_flight(store, queries) / single, 2, "one at a time", "low")
    yield from reads(store, queries, t)
    yield from refreshes(corpus, store, queries, v)
    store.close()
    raw.close()


def open_raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA mmap_size = 268435456")
    connection.execute("CREATE VIRTUAL TABLE text USING fts5 (content, tokenize = 'porter unicode61')")
    return connection


def build(corpus: Corpus, raw: sqlite3.Connection, store: EmbeddedDocStore) -> tuple[float, float]:
    """Fill both, dataset by dataset in turns; return the CPU seconds per chunk of each."""
    raw_spent = spent = 0.0
    for dataset, texts in enumerate(corpus.texts):
        chunks, vectors = corpus.chunks(dataset), corpus.vectors[dataset]
        started = time.process_time()
        for start in range(0, len(texts), BATCH):
            rows = [((dataset + 1 << 32) + start + n, text) for n, text in enumerate(texts[start : start + BATCH])]
            raw.execute("BEGIN")
            raw.executemany("INSERT INTO text (rowid, content) VALUES (?, ?)", rows)
            raw.execute("COMMIT")
        turned = time.process_time()
        for start in range(0, len(chunks), BATCH):
            store.upsert(chunks[start : start + BATCH], vectors[start : start + BATCH])
        raw_spent, spent = raw_spent + turned - started, spent + time.process_time() - turned
    total = corpus.per_dataset * corpus.datasets
    return raw_spent / total, spent / total


def cost(queries: Sequence[Query], operation: Callable[[Query], object]) -> float:
    """Return the CPU ms of one operation, warm."""
    for query in queries:
        operation(query)
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        for query in queries:
            operation(query)
        best = min(best, time.process_time() - started)
    return best / len(queries) * 1e3


def nearest(matrix: Matrix, vector: Vector) -> np.ndarray:
    scores = matrix @ vector
    return np.argpartition(scores, -min(TOP, len(scores)))[-TOP:]


def raw_text(connection: sqlite3.Connection, query: Query) -> list[tuple[int, float]]:
    return connection.execute(
        "SELECT rowid, rank FROM text WHERE text MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rank LIMIT ?",
        (" OR ".join(query.words), query.dataset + 1 << 32, (query.dataset + 2 << 32) - 1, TOP),
    ).fetchall()


def hybrid(store: EmbeddedDocStore, request: SearchRequest) -> list[Chunk | None]:
    candidates = store.search(request)
    ranking = fuse(candidates, weight=0.5, boost=np.zeros(len(candidates)))
    return store.load(list(candidates.handles[best_first(ranking, np.arange(len(candidates)))[:10]]))


def some_datasets(corpus: Corpus, query: Query, count: int) -> tuple[str, ...]:
    return tuple(f"dataset{(query.dataset + n) % corpus.datasets}" for n in range(min(count, corpus.datasets)))


def hundred_documents(corpus: Corpus, query: Query) -> SearchRequest:
    """The same number of documents of each dataset, so that every dataset is searched."""
    each = max(100 // corpus.datasets, 1)
    documents = tuple(
        f"document{dataset}-{(query.dataset + n) % DOCUMENTS_PER_DATASET}"
        for dataset in range(corpus.datasets)
        for n in range(each)
    )
    everywhere = some_datasets(corpus, query, corpus.datasets)
    return replace(query.request, dataset_ids=everywhere, document_ids=documents)


def recall(corpus: Corpus, store: EmbeddedDocStore, queries: Sequence[Query]) -> float:
    shares = []
    for query in queries:
        scores = corpus.vectors[query.dataset] @ query.vector
        truth = {f"{query.dataset:04x}{row:012x}" for row in np.argsort(-scores)[:10]}
        candidates: Candidates = store.search(replace(query.request, text=""))
        best = np.argsort(-candidates.cosine)[:10]
        found = {chunk.id for chunk in store.load(list(candidates.handles[best])) if chunk}
        shares.append(len(found & truth) / len(truth))
    return sum(shares) / len(shares)


def in_flight(store: EmbeddedDocStore, queries: Sequence[Query]) -> float:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda query: hybrid(store, query.request), queries))
        started = time.process_time()
        for _ in range(REPEATS):
            list(pool.map(lambda query: hybrid(store, query.request), queries))
        return (time.process_time() - started) / len(queries) / REPEATS * 1e3


def reads(store: EmbeddedDocStore, queries: Sequence[Query], t: float) -> Iterator[Line]:
    get = cost(queries, lambda query: store.get([f"dataset{query.dataset}"], f"{query.dataset:04x}{7:012x}"))
    yield Line("get by id", get / t, 0.2, "T", "low")
    listing = cost(
        queries,
        lambda query: store.list_chunks(f"dataset{query.dataset}", f"document{query.dataset}-3", offset=0, limit=10),
    )
    yield Line("list a page with the total", listing / t, 0.2, "T", "low")


def refreshes(corpus: Corpus, store: EmbeddedDocStore, queries: Sequence[Query], v: float) -> Iterator[Line]:
    """What the first search after a change costs."""
    appended, missed = [], []
    for number, query in enumerate(queries[:20]):
        request = replace(query.request, text="")
        store.search(request)
        dataset = f"dataset{query.dataset}"
        chunks = [
            Chunk(f"new{number:04}{n:09}", dataset, "new", "new.txt", corpus.texts[query.dataset][n]) for n in range(64)
        ]
        store.upsert(chunks, corpus.vectors[query.dataset][:64])
        appended.append(once(store, request))
        store.set_available(dataset, "new", False)
        missed.append(once(store, request))
    yield Line("vector, 64 appended since", float(np.median(appended)) / v, 6, "V", "low")
    yield Line("vector, cache miss", float(np.median(missed)) / v, 50, "V", "low")


def once(store: EmbeddedDocStore, request: SearchRequest) -> float:
    started = time.process_time()
    store.search(request)
    return (time.process_time() - started) * 1e3


if __name__ == "__main__":
    main()
