"""Markdown: the block elements of CommonMark with tables, each with its source text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ragflow.engine.parsing import html
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.tables import grid_html
from ragflow.engine.parsing.text import read_text, slabs
from ragflow.engine.types import Block, BlockKind, Notice

if TYPE_CHECKING:
    from markdown_it.token import Token

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
LISTS = ("bullet_list_open", "ordered_list_open")


def read(source: Source) -> Iterator[Block | Notice]:
    text = read_text(source)
    if front := FRONT_MATTER.match(text):
        yield Block(front.group(1).strip("\n"))
        text = text[front.end() :]
    done = 0
    for slab in slabs(text):  # the parser's tokens take fifty times the memory of their text
        yield from _blocks(slab)
        done += len(slab)
        yield Notice(fraction=done / len(text))


def _blocks(text: str) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    lines = text.split("\n")
    tokens = parser.parse(text)
    position = 0
    while position < len(tokens):
        end = _end_of(tokens, position)
        yield from _block(tokens[position:end], lines)
        position = end


def _end_of(tokens: Sequence[Token], position: int) -> int:
    """Return the index behind the element that begins at `position`."""
    depth = 0
    for index in range(position, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index + 1
    return len(tokens)


def _block(tokens: Sequence[Token], lines: list[str]) -> Iterator[Block]:
    first = tokens[0]
    if first.type == "heading_open":
        yield Block(tokens[1].content, BlockKind.HEADING, level=int(first.tag[1]))
    elif first.type == "table_open":
        yield Block(_table(tokens), BlockKind.TABLE)
    elif first.type == "html_block":
        yield from html.blocks_of(first.content)
    elif first.type in LISTS:
        for token in tokens:
            if token.type == "list_item_open" and token.level == first.level + 1:
                yield Block(_source(token, lines))
    elif first.type != "hr":
        yield Block(_source(first, lines))


def _source(token: Token, lines: list[str]) -> str:
    start, end = token.map or (0, 0)
    return "\n".join(lines[start:end]).strip("\n").rstrip()


def _table(tokens: Sequence[Token]) -> str:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return grid_html(rows)
