"""How text becomes search terms. Indexing, querying and highlighting all go through this one module.

Text is normalised (NFKC, so full-width forms become ordinary ones), case-folded, stripped of Latin accents and cut at
everything that is neither letter nor digit, the underscore included. A run of digits is a term of its own. English
words are stemmed (Porter). Scripts written without spaces give every character and every pair of neighbours:
"检索法" becomes 检, 索, 法, 检索, 索法.

>>> terms("Wing_flaps17 検索")
['wing', 'flap', '17', '検', '索', '検索']
"""

from __future__ import annotations

import math
import os
import re
import threading
import unicodedata
from collections.abc import Collection, Container, Iterator
from functools import lru_cache

import Stemmer

from ragflow.engine.docstore.stopwords import QUESTION_PHRASES, STOP_WORDS

MAX_TERM_LENGTH = 64
"""Longer words (base64, hashes of whole files) are cut: nobody searches for their ends."""

MAX_QUERY_TERMS = 256

# Han with its iteration mark and zero, kana, hangul, Thai and Lao, Burmese, Khmer.
_UNSPACED = (
    "\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
    "\u1100-\u11ff\uac00-\ud7a3\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
# Marks that belong to the letter before them but do not count as word characters: Latin, Hebrew, Arabic, Indic.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0971-\u09e3\u0a00-\u0a63\u0a80-\u0ae3\u0b00-\u0de5"
)

_HALF_WIDTH = "\uff66-\uff9f\uffa0-\uffdc"  # kana and hangul

_ASCII_WORDS = re.compile(r"[a-z]+|[0-9]+")
_DIGIT = re.compile("[0-9]")
_ASCII_BLANKS = "".join(chr(code) if chr(code).isalnum() else " " for code in range(128))
_WORDS = re.compile(rf"[{_UNSPACED}]+|\d+|(?:(?![{_UNSPACED}])[^\W\d_]|[{_MARKS}])+")
# Normalising can change the length of a text ("ﬁ" becomes "fi"), so original text is cut first and normalised after.
_ORIGINAL_WORDS = re.compile(rf"[{_UNSPACED}{_HALF_WIDTH}]+|\d+|(?:(?![{_UNSPACED}{_HALF_WIDTH}])[^\W\d_]|[{_MARKS}])+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSPACED_START = re.compile(rf"[{_UNSPACED}]")


class _Accents(dict[int, str]):
    """A `str.translate` table that learns: Latin letters lose their accents, everything else stays."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = unicodedata.normalize("NFD", character)[0]
        self[code] = base if base.isascii() else character
        return self[code]


class _Stems(dict[str, str]):
    """Stems seen so far. Corpora repeat their words: one dictionary look-up replaces nearly every stemming."""

    LIMIT = 200_000

    def __init__(self) -> None:
        super().__init__()
        self._stemmer = Stemmer.Stemmer("porter", 0)
        self.renew_lock()

    def renew_lock(self) -> None:
        self._lock = threading.Lock()  # the stemmer keeps state while it works

    def __missing__(self, word: str) -> str:
        if len(word) > MAX_TERM_LENGTH:
            return self[word[:MAX_TERM_LENGTH]]
        with self._lock:
            stem: str = (
                (self._stemmer.stemWord(word) or word) if word.isascii() else word
            )  # of "s" nothing would remain
            if len(self) >= self.LIMIT:
                self.clear()
            self[word] = stem
        return stem


_accents = _Accents()
_stems = _Stems()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stems.renew_lock)  # a thread of the parent may have held it


def clean(text: str) -> str:
    """Return the text with lone surrogates replaced: UTF-8, and so a store, cannot hold them."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def normalise(text: str) -> str:
    """Return the text with one spelling per character: NFKC, case-folded, Latin letters without accents."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold().translate(_accents)


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repetitions included."""
    text = normalise(text)
    if text.isascii():
        return list(map(_stems.__getitem__, _ascii_words(text)))
    return [term for word in _WORDS.findall(text) for term in _terms_of(word)]


def _ascii_words(text: str) -> list[str]:
    if _DIGIT.search(text):
        return _ASCII_WORDS.findall(text)
    return text.translate(_ASCII_BLANKS).split()  # the same, in half the time


def indexed(text: str) -> str:
    """Return the terms of a text as the string that the full-text index splits at its blanks."""
    return " ".join(terms(text))


@lru_cache(maxsize=256)
def name_terms(name: str) -> str:
    """Return the searchable form of a document's name: its extension says nothing about its content."""
    stem, dot, _ = name.rpartition(".")
    return indexed(stem if dot and stem else name)


def query_terms(text: str) -> list[str]:
    """Return the distinct terms of a question, at most `MAX_QUERY_TERMS`.

    Stop words and question words are dropped unless nothing would remain.
    """
    normal = normalise(text)
    words = _WORDS.findall(QUESTION_PHRASES.sub(" ", normal))
    kept = [word for word in words if word not in STOP_WORDS] or _WORDS.findall(normal)
    distinct = dict.fromkeys(term for word in kept for term in _terms_of(word))
    return list(distinct)[:MAX_QUERY_TERMS]


def term_weight(total: int, count: int) -> float:
    """How much a query term counts in the term similarity: 1 if every chunk holds it, 1 more per tenfold rarity.

    `total` chunks are in the store and `count` of them hold the term. log10(10 + odds against the term), so that
    neither a common nor an unknown word can decide alone.
    """
    return math.log10(10 + max(total - count + 0.5, 0) / (count + 0.5))


def spans(text: str, wanted: Collection[str]) -> list[tuple[int, int]]:
    """Return where in the original text the wanted terms occur, as (start, end) in ascending order."""
    if text.isascii():
        likely = _words_beginning_with("".join(sorted({term[:1] for term in wanted if term.isascii()})))
        return [match.span() for match in likely.finditer(text) if _stems[match.group().lower()] in wanted]
    found: list[tuple[int, int]] = []
    for match in _ORIGINAL_WORDS.finditer(text):
        start, end = match.span()
        if _UNSPACED_START.match(normalise(match.group())):
            found += _spans_in_run(match.group(), start, wanted)
        elif any(term in wanted for term in terms(match.group())):
            found.append((start, end))
    return found


@lru_cache(maxsize=256)
def _words_beginning_with(initials: str) -> re.Pattern[str]:
    """Return an expression for ASCII words that may be wanted: stemming keeps the first character of a word."""
    letters = "".join(initial + initial.upper() for initial in initials if initial.isalpha())
    digits = "".join(initial for initial in initials if initial.isdigit())
    words = [rf"(?<![A-Za-z])[{letters}][A-Za-z]*"] * bool(letters) + [rf"(?<![0-9])[{digits}][0-9]*"] * bool(digits)
    return re.compile("|".join(words) or r"(?!)")


def _spans_in_run(run: str, offset: int, wanted: Container[str]) -> Iterator[tuple[int, int]]:
    """Find characters and pairs in a run of an unspaced script, each normalised by itself: that may change lengths."""
    characters = [normalise(character) for character in run]
    for index, character in enumerate(characters):
        if character in wanted:
            yield offset + index, offset + index + 1
        if character + "".join(characters[index + 1 : index + 2]) in wanted:
            yield offset + index, offset + index + 2


def _terms_of(word: str) -> list[str]:
    if word.isascii() or not _UNSPACED_START.match(word):
        return [_stems[word]]
    return [*word, *map(str.__add__, word, word[1:])]
