"""The embedding model that needs nothing: words and character n-grams hashed into 1024 signed counters.

Feature hashing after Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009. Character n-grams
inside words make related forms of a word similar; Chinese, Japanese and Korean text, written without spaces, counts as
characters and pairs. It finds shared words, not shared meaning, in any language, and never changes between versions.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from ragflow.engine.types import Matrix, Vector

NAME = "hash-1024@Builtin"
DIMENSION = 1024

NGRAMS = (3, 4, 5)
WORD_WEIGHT = 2.0  # against 1 of an n-gram
SHORT_WORD_WEIGHT = 0.3  # words like "of" and "the"; they have no n-grams either
SHORT_WORD = 3  # characters
CHARACTER_WEIGHT = 0.5  # a single character of text without spaces; a pair has weight 1

WORD = re.compile(r"\w+")
SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")

SPACE = ord(" ")
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Row = NDArray[np.float64]


class HashingEmbedder:
    """`Embedder` without model files: a vector is a pure function of its text."""

    dimension: int | None = DIMENSION
    default_vector_weight = 0.3

    def __init__(self, *, name: str = NAME) -> None:
        self.name = name

    def embed(self, texts: Sequence[str]) -> Matrix:
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed_query(text)
        return vectors

    def embed_query(self, text: str) -> Vector:
        words = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        row = _words(words) + _ngrams(word for word in words if len(word) > SHORT_WORD and not SPACELESS.search(word))
        norm = np.linalg.norm(row)
        return (row / norm if norm else row).astype(np.float32)

    async def aembed_query(self, text: str) -> Vector:
        return self.embed_query(text)  # microseconds; a thread would cost more


def _words(words: Iterable[str]) -> Row:
    """Return the counters of the words, and of characters and pairs in text without spaces."""
    counts: Counter[tuple[str, float]] = Counter()
    for word in words:
        if SPACELESS.search(word):
            counts.update((character, CHARACTER_WEIGHT) for character in word)
            counts.update((word[i : i + 2], 1.0) for i in range(len(word) - 1))
        else:
            counts[word, SHORT_WORD_WEIGHT if len(word) <= SHORT_WORD else WORD_WEIGHT] += 1
    hashes = [xxhash.xxh64_intdigest(feature.encode("utf-8", "surrogatepass")) for feature, _ in counts]
    weights = np.array([weight for _, weight in counts], np.float64)
    return _counters(np.array(hashes, np.uint64), np.array(list(counts.values()), np.float64), weights)


def _ngrams(words: Iterable[str]) -> Row:
    """Return the counters of the character n-grams within words, a blank marking where a word begins and ends.

    The hash of an n-gram is a polynomial of its code points, computed for all places of the text at once.
    """
    text = f" {' '.join(words)} ".encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(text, np.uint32).astype(np.uint64)
    hashes, spans_words, found = points, np.zeros(len(points), bool), []
    for size in range(2, min(NGRAMS[-1], len(points)) + 1):
        places = len(points) - size + 1
        hashes = hashes[:places] * MULTIPLIER + points[size - 1 :]
        if size in NGRAMS:
            spans_words = spans_words[:places] | (points[size - 2 : size - 2 + places] == SPACE)
            found.append(hashes[~spans_words])
    if not found:
        return np.zeros(DIMENSION)
    unique, counts = np.unique(_scramble(np.concatenate(found)), return_counts=True)
    return _counters(unique, counts, np.ones(len(unique)))


def _scramble(hashes: Hashes) -> Hashes:
    """Spread the bits of a weak hash: the finaliser of MurmurHash3 (Austin Appleby, public domain)."""
    for factor in (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)):
        hashes = (hashes ^ (hashes >> np.uint64(33))) * factor
    return hashes ^ (hashes >> np.uint64(33))


def _counters(hashes: Hashes, counts: NDArray[np.number], weights: Row) -> Row:
    """Add each feature's damped count to the counter of its hash, with the sign of the lowest bit."""
    signs = np.where(hashes & np.uint64(1), 1.0, -1.0)
    slots = ((hashes >> np.uint64(1)) % np.uint64(DIMENSION)).astype(np.int64)
    row: Row = np.bincount(slots, signs * weights * (1.0 + np.log(counts)), DIMENSION).astype(np.float64)
    return row
