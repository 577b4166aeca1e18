"""Rerank models over HTTP. Providers agree on the idea and not on the names; a style says which ones are meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragflow.engine.calls import Spent, reported_usage, spend
from ragflow.engine.http import Endpoint, apost_json, malformed, post_json

PATIENCE = 5.0  # seconds a person waits when the provider asks for it


@dataclass(frozen=True, slots=True)
class Style:
    """How a provider is asked. Answers are understood in any of the known forms."""

    path: str
    body: Callable[[str, str, list[str]], dict[str, Any]]  # of model, query and texts


def _common(model: str, query: str, texts: list[str]) -> dict[str, Any]:
    return {"model": model, "query": query, "documents": texts, "top_n": len(texts)}


def _voyage(model: str, query: str, texts: list[str]) -> dict[str, Any]:
    return {"model": model, "query": query, "documents": texts, "top_k": len(texts)}


def _tei(_model: str, query: str, texts: list[str]) -> dict[str, Any]:
    return {"query": query, "texts": texts}


def _dashscope(model: str, query: str, texts: list[str]) -> dict[str, Any]:
    return {"model": model, "input": {"query": query, "documents": texts}, "parameters": {"top_n": len(texts)}}


STYLES: Mapping[str, Style] = {
    "": Style("rerank", _common),  # Jina, Cohere, vLLM, LocalAI, Xinference, SiliconFlow and others
    "voyage": Style("rerank", _voyage),
    "tei": Style("rerank", _tei),  # Text Embeddings Inference holds one model
    "dashscope": Style("services/rerank/text-rerank/text-rerank", _dashscope),
}


class HttpReranker:
    """`Reranker` over HTTP. Blank texts are not sent and score 0. `style` is a key of STYLES."""

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        name: str,
        style: str = "",
        batch: int = 32,
        timeout: float = 30.0,
        patience: float = PATIENCE,
        guarded: bool = False,
        account: str = "",
    ) -> None:
        self.name = name
        self._account = account
        self._model = model
        self._style = STYLES[style]
        self._endpoint = Endpoint(base_url, api_key, guarded)
        self._batch = batch
        self._timeout = timeout
        self._patience = patience

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = [0.0] * len(texts)
        written = [index for index, text in enumerate(texts) if text.strip()]
        raw: list[float] = []
        for start in range(0, len(written), self._batch):
            raw += self._score(query, [texts[index] for index in written[start : start + self._batch]])
        for index, score in zip(written, _to_unit_interval(raw), strict=True):
            scores[index] = score
        return scores

    async def acheck(self, query: str, text: str) -> None:
        """Ask for one score from the event loop. Raises ModelError unless the model gives it."""
        body = self._style.body(self._model, query, [text])
        answer = await apost_json(
            self._endpoint,
            self._style.path,
            body,
            kind="rerank",
            read_timeout=self._timeout,
            patience=self._patience,
        )
        self._scores(answer, 1)

    def _score(self, query: str, texts: list[str]) -> list[float]:
        body = self._style.body(self._model, query, texts)
        answer = post_json(
            self._endpoint,
            self._style.path,
            body,
            kind="rerank",
            read_timeout=self._timeout,
            patience=self._patience,
        )
        return self._scores(answer, len(texts))

    def _scores(self, answer: Any, count: int) -> list[float]:
        try:
            scores = dict(map(_index_and_score, _results(answer)))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise malformed(self._endpoint, "something that is not a list of relevance scores") from exc
        if set(scores) != set(range(count)) or not all(map(math.isfinite, scores.values())):
            raise malformed(self._endpoint, f"{len(scores)} usable relevance scores for {count} texts")
        if usage := reported_usage(answer):  # most count searches instead
            spend(Spent("rerank", self.name, self._account, usage))
        return [scores[index] for index in range(count)]


def _results(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the list of results; servers put it under `results`, `data` or `output.results`, or send it bare."""
    if isinstance(answer, list):
        return answer
    answer = answer.get("output") or answer
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
