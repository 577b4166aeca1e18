"""Spreadsheets as tables: one chunk per row, which also keeps its cells. What holds no rows is cut as naive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from ragflow.engine.chunking import naive
from ragflow.engine.chunking.options import ChunkOptions
from ragflow.engine.types import Block, BlockKind, Piece


def chunk(blocks: Iterable[Block], options: ChunkOptions) -> Iterator[Piece]:
    for is_row, group in groupby(blocks, key=lambda block: block.kind is BlockKind.ROW):
        if is_row:
            yield from (Piece(block.text, positions=block.positions, cells=block.cells) for block in group)
        else:
            yield from naive.chunk(group, options)
