"""The one form of a table that leaves the parsers: HTML with table, caption, tr, th and td, and spans."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    text: str = ""
    header: bool = False
    colspan: int = 1
    rowspan: int = 1


def table_html(rows: Iterable[Iterable[Cell]], caption: str = "") -> str:
    """Return the table's HTML, one row per line; rows without a cell are left out."""
    lines = [f"<tr>{cells}</tr>" for row in rows if (cells := "".join(map(_cell, row)))]
    title = f"<caption>{_inline(caption)}</caption>" if caption.strip() else ""
    return f"<table>{title}\n" + "\n".join(lines) + "\n</table>" if lines else ""


def grid_html(rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return the HTML of a table without spans whose first row holds the headers."""
    cells = ([Cell(text, header=index == 0) for text in row] for index, row in enumerate(rows))
    return table_html(cells, caption)


def _cell(cell: Cell) -> str:
    tag = "th" if cell.header else "td"
    spans = "".join(
        f' {name}="{value}"' for name, value in (("colspan", cell.colspan), ("rowspan", cell.rowspan)) if value > 1
    )
    return f"<{tag}{spans}>{_inline(cell.text)}</{tag}>"


def _inline(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False)
