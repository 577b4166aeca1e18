"""Packing text into chunks of a token budget, in reading order.

The budget is an upper bound. Tokens are counted once for each text and added up, with one more for each place where
two texts meet; the sum is therefore a little above the count of the chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragflow.engine.chunking.positions import Positions, joined, part_of
from ragflow.engine.chunking.sentences import last_sentences, last_words, split_long, tokens_within
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Piece


@dataclass(frozen=True, slots=True)
class Unit:
    """A text that is not cut any further. `glue` stands between it and the text before it."""

    text: str
    tokens: int
    positions: Positions = ()
    glue: str = "\n"
    heading: bool = False

    @property
    def cost(self) -> int:
        return self.tokens + 1


class Packer:
    """Takes texts in reading order and gives chunks as they become full.

    A text that does not fit opens a new chunk, and one above the budget is cut into sentences. A heading goes with the
    text after it. With an overlap, that share of the budget repeats the end of the chunk before.
    """

    def __init__(self, budget: int, overlap_percent: int = 0) -> None:
        self._budget = budget
        self._repeat = budget * overlap_percent // 100
        self._units: list[Unit] = []
        self._used = 0
        self._repeated = 0  # how many units at the beginning are the end of the chunk before

    def add(self, text: str, *, glue: str = "\n", positions: Positions = (), heading: bool = False) -> Iterator[Piece]:
        """Append a text; yield the chunks that are full."""
        limit = max(self._budget - self._repeat, 1)
        tokens = tokens_within(text, limit - 1)
        if tokens is None:
            yield from self._add_parts(text, limit - 1, glue, positions)
            return
        unit = Unit(text, tokens, positions, glue, heading)
        while not self._fits(unit):
            if self._is_sparse() and not heading:
                yield from self._add_parts(text, self._budget - self._used - 1, glue, positions)
                return
            yield from self._close()
        self._append(unit)

    def flush(self) -> Iterator[Piece]:
        """Yield what is left; the next text begins a chunk that repeats nothing."""
        if len(self._units) > self._repeated:
            yield from _piece(self._units)
        self._start(())

    def take_headings(self) -> str:
        """Remove the headings at the end, which nothing follows yet, and return them as lines."""
        body = self._body_length()
        headings = self._units[body:]
        self._units = self._units[:body]
        self._used -= sum(unit.cost for unit in headings)
        return "\n".join(unit.text.strip() for unit in headings)

    def _add_parts(self, text: str, limit: int, glue: str, where: Positions) -> Iterator[Piece]:
        start = 0
        for part, tokens in split_long(text, max(limit, 1)):
            end = start + len(part)
            unit = Unit(part, tokens, part_of(where, start, end, len(text)), "" if start else glue)
            while not self._fits(unit):
                yield from self._close()
            self._append(unit)
            start = end

    def _fits(self, unit: Unit) -> bool:
        return not self._units or self._used + unit.cost <= self._budget

    def _is_sparse(self) -> bool:
        """Whether the open chunk is too small to stand alone: only headings, or less than a quarter of the budget."""
        share = 4 if self._body_length() > self._repeated else 2
        return len(self._units) > self._repeated and self._used * share <= self._budget

    def _append(self, unit: Unit) -> None:
        self._units.append(unit)
        self._used += unit.cost

    def _start(self, units: Sequence[Unit], *, repeated: int = 0) -> None:
        self._units = list(units)
        self._used = sum(unit.cost for unit in units)
        self._repeated = repeated

    def _body_length(self) -> int:
        """Return how many units there are before the headings at the end."""
        length = len(self._units)
        while length > self._repeated and self._units[length - 1].heading:
            length -= 1
        return length

    def _close(self) -> Iterator[Piece]:
        """Yield the open chunk and open the next one: with the headings at the end, or with what is repeated."""
        if len(self._units) == self._repeated:
            self._start(())
            return
        body = self._body_length()
        if body == self._repeated:
            body = len(self._units)
        done, headings = self._units[:body], self._units[body:]
        yield from _piece(done)
        if headings:
            self._start(headings)
        else:
            ending = self._ending(done)
            self._start(ending, repeated=len(ending))

    def _ending(self, units: list[Unit]) -> list[Unit]:
        """Return the last texts of a chunk, as much as the next chunk repeats."""
        room = self._repeat
        if room == 0:
            return []
        kept: list[Unit] = []
        for unit in reversed(units):
            if unit.cost > room:
                text = last_sentences(unit.text, room - 1) or ("" if kept else last_words(unit.text, room - 1))
                if text:
                    kept.append(Unit(text, count_tokens(text), unit.positions[-1:], unit.glue))
                break
            kept.append(unit)
            room -= unit.cost
        return kept[::-1]


def _piece(units: list[Unit]) -> Iterator[Piece]:
    text = "".join(part for unit in units for part in (unit.glue, unit.text)).strip()
    if text:
        yield Piece(text, positions=joined(position for unit in units for position in unit.positions))
