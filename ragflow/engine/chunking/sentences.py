"""Cutting text where a reader would: after sentences, else between words, else anywhere. All of it in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragflow.engine.tokens import count_tokens, truncate_tokens

BOUNDARY = re.compile(r"""[.!?;…]["')\]»”’]*\s+|[。！？；]["'”’」』）]*\s*|\n+""")
WORD_ENDS = (" ", "\t", "\n", ",", "，", "、", "|", "/")

MAX_CHARACTERS_PER_TOKEN = 16
"""Text with more characters per token of its limit counts as too long unseen: the encoder never gets megabytes."""


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, each with the blanks after it; joined they are the text."""
    start = 0
    for boundary in BOUNDARY.finditer(text):
        yield text[start : boundary.end()]
        start = boundary.end()
    if start < len(text):
        yield text[start:]


def tokens_within(text: str, limit: int) -> int | None:
    """Return the token count of a text, or None when it is above the limit."""
    if len(text) > limit * MAX_CHARACTERS_PER_TOKEN:
        return None
    tokens = count_tokens(text)
    return tokens if tokens <= limit else None


def split_long(text: str, limit: int) -> Iterator[tuple[str, int]]:
    """Yield (part, tokens): sentences of at most `limit` tokens; a longer sentence is cut between words."""
    for sentence in sentences(text):
        tokens = tokens_within(sentence, limit)
        if tokens is not None:
            yield sentence, tokens
            continue
        for part in _split_words(sentence, limit):
            yield part, count_tokens(part)


def first_sentences(text: str, limit: int) -> str:
    """Return the whole sentences at the beginning that fit into `limit` tokens together."""
    kept: list[str] = []
    for sentence in sentences(text):
        tokens = tokens_within(sentence, limit)
        if tokens is None:
            break
        kept.append(sentence)
        limit -= tokens
    return "".join(kept).strip()


def last_sentences(text: str, limit: int) -> str:
    """Return the whole sentences at the end that fit into `limit` tokens together."""
    kept: list[str] = []
    for sentence in reversed(list(sentences(text))):
        tokens = tokens_within(sentence, limit)
        if tokens is None:
            break
        kept.append(sentence)
        limit -= tokens
    return "".join(reversed(kept)).lstrip()


def last_words(text: str, limit: int) -> str:
    """Return the words at the end that fit into `limit` tokens together."""
    ending = text[-4 * limit :] if limit > 0 else ""
    while ending and count_tokens(ending) > limit:
        ending = ending[len(ending) // 4 + 1 :]
    if len(ending) < len(text) and " " in ending:
        ending = ending.partition(" ")[2]
    return ending.lstrip()


def _split_words(text: str, limit: int) -> Iterator[str]:
    """Cut text that has no sentence end within the limit.

    Each step encodes a window somewhat larger than the part before it turned out, so that the work stays in
    proportion to the text in every script. A part is at least one character, whatever that character costs.
    """
    start, size = 0, 4 * limit
    while start < len(text):
        window = text[start : start + size]
        part = truncate_tokens(window, limit)
        if start + len(part) < len(text):
            part = _to_word_end(part) or window[0]
        yield part
        start += len(part)
        size = max(len(part) * 5 // 4, limit)


def _to_word_end(text: str) -> str:
    end = max(text.rfind(mark) for mark in WORD_ENDS) + 1
    return text[:end] if end > len(text) // 2 else text
