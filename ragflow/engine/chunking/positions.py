"""Rectangles of pieces: shared out when a block is cut, joined when blocks are packed."""

from __future__ import annotations

from collections.abc import Iterable

from ragflow.engine.types import Position

Positions = tuple[Position, ...]


def part_of(positions: Positions, start: int, end: int, length: int) -> Positions:
    """Return the rectangles that characters start..end of a block cover, if its lines are equally long."""
    if len(positions) < 2 or length <= 0:
        return positions
    first = start * len(positions) // length
    last = -(-end * len(positions) // length)
    return positions[first : max(last, first + 1)]


def joined(positions: Iterable[Position]) -> Positions:
    """Join neighbouring rectangles of one column on a page; drop repeated ones. The order stays."""
    rectangles: list[Position] = []
    for position in positions:
        if rectangles and _same_column(rectangles[-1], position):
            rectangles[-1] = _around(rectangles[-1], position)
        elif position not in rectangles[-2:]:
            rectangles.append(position)
    return tuple(rectangles)


def _same_column(above: Position, below: Position) -> bool:
    """Whether `below` goes on where `above` ends: more than half overlap in width, at most a line between them."""
    if above.page != below.page:
        return False
    overlap = min(above.right, below.right) - max(above.left, below.left)
    narrower = min(above.right - above.left, below.right - below.left)
    gap = below.top - above.bottom
    line = below.bottom - below.top
    return overlap > narrower / 2 and -line <= gap <= 1.5 * line


def _around(one: Position, other: Position) -> Position:
    return Position(
        page=one.page,
        left=min(one.left, other.left),
        right=max(one.right, other.right),
        top=min(one.top, other.top),
        bottom=max(one.bottom, other.bottom),
    )
