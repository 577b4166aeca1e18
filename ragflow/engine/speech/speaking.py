"""Long text as speech: cleaned of what nobody reads aloud, and spoken sentence by sentence so that it begins early."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from ragflow.engine.speech.base import TextToSpeech

PIECE_LENGTH = 400  # characters that are spoken in one request; the first piece is one sentence
LONGEST_EXCERPT = 500  # characters of an answer that go with it as audio

_END = r"[。！？；…]+|[.!?;:](?=\s)|\n+"  # of a row of Western stops the last one: each step of a search is short
SENTENCE_END = re.compile(_END)
SENTENCE = re.compile(rf".+?(?:{_END}|$)", re.DOTALL)
CLAUSE = re.compile(rf".{{1,{PIECE_LENGTH - 1}}}(?:[,，、]|\s|$)|.{{1,{PIECE_LENGTH}}}", re.DOTALL)
SILENT = frozenset({"Cc", "Cf", "Cs", "Co", "So", "Sk"})  # control characters, emoji and their modifiers
CITATION = re.compile(r"\s?\[ID:\d+\]")
EMOJI_STYLE = "\ufe0f"


async def speak(model: TextToSpeech, text: str) -> AsyncGenerator[bytes, None]:
    """Yield the MP3 of a text block by block. Raises ModelError; closing the generator ends the request upstream."""
    for piece in spoken_pieces(text):
        async with aclosing(model.speak(piece)) as blocks:
            async for block in blocks:
                yield block


async def spoken_excerpt(model: TextToSpeech, text: str) -> bytes:
    """Return the MP3 of the beginning of a text. Raises ModelError."""
    excerpt = spoken_text(text)[:LONGEST_EXCERPT]
    if not excerpt:
        return b""
    async with aclosing(model.speak(excerpt)) as blocks:
        return b"".join([block async for block in blocks])


def spoken_text(text: str) -> str:
    """Return the text on one line, without citations, control characters and emoji."""
    text = CITATION.sub("", text)
    audible = "".join(" " if char.isspace() else char for char in text if char.isspace() or _is_audible(char))
    return " ".join(audible.split())


def _is_audible(char: str) -> bool:
    return unicodedata.category(char) not in SILENT and char != EMOJI_STYLE


def spoken_pieces(text: str) -> Iterator[str]:
    """Yield what is spoken in one request each: the first sentence alone, then as many as fit."""
    room = 0
    piece = ""
    for sentence in _sentences(text):
        if piece and len(piece) + 1 + len(sentence) > room:
            yield piece
            piece, room = "", PIECE_LENGTH
        piece = f"{piece} {sentence}" if piece else sentence
    if piece:
        yield piece


def _sentences(text: str) -> Iterator[str]:
    for match in SENTENCE.finditer(text):
        sentence = spoken_text(match.group())
        if any(char.isalnum() for char in sentence):
            yield from (part.strip() for part in CLAUSE.findall(sentence))
