"""The vector of a chunk, whoever makes it and whenever: its questions or text, mixed with the name of its document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragflow.engine.embedding.base import Embedder
from ragflow.engine.types import Chunk, Matrix, Vector

DEFAULT_NAME_WEIGHT = 0.1
TABLE_TAG = re.compile(r"</?(?:table|caption|tr|th|td)\b[^<>]*>", re.IGNORECASE)


class ChunkEmbedder:
    """Embeds chunks of one document. Its name goes to the model once, together with the first chunks."""

    def __init__(self, embedder: Embedder, document_name: str, parser_config: Mapping[str, Any]) -> None:
        """`parser_config` is the stored one and may hold any values; unusable ones count as missing."""
        self._embedder = embedder
        self._document_name = document_name
        self._name_weight = _name_weight(parser_config)
        self._name_vector: Vector | None = None

    def embed(self, chunks: Sequence[Chunk]) -> Matrix:
        """Return one vector per chunk: weight * name + (1 - weight) * searchable text, of unit length again."""
        texts = [searchable(chunk) for chunk in chunks]
        weight = self._name_weight
        if weight == 0:
            return self._embedder.embed(texts)
        if self._name_vector is None:
            vectors = self._embedder.embed([self._document_name, *texts])
            self._name_vector, vectors = vectors[0], vectors[1:]
        else:
            vectors = self._embedder.embed(texts)
        return _mixed(weight, self._name_vector, vectors)


def embed_chunks(
    embedder: Embedder, chunks: Sequence[Chunk], parser_configs: Mapping[str, Mapping[str, Any]]
) -> Matrix:
    """Return the same vectors for chunks of any documents, whose configurations are given by their ids.

    All texts go to the model together, so that many small documents cost no more than a large one.
    """
    names = list(dict.fromkeys(chunk.document_name for chunk in chunks))
    vectors = embedder.embed([*names, *(searchable(chunk) for chunk in chunks)])
    places = {name: place for place, name in enumerate(names)}
    name_vectors = vectors[[places[chunk.document_name] for chunk in chunks]]
    weights = [[_name_weight(parser_configs.get(chunk.document_id, {}))] for chunk in chunks]
    return _mixed(np.array(weights, np.float32), name_vectors, vectors[len(names) :])


def _mixed(weight: float | Matrix, names: Vector | Matrix, texts: Matrix) -> Matrix:
    mixed = weight * names + (1 - weight) * texts
    norms = np.linalg.norm(mixed, axis=1, keepdims=True)
    unit: Matrix = np.divide(mixed, norms, out=np.zeros_like(mixed), where=norms > 0).astype(np.float32)
    return unit


def searchable(chunk: Chunk) -> str:
    """Return what the vector of a chunk stands for."""
    text = "\n".join(chunk.questions) or chunk.content
    return TABLE_TAG.sub(" ", text) if chunk.kind == "table" else text


def _name_weight(config: Mapping[str, Any]) -> float:
    weight = config.get("filename_embd_weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        return DEFAULT_NAME_WEIGHT
    return float(weight)
