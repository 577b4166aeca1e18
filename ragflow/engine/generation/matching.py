"""How similar sentences of an answer are to passages: the hybrid similarity of retrieval, sentence by sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.docstore.analysis import terms
from ragflow.engine.docstore.base import DocStore
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.types import Matrix, Passage


@dataclass(frozen=True, slots=True)
class HybridSimilarity:
    """Weighs the cosine to the stored vector of a passage, and the share of a sentence's terms that it holds.

    Blocking: it reads the store and embeds.
    """

    store: DocStore
    embedder: Embedder
    vector_weight: float
    spaces: Mapping[str, int] = field(default_factory=dict)  # of the datasets, as in a search

    def __call__(self, sentences: Sequence[str], passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Return the similarities, shape (sentences, passages), at most 1. Raises ModelError or StoreError."""
        vectors = self.embedder.embed(sentences)
        cosines = vectors @ self._vectors(passages, vectors.shape[1]).T
        shares = self._shares(sentences, passages)
        mixed: NDArray[np.float32] = self.vector_weight * cosines + (1 - self.vector_weight) * shares
        return mixed

    def _vectors(self, passages: Sequence[Passage], dimension: int) -> Matrix:
        """Return the stored vectors, and new ones for passages that have none of this length."""
        ids = [passage.chunk.id for passage in passages]
        found = self.store.vectors(_datasets(passages), ids, spaces=self.spaces)
        stored = {identity: vector for identity, vector in found.items() if len(vector) == dimension}
        missing = [passage.chunk for passage in passages if passage.chunk.id not in stored]
        if missing:
            fresh = self.embedder.embed([chunk.content for chunk in missing])
            stored = stored | {chunk.id: vector for chunk, vector in zip(missing, fresh, strict=True)}
        return np.stack([stored[passage.chunk.id] for passage in passages])

    def _shares(self, sentences: Sequence[str], passages: Sequence[Passage]) -> NDArray[np.float32]:
        datasets = _datasets(passages)
        vocabularies = [set(terms(passage.chunk.content)) for passage in passages]
        shares = np.zeros((len(sentences), len(passages)), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            weights = self.store.term_weights(datasets, sentence)
            total = sum(weights.values())
            for column, vocabulary in enumerate(vocabularies):
                found = sum(weight for term, weight in weights.items() if term in vocabulary)
                shares[row, column] = found / total if total else 0.0
        return shares


def _datasets(passages: Sequence[Passage]) -> list[str]:
    return list(dict.fromkeys(passage.chunk.dataset_id for passage in passages if not passage.url))
