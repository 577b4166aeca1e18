"""Marks in the original text what a question matched: case, accents and everything between words stay as they are."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from ragflow.engine.docstore.analysis import query_terms, spans

SENTENCE_END = re.compile(r"(?<=[。！？；])|(?<=[.!?;])\s+|\n+")
OPEN, CLOSE = "<em>", "</em>"


def mark(text: str, question: str) -> str | None:
    """Return the whole text with matched words in <em>; None if there are none."""
    return _marked(text, _wanted(question))


def snippets(text: str, question: str) -> str | None:
    """Return the sentences with a match, words marked, joined by "..."; None if there are none."""
    wanted = _wanted(question)
    marked = (_marked(sentence, wanted) for sentence in SENTENCE_END.split(text))
    return "...".join(sentence.strip() for sentence in marked if sentence is not None) or None


@lru_cache(maxsize=8)  # of the questions being answered now, passage by passage; any of them may be megabytes long
def _wanted(question: str) -> frozenset[str]:
    """Return the terms to mark.

    A character that the question has only as part of a pair does not count alone: "防守" does not mark 防 in "防止".
    """
    terms = query_terms(question)
    in_pairs = {character for term in terms if len(term) == 2 and not term.isascii() for character in term}
    return frozenset(term for term in terms if term not in in_pairs)


def _marked(text: str, wanted: Collection[str]) -> str | None:
    pieces: list[str] = []
    done = 0
    for start, end in _joined(spans(text, wanted)):
        pieces += (text[done:start], OPEN, text[start:end], CLOSE)
        done = end
    return "".join((*pieces, text[done:])) if pieces else None


def _joined(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that touch or overlap, as the characters of one Chinese word do."""
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
