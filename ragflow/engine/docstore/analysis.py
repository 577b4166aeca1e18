"""How text becomes search terms. Indexing, querying and highlighting all go through this one module.

Text is normalised (NFKC, so full-width forms become ordinary ones), case-folded, stripped of Latin accents and cut at
everything that is neither letter nor digit, the underscore included. A run of digits is a term of its own. English
words are stemmed (Porter). Scripts written without spaces give every character and every pair of neighbours:
"检索法" becomes 检, 索, 法, 检索, 索法.

>>> terms("Wing_flaps17 検索")
['wing', 'flap', '17', '検', '索', '検索']
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

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

_ASCII_WORDS = re.compile(r"[a-z]+|[0-9]+")
_WORDS = re.compile(rf"[{_UNSPACED}]+|\d+|(?:(?![{_UNSPACED}])[^\W\d_]|[{_MARKS}])+")
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
        self._lock = threading.Lock()  # the stemmer keeps state while it works

    def __missing__(self, word: str) -> str:
        with self._lock:
            stem: str = self._stemmer.stemWord(word[:MAX_TERM_LENGTH]) if word.isascii() else word[:MAX_TERM_LENGTH]
            if len(self) >= self.LIMIT:
                self.clear()
            self[word] = stem
        return stem


_accents = _Accents()
_stems = _Stems()


class Word(NamedTuple):
    """A piece of the original text and the terms it stands for."""

    start: int
    end: int
    terms: tuple[str, ...]


def normalise(text: str) -> str:
    """Return the text with one spelling per character: NFKC, case-folded, Latin letters without accents."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold().translate(_accents)


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repetitions included."""
    text = normalise(text)
    if text.isascii():
        return [_stems[word] for word in _ASCII_WORDS.findall(text)]
    return [term for word in _WORDS.findall(text) for term in _terms_of(word)]


def indexed(text: str) -> str:
    """Return the terms of a text as the string that the full-text index splits at its blanks."""
    return " ".join(terms(text))


def query_terms(text: str) -> list[str]:
    """Return the distinct terms of a question, at most `MAX_QUERY_TERMS`.

    Stop words and question words are dropped unless nothing would remain.
    """
    normal = normalise(text)
    words = _WORDS.findall(QUESTION_PHRASES.sub(" ", normal))
    kept = [word for word in words if word not in STOP_WORDS] or _WORDS.findall(normal)
    distinct = dict.fromkeys(term for word in kept for term in _terms_of(word))
    return list(distinct)[:MAX_QUERY_TERMS]


def words(text: str) -> Iterator[Word]:
    """Yield the words of the original text with their place in it.

    Normalising may change lengths ("ﬁ" becomes "fi"), so each word is normalised by itself. In an unspaced script
    every character is a word of its own: it carries itself and the pairs it is part of.
    """
    for match in _ORIGINAL_WORDS.finditer(text):
        start, found = match.start(), match.group()
        if not _UNSPACED_START.match(found):
            yield Word(start, match.end(), tuple(terms(found)))
            continue
        characters = [normalise(character) for character in found]
        for index, character in enumerate(characters):
            before = characters[index - 1] + character if index else ""
            after = character + characters[index + 1] if index + 1 < len(characters) else ""
            yield Word(start + index, start + index + 1, tuple(filter(None, (character, before, after))))


# Half-width kana and full-width forms are letters already, so original text is cut as normalised text is.
_ORIGINAL_WORDS = re.compile(rf"[{_UNSPACED}\uff66-\uff9f]+|\d+|(?:(?![{_UNSPACED}\uff66-\uff9f])[^\W\d_]|[{_MARKS}])+")


def _terms_of(word: str) -> list[str]:
    if word.isascii() or not _UNSPACED_START.match(word):
        return [_stems[word]]
    return [*word, *map(str.__add__, word, word[1:])]
