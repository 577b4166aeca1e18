"""What every rerank model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    name: str

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one relevance score (0..1) per text, in the order of the texts. Blocking. Raises ModelError."""
