"""Sentences around tables and figures: the text before and after says what they show."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ragflow.engine.chunking.options import ChunkOptions
from ragflow.engine.chunking.sentences import MAX_CHARACTERS_PER_TOKEN, first_sentences, last_sentences, tokens_within
from ragflow.engine.types import Piece

LOOKAHEAD = 32
"""How many pieces may wait for text that follows a table or figure."""


def with_context(pieces: Iterable[Piece], options: ChunkOptions) -> Iterator[Piece]:
    """Put whole sentences of the neighbouring text around tables and figures, up to the configured tokens each side.

    This comes on top of the token budget. The order of the pieces stays.
    """
    sizes = {"": 0, "table": options.table_context_size, "image": options.image_context_size}
    longest = max(sizes.values())
    if longest == 0:
        yield from pieces
        return
    before = ""
    waiting: deque[Piece] = deque()
    for piece in pieces:
        waiting.append(piece)
        while waiting and _is_ready(waiting, sizes[waiting[0].kind]):
            done = waiting.popleft()
            yield _surrounded(done, before, waiting, sizes[done.kind])
            before = _remembered(before, done, longest)
    while waiting:
        done = waiting.popleft()
        yield _surrounded(done, before, waiting, sizes[done.kind])
        before = _remembered(before, done, longest)


def _is_ready(waiting: deque[Piece], size: int) -> bool:
    if size == 0 or len(waiting) > LOOKAHEAD:
        return True
    return tokens_within(_text(waiting), size) is None


def _text(pieces: Iterable[Piece]) -> str:
    return "\n".join(piece.text for piece in pieces if not piece.kind)


def _surrounded(piece: Piece, before: str, after: Iterable[Piece], size: int) -> Piece:
    if size == 0:
        return piece
    parts = (last_sentences(before, size).rstrip(), piece.text, first_sentences(_text(after), size))
    return replace(piece, text="\n".join(part for part in parts if part))


def _remembered(before: str, piece: Piece, size: int) -> str:
    return before if piece.kind else f"{before}\n{piece.text}"[-size * MAX_CHARACTERS_PER_TOKEN :]
