"""Cutting an HTML table by rows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragflow.engine.chunking.sentences import split_long, tokens_within
from ragflow.engine.tokens import count_tokens

TAG = re.compile(r"<(/?)(table|tr)\b[^>]*>", re.IGNORECASE)
CAPTION = re.compile(r"<caption\b.*?</caption>", re.IGNORECASE | re.DOTALL)
CELL_TAG = re.compile(r"</?t[hd]\b[^>]*>", re.IGNORECASE)
ANY_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Table:
    opening: str  # <table ...> and the caption
    header: str  # leading rows without data cells
    rows: tuple[str, ...]

    @classmethod
    def read(cls, source: str) -> Table:
        """Take the rows of the outermost table; tables inside cells stay where they are."""
        opening, rows = "<table>", []
        depth, start = 0, 0
        for tag in TAG.finditer(source):
            closes, name = bool(tag[1]), tag[2].lower()
            if name == "table":
                depth += -1 if closes else 1
                if depth == 1 and not closes:
                    opening = tag.group()
            elif depth == 1 and not closes:
                start = tag.start()
            elif depth == 1:
                rows.append(source[start : tag.end()])
        caption = CAPTION.search(source)
        headers = next((n for n, row in enumerate(rows) if not _is_header(row)), 0)
        header = "".join(f"{row}\n" for row in rows[:headers])
        return cls(opening + (caption.group() if caption else ""), header, tuple(rows[headers:]))

    def of(self, rows: list[str], *, header: bool = True) -> str:
        lines = "".join(f"{row}\n" for row in rows)
        return f"{self.opening}\n{self.header if header else ''}{lines}</table>"


def split_table(source: str, budget: int) -> Iterator[str]:
    """Yield tables of whole rows within the token budget, each with the caption and the header rows.

    A row above the budget becomes one-cell rows with its text. Where no row can be recognised, the text is cut.
    """
    if tokens_within(source, budget) is not None:
        yield source
        return
    table = Table.read(source)
    if not table.rows:
        yield from (part for part, _ in split_long(source, budget))
        return
    frame = count_tokens(table.of([]))
    header = frame * 2 <= budget
    room = max(budget - (frame if header else count_tokens(table.of([], header=False))), 1)
    rows: list[str] = []
    used = 0
    for row, tokens in _fitting(table.rows, room):
        if rows and used + tokens > room:
            yield table.of(rows, header=header)
            rows, used = [], 0
        rows.append(row)
        used += tokens
    yield table.of(rows, header=header)


def _is_header(row: str) -> bool:
    return "<th" in row.lower() and "<td" not in row.lower()


def _fitting(rows: tuple[str, ...], room: int) -> Iterator[tuple[str, int]]:
    wrapping = count_tokens("<tr><td></td></tr>") + 1
    for row in rows:
        tokens = tokens_within(row, room - 1)
        if tokens is not None:
            yield row, tokens + 1
            continue
        for part, length in split_long(_text_of(row), max((room - wrapping) * 2 // 3, 1)):
            if part.strip():
                yield f"<tr><td>{html.escape(part.strip(), quote=False)}</td></tr>", length + wrapping


def _text_of(row: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(ANY_TAG.sub("", CELL_TAG.sub(" ", row)))).strip()
