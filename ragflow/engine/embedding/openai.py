"""Embedding models of any provider with OpenAI's /embeddings endpoint."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ragflow.engine.calls import Spent, reported_usage, spend
from ragflow.engine.errors import DimensionMismatch
from ragflow.engine.http import Endpoint, apost_json, malformed, post_json
from ragflow.engine.tokens import count_tokens, truncate_tokens
from ragflow.engine.types import Matrix, Usage, Vector

WORKER_PATIENCE = 60.0  # seconds a worker waits when the provider asks for it
QUERY_PATIENCE = 5.0  # the same while a person waits
LONGEST_TEXT = 8191  # tokens that OpenAI's models take


class OpenAIEmbedder:
    """`Embedder` over HTTP. Blank texts are not sent (providers refuse them) and get a zero row.

    Text over `max_tokens` (cl100k_base) loses its tail, since providers refuse it whole. The first answer settles
    `dimension`; a later one of another length raises DimensionMismatch.
    """

    default_vector_weight = 0.5

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str,
        *,
        name: str,
        batch: int = 32,
        max_tokens: int = LONGEST_TEXT,
        timeout: float = 60.0,
        patience: float = QUERY_PATIENCE,
        guarded: bool = False,
        account: str = "",
    ) -> None:
        self.name = name
        self._account = account
        self.dimension: int | None = None
        self._model = model
        self._endpoint = Endpoint(base_url, api_key, guarded)
        self._batch = batch
        self._max_tokens = max_tokens
        self._timeout = timeout
        self._patience = patience  # with queries

    def embed(self, texts: Sequence[str]) -> Matrix:
        return self._embed(texts, patience=WORKER_PATIENCE)

    def embed_query(self, text: str) -> Vector:
        vector: Vector = self._embed([text], patience=self._patience)[0]
        return vector

    async def aembed_query(self, text: str) -> Vector:
        if not text.strip():
            return np.zeros(self.dimension or 0, np.float32)
        answer = await apost_json(
            self._endpoint,
            "embeddings",
            self._body([text]),
            kind="embedding",
            read_timeout=self._timeout,
            patience=self._patience,
        )
        usage = reported_usage(answer)
        if usage is None:
            usage = await asyncio.to_thread(_estimate, [text])
        spend(Spent("embedding", self.name, self._account, usage))
        vector: Vector = self._vectors(answer, 1)[0]
        return vector

    def _embed(self, texts: Sequence[str], *, patience: float) -> Matrix:
        written = [index for index, text in enumerate(texts) if text.strip()]
        parts: list[Matrix] = []
        for start in range(0, len(written), self._batch):
            batch = [texts[index] for index in written[start : start + self._batch]]
            answer = post_json(
                self._endpoint,
                "embeddings",
                self._body(batch),
                kind="embedding",
                read_timeout=self._timeout,
                patience=patience,
            )
            usage = reported_usage(answer) or _estimate(batch)
            spend(Spent("embedding", self.name, self._account, usage))
            parts.append(self._vectors(answer, len(batch)))
        vectors = np.zeros((len(texts), self.dimension or 0), np.float32)
        if parts:
            vectors[written] = np.concatenate(parts)
        return vectors

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"model": self._model, "input": [self._fitted(text) for text in texts]}

    def _fitted(self, text: str) -> str:
        if len(text) * 4 <= self._max_tokens:  # a character has at most 4 bytes, a token at least one
            return text
        return truncate_tokens(text, self._max_tokens)

    def _vectors(self, answer: Any, count: int) -> Matrix:
        """Return the unit vectors of an answer in the order of the texts."""
        rows = list(self._rows(answer))
        if sorted(index for index, _ in rows) != list(range(count)):
            raise malformed(self._endpoint, f"{len(rows)} embeddings for {count} texts")
        self._settle_dimension({len(vector) for _, vector in rows})
        matrix = np.stack([vector for _, vector in sorted(rows, key=lambda row: row[0])])
        if not np.isfinite(matrix).all():
            raise malformed(self._endpoint, "an embedding with values that are not numbers")
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        vectors: Matrix = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 0)
        return vectors

    def _rows(self, answer: Any) -> Iterator[tuple[int, Vector]]:
        try:
            for position, item in enumerate(answer["data"]):
                yield int(item.get("index", position)), _to_vector(item["embedding"])
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
            raise malformed(self._endpoint, "something that is not a list of embeddings") from exc

    def _settle_dimension(self, lengths: set[int]) -> None:
        if self.dimension is None and len(lengths) == 1:
            (self.dimension,) = lengths
        if lengths != {self.dimension} or not self.dimension:
            found = " and ".join(str(length) for length in sorted(lengths))
            expected = f"instead of {self.dimension}" if self.dimension else "in one answer"
            raise DimensionMismatch(f"The embedding model {self.name} gave vectors of length {found} {expected}.")


def _estimate(texts: Sequence[str]) -> Usage:
    return Usage(sum(map(count_tokens, texts)))


def _to_vector(value: Any) -> Vector:
    """Return one embedding, which providers send as a list of numbers or as base64 of little-endian float32."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which the caller refuses
        vector: Vector = np.asarray(value, np.float32)
    if vector.ndim != 1:
        raise ValueError("not a flat list")
    return vector
