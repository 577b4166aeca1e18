"""Chunk methods: how the blocks of a parsed file become pieces that can be found and cited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ragflow.engine.chunking import naive, table
from ragflow.engine.chunking.options import ChunkOptions
from ragflow.engine.types import Block, Piece

__all__ = ["ChunkOptions", "chunk", "is_native"]

METHODS: dict[str, Callable[[Iterable[Block], ChunkOptions], Iterator[Piece]]] = {
    "naive": naive.chunk,
    "table": table.chunk,
}
"""Chunk methods by their names in the API. A name that is not here is cut as naive."""


def is_native(method: str) -> bool:
    """Tell whether a method cuts by rules of its own."""
    return method in METHODS


def chunk(blocks: Iterable[Block], *, method: str, options: ChunkOptions) -> Iterator[Piece]:
    """Yield the pieces of a file in reading order, while its blocks are still being read. None of them is blank."""
    return METHODS.get(method, naive.chunk)(blocks, options)
