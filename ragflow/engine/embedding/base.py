"""What every embedding model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragflow.engine.types import Matrix, Vector


class Embedder(Protocol):
    name: str  # as stored with a dataset, for example "all-MiniLM-L6-v2@Builtin"
    dimension: int | None  # None until a remote model has answered once
    default_vector_weight: float  # of the fusion, when the caller names none

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector per text, shape (len(texts), d). Blocking; used by workers.

        Empty text is allowed and gives a zero row. Raises ModelError.
        """

    def embed_query(self, text: str) -> Vector:
        """Return the vector of a question. Blocking."""

    async def aembed_query(self, text: str) -> Vector:
        """The same from the event loop, without blocking it."""
