"""From the two raw scores of each candidate to one order.

Two measures are kept apart. The *similarity*, w * cosine + (1 - w) * term, is made of raw values: it is what callers
see and what the threshold applies to. The *order* is a weighted sum of normalised scores (BM25 by its maximum, cosine
stretched over the nearest candidates): raw cosines of a model lie in a narrow band and would hardly weigh. This sum
beats reciprocal rank fusion wherever one of the two sides is weak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.docstore.base import Candidates

Numbers = NDArray[np.float64]
Indexes = NDArray[np.int64]

FUSION_DEPTH = 200
"""The cosine is stretched over this many nearest candidates, and those farther away count 0. So the order does not
depend on how many weak candidates came along."""

FULL_PAGERANK = 100.0
"""A dataset with this pagerank comes before every dataset without one."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates (by index) with their scores; `order` decides, best first, within each `tier`."""

    similarity: Numbers
    vector: Numbers  # cosine, or the score of a rerank model
    order: Numbers
    tier: Indexes  # lower ones come first


def fuse(candidates: Candidates, *, weight: float, boost: Numbers) -> Ranking:
    """Rank candidates. `weight` is the share of the vector side, `boost` the pagerank of each candidate's dataset."""
    lexical = _by_maximum(candidates.bm25)
    order = weight * _stretched(candidates.cosine) + (1 - weight) * lexical + boost / FULL_PAGERANK
    similarity = _similarity(candidates.term, candidates.cosine, weight)
    return Ranking(similarity, candidates.cosine, order, np.zeros(len(candidates), np.int64))


def fuse_reranked(
    candidates: Candidates, ranking: Ranking, chosen: Indexes, scores: Sequence[float], *, weight: float, boost: Numbers
) -> Ranking:
    """Put a rerank model's scores (0..1) of the `chosen` candidates in the place of their cosines.

    The others follow after them as they were.
    """
    model = np.array(scores, np.float64)
    vector, similarity, order = ranking.vector.copy(), ranking.similarity.copy(), ranking.order.copy()
    tier = np.ones(len(candidates), np.int64)
    lexical = _by_maximum(candidates.bm25)[chosen]
    vector[chosen] = model
    similarity[chosen] = weight * model + (1 - weight) * candidates.term[chosen]
    order[chosen] = weight * _stretched(model) + (1 - weight) * lexical + boost[chosen] / FULL_PAGERANK
    tier[chosen] = 0
    return Ranking(similarity, vector, order, tier)


def best_first(ranking: Ranking, among: Indexes) -> Indexes:
    """Return these candidates, best first; ties by similarity, then as they came."""
    return among[np.lexsort((-ranking.similarity[among], -ranking.order[among], ranking.tier[among]))]


def _similarity(term: Numbers, cosine: Numbers, weight: float) -> Numbers:
    if not cosine.any():  # no vector side at all: the text side speaks alone
        return term
    return weight * cosine + (1 - weight) * term


def _by_maximum(scores: Numbers) -> Numbers:
    top = scores.max(initial=0.0)
    return scores / top if top > 0 else np.zeros(len(scores))


def _stretched(scores: Numbers) -> Numbers:
    """Map the highest score to 1 and the lowest of the `FUSION_DEPTH` best, with all below it, to 0."""
    depth = min(FUSION_DEPTH, len(scores))
    if not depth:
        return scores
    low, high = np.partition(scores, -depth)[-depth], scores.max()
    return np.clip((scores - low) / (high - low), 0.0, 1.0) if high > low else np.zeros(len(scores))
