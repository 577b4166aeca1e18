"""What a caller may ask of a retrieval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ragflow.engine.errors import InvalidQuery


@dataclass(frozen=True, slots=True)
class RetrievalRequest:
    """A question to datasets. Without any it finds nothing."""

    question: str
    dataset_ids: tuple[str, ...] = ()
    document_ids: tuple[str, ...] | None = None  # None: no restriction; (): nothing can match
    excluded_document_ids: tuple[str, ...] = ()  # none of these, whatever `document_ids` says
    page: int = 1
    page_size: int = 30
    similarity_threshold: float = 0.2
    vector_similarity_weight: float | None = None  # None: what suits the embedding model; clamped to 0..1
    top_k: int = 1024  # nearest vectors to consider; does not limit text hits
    highlight: bool = False
    pageranks: Mapping[str, int] = field(default_factory=dict)  # dataset -> 0..100, moves its chunks up
    candidates: Literal["fused", "text_first"] = "fused"  # text_first: vectors alone count only if no text matches
    spaces: Mapping[str, int] = field(default_factory=dict)  # dataset -> vector space of its model, see `DocStore`
    extra_terms: tuple[str, ...] = ()  # keywords that are searched as text beside the question

    @property
    def text(self) -> str:
        """What is searched as text."""
        return " ".join((self.question, *self.extra_terms))

    def validate(self) -> None:
        """Raise InvalidQuery that names the first field outside its range."""
        for name in ("page", "page_size", "top_k"):
            if getattr(self, name) <= 0:
                raise InvalidQuery(f"`{name}` must be greater than 0.", field=name)
        for name in ("similarity_threshold", "vector_similarity_weight"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InvalidQuery(f"`{name}` must be a finite number.", field=name)

    def vector_weight(self, default: float) -> float:
        """Return the share of the vector side, 0..1; `default` if the caller named none."""
        weight = default if self.vector_similarity_weight is None else self.vector_similarity_weight
        return min(max(weight, 0.0), 1.0)
