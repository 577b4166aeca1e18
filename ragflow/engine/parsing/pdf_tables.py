"""Tables of ruled PDF pages, found by pdfplumber (exact and slow, so it sees only pages with ruling lines)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ragflow.engine.parsing.pdf_page import Line, Page
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.tables import Cell, table_html

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as HTML; the edges in points from the top left corner of the page as it is shown."""

    html: str
    left: float
    right: float
    top: float
    bottom: float

    def holds(self, line: Line) -> bool:
        x, y = (line.left + line.right) / 2, (line.top + line.bottom) / 2
        return self.left <= x <= self.right and self.top <= y <= self.bottom


class TableFinder:
    """Reads the file's structure when the first ruled page asks for it."""

    def __init__(self, source: Source) -> None:
        self._file = source.path.open("rb")
        self._document: Any = None

    def tables_of(self, page: Page) -> list[Table]:
        """Return the page's tables, empty when there are none or when pdfplumber fails: its lines remain as text."""
        import pdfplumber

        try:
            if self._document is None:
                self._document = pdfplumber.open(self._file)
            return list(_tables(self._document.pages[page.number - 1], page))
        except MemoryError:
            raise
        except Exception:  # pdfminer meets hostile bytes here and raises anything
            logger.info("The tables of page %d could not be looked for.", page.number, exc_info=True)
            return []

    def close(self) -> None:
        """Close the file only: the document's own closing parses all pages, and fails where they are damaged."""
        self._file.close()


def _tables(ruled: Any, page: Page) -> Iterator[Table]:
    try:
        shown = ruled.cropbox if ruled.cropbox[2] > ruled.cropbox[0] else ruled.bbox
        for table in ruled.find_tables():
            rows = table.extract()
            if not _is_table(rows):
                continue
            left, top, right, bottom = table.bbox
            yield Table(
                _html(table.rows, rows),
                left=_within(left - shown[0], page.width),
                right=_within(right - shown[0], page.width),
                top=_within(top - shown[1], page.height),
                bottom=_within(bottom - shown[1], page.height),
            )
    finally:
        ruled.close()  # frees the page's objects; the document keeps them otherwise


def _is_table(rows: list[list[str | None]]) -> bool:
    """Two rows and columns at least, and mostly filled: charts and frames have lines too."""
    cells = [cell for row in rows for cell in row if cell is not None]
    filled = sum(bool(cell.strip()) for cell in cells)
    return len(rows) > 1 and max(map(len, rows)) > 1 and filled >= 0.4 * len(cells) and filled > 1


def _html(rows: Any, texts: list[list[str | None]]) -> str:
    """A cell that covers several columns or rows reaches over the places where others begin."""
    boxes = [box for row in rows for box in row.cells if box is not None]
    lefts, tops = {box[0] for box in boxes}, {box[1] for box in boxes}
    return table_html(
        [
            Cell(
                text or "",
                header=number == 0,
                colspan=sum(box[0] <= left < box[2] for left in lefts),
                rowspan=sum(box[1] <= top < box[3] for top in tops),
            )
            for box, text in zip(row.cells, row_texts, strict=True)
            if box is not None
        ]
        for number, (row, row_texts) in enumerate(zip(rows, texts, strict=True))
    )


def _within(value: float, size: float) -> float:
    return min(max(float(value), 0.0), size)
