"""Rerank models behind the common /rerank endpoint (Jina, Cohere, vLLM, Text Embeddings Inference)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ragflow.engine.http import Endpoint, malformed, post_json

PATIENCE = 5.0  # seconds a person waits when the provider asks for it


class HttpReranker:
    """`Reranker` over HTTP. Blank texts are not sent and score 0."""

    def __init__(
        self, model: str, base_url: str, api_key: str, *, name: str, batch: int = 32, timeout: float = 30.0
    ) -> None:
        self.name = name
        self._model = model
        self._endpoint = Endpoint(base_url, api_key)
        self._batch = batch
        self._timeout = timeout

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = [0.0] * len(texts)
        written = [index for index, text in enumerate(texts) if text.strip()]
        raw: list[float] = []
        for start in range(0, len(written), self._batch):
            raw += self._score(query, [texts[index] for index in written[start : start + self._batch]])
        for index, score in zip(written, _to_unit_interval(raw), strict=True):
            scores[index] = score
        return scores

    def _score(self, query: str, texts: Sequence[str]) -> list[float]:
        body = {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}
        answer = post_json(self._endpoint, "rerank", body, read_timeout=self._timeout, patience=PATIENCE)
        try:
            scores = dict(map(_index_and_score, _results(answer)))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(self._endpoint, "something that is not a list of relevance scores") from exc
        if set(scores) != set(range(len(texts))) or not all(map(math.isfinite, scores.values())):
            raise malformed(self._endpoint, f"{len(scores)} usable relevance scores for {len(texts)} texts")
        return [scores[index] for index in range(len(texts))]


def _results(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the list of results; servers put it under `results`, under `data`, or send it bare."""
    if isinstance(answer, list):
        return answer
    results: Sequence[Mapping[str, Any]] = answer["results"] if "results" in answer else answer["data"]
    return results


def _index_and_score(result: Mapping[str, Any]) -> tuple[int, float]:
    score = result["relevance_score"] if "relevance_score" in result else result["score"]
    return int(result["index"]), float(score)


def _to_unit_interval(scores: Sequence[float]) -> list[float]:
    """Return scores within 0..1. Models that give logits get the logistic function, which keeps the order."""
    if all(0.0 <= score <= 1.0 for score in scores):
        return list(scores)
    return [0.5 + 0.5 * math.tanh(score / 2) for score in scores]
