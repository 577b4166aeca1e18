"""The general method: text packed to a token budget, tables and figures as chunks of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ragflow.engine.chunking.context import with_context
from ragflow.engine.chunking.delimiters import Delimiters, split_keeping, split_plain
from ragflow.engine.chunking.options import MAX_TOKENS, ChunkOptions
from ragflow.engine.chunking.packing import Packer
from ragflow.engine.chunking.positions import joined, part_of
from ragflow.engine.chunking.tables import split_table
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Block, BlockKind, Piece


def chunk(blocks: Iterable[Block], options: ChunkOptions) -> Iterator[Piece]:
    """Cut at back-quoted delimiters when there are any, by size otherwise; then add context and cut children."""
    delimiters = Delimiters.read(options.delimiter)
    cut = _cut_at_strings if delimiters.strings else _pack
    pieces = with_context(cut(blocks, delimiters, options), options)
    return _with_children(pieces, Delimiters.read(options.children_delimiter))


def _pack(blocks: Iterable[Block], delimiters: Delimiters, options: ChunkOptions) -> Iterator[Piece]:
    """Fill chunks up to the budget. Only running text is cut at delimiters; other blocks are units of their format."""
    packer = Packer(options.chunk_token_num, options.overlapped_percent)
    for block in blocks:
        if not block.text.strip():
            continue
        if block.kind in (BlockKind.TABLE, BlockKind.IMAGE):
            headings = packer.take_headings()
            yield from packer.flush()
            yield from _media(block, headings, options.chunk_token_num)
        elif block.kind is BlockKind.PLAIN:
            for number, (glue, text) in enumerate(split_plain(block.text, delimiters)):
                yield from packer.add(text, glue=glue if number else "\n", positions=block.positions)
        else:
            heading = block.kind is BlockKind.HEADING
            yield from packer.add(block.text, positions=block.positions, heading=heading)
    yield from packer.flush()


def _cut_at_strings(blocks: Iterable[Block], delimiters: Delimiters, options: ChunkOptions) -> Iterator[Piece]:
    """Make one chunk of all text between two delimiters, however short; only what no model could read is cut."""
    pattern = delimiters.pattern
    assert pattern is not None
    packer = Packer(MAX_TOKENS)
    between = ""
    for block in blocks:
        if block.kind in (BlockKind.TABLE, BlockKind.IMAGE):
            yield from packer.flush()
            yield from _media(block, "", options.chunk_token_num)
            continue
        text, start = between + block.text, 0
        for match in pattern.finditer(text):
            yield from _segment(packer, block, text, start, match.start())
            yield from packer.flush()
            start = match.end()
        yield from _segment(packer, block, text, start, len(text))
        between = "" if text.endswith("\n") else "\n"
    yield from packer.flush()


def _segment(packer: Packer, block: Block, text: str, start: int, end: int) -> Iterator[Piece]:
    if start < end:
        where = part_of(block.positions, start, end, len(text))
        yield from packer.add(text[start:end], glue="", positions=where)


def _media(block: Block, headings: str, budget: int) -> Iterator[Piece]:
    """Yield the chunks of a table or figure. The headings right above it lead the first one."""
    lead = count_tokens(headings) + 1 if headings else 0
    if lead * 2 > budget:
        yield Piece(headings)
        headings, lead = "", 0
    is_table = block.kind is BlockKind.TABLE
    for part in split_table(block.text, budget - lead) if is_table else _split_text(block.text, budget - lead):
        text = f"{headings}\n{part}".strip() if headings else part.strip()
        headings = ""
        if text:
            yield Piece(text, kind="table" if is_table else "image", positions=joined(block.positions))


def _split_text(text: str, budget: int) -> Iterator[str]:
    packer = Packer(budget)
    yield from (piece.text for piece in packer.add(text))
    yield from (piece.text for piece in packer.flush())


def _with_children(pieces: Iterable[Piece], delimiters: Delimiters) -> Iterator[Piece]:
    """Cut text chunks again; each child carries the whole text and the place of the chunk that it is a part of."""
    for piece in pieces:
        children = [text.strip() for text in split_keeping(piece.text, delimiters) if text.strip()]
        if piece.kind or len(children) < 2:
            yield piece
            continue
        for text in children:
            yield replace(piece, text=text, parent_text=piece.text)
