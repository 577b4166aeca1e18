"""PDF files, page by page: the text layer, tables where lines are ruled, OCR where there is only a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ragflow.engine.errors import LimitExceeded, MalformedFile
from ragflow.engine.parsing import ocr
from ragflow.engine.parsing.pdf_layout import Style, blocks_of, style_of, without_running_heads
from ragflow.engine.parsing.pdf_page import Line, Page, PageError, opened, read_page, rendered
from ragflow.engine.parsing.pdf_tables import Table, TableFinder
from ragflow.engine.parsing.signatures import mismatch
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import join_lines
from ragflow.engine.types import Block, BlockKind, Notice, Position

SAMPLE_PAGES = 24  # from which the style of the document is learnt
SCAN_CHARACTERS = 16  # a page with less text, and
SCAN_SHARE = 0.05  # at least this much of it covered by pictures, is a scan


@dataclass(slots=True)
class _Unread:
    """Pages that gave nothing, by reason, for a notice at the end."""

    damaged: list[int] = field(default_factory=list)
    scanned: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)


def read(source: Source) -> Iterator[Block | Notice]:
    if b"%PDF-" not in source.head(1024):
        raise mismatch(source, "a PDF")
    with opened(source) as document, closing(TableFinder(source)) as finder:
        numbers = _selected_pages(source, len(document))
        style = _style(source, document, numbers[:SAMPLE_PAGES])
        unread = _Unread()
        for done, number in enumerate(numbers, start=1):
            yield from _page(source, document, number, style, finder, unread)
            yield Notice(fraction=done / len(numbers))
        if len(unread.damaged) == len(numbers):
            raise MalformedFile(f"{source.name} is a damaged PDF: none of its pages can be read.")
        yield from _notices(source, unread)


def _selected_pages(source: Source, count: int) -> list[int]:
    """Return the numbers of the pages to read, ascending, each once."""
    ranges = source.options.pages or ((1, count),)
    numbers: set[int] = set()
    for first, last in ranges:
        numbers.update(range(max(first, 1), min(last, count) + 1))
    if len(numbers) > source.limits.max_pages:
        raise LimitExceeded(
            f"{source.name} has {len(numbers)} pages to read; {source.limits.max_pages} are allowed."
            " Split it or choose a range of pages."
        )
    if not numbers:
        raise MalformedFile(f"{source.name} has {count} pages; none of them lies in the range of pages to read.")
    return sorted(numbers)


def _style(source: Source, document: Any, numbers: list[int]) -> Style:
    pages: list[Page] = []
    for number in numbers:
        source.check_time()
        try:
            pages.append(read_page(document, number))
        except PageError:
            continue  # told when its turn comes
    return style_of(pages)


def _page(
    source: Source, document: Any, number: int, style: Style, finder: TableFinder, unread: _Unread
) -> Iterator[Block]:
    try:
        page = read_page(document, number)
        if page.characters < SCAN_CHARACTERS and page.picture_share >= SCAN_SHARE:
            if ocr.available() and not source.options.plain_text:
                yield from _scan(source, document, page, unread)
                return
            unread.scanned.append(number)
    except PageError:
        unread.damaged.append(number)
        return
    lines = without_running_heads(page, style)
    if source.options.plain_text:
        yield from (Block(block.text, block.kind, block.level) for block in blocks_of(lines, page, style))
        return
    tables = finder.tables_of(page) if page.is_ruled else []
    yield from _text_and_tables(lines, tables, page, style)


def _text_and_tables(lines: list[Line], tables: list[Table], page: Page, style: Style) -> Iterator[Block]:
    """Yield a table in the place of the first line that lies in it, and none of those lines."""
    waiting: list[Line] = []
    given: set[Table] = set()
    for line in lines:
        table = next((table for table in tables if table.holds(line)), None)
        if table is None:
            waiting.append(line)
        elif table not in given:
            yield from blocks_of(waiting, page, style)
            waiting = []
            given.add(table)
            box = Position(page.number, table.left, table.right, table.top, table.bottom)
            yield Block(table.html, BlockKind.TABLE, positions=(box,))
    yield from blocks_of(waiting, page, style)


def _scan(source: Source, document: Any, page: Page, unread: _Unread) -> Iterator[Block]:
    picture, points = rendered(document, page.number)
    try:
        paragraphs = ocr.recognise(source, picture)
    except ocr.OcrError:
        unread.failed.append(page.number)
        return
    for paragraph in paragraphs:
        box = Position(
            page.number,
            left=min(paragraph.left * points, page.width),
            right=min(paragraph.right * points, page.width),
            top=min(paragraph.top * points, page.height),
            bottom=min(paragraph.bottom * points, page.height),
        )
        yield Block(join_lines(paragraph.text.split("\n")), positions=(box,))


def _notices(source: Source, unread: _Unread) -> Iterator[Notice]:
    if unread.damaged:
        yield Notice(f"{_pages(unread.damaged)} of {source.name} could not be read: damaged.")
    if unread.failed:
        yield Notice(f"{_pages(unread.failed)} of {source.name} could not be read by OCR.")
    if unread.scanned:
        way = "choose another layout option than Plain Text" if source.options.plain_text else "install tesseract"
        yield Notice(f"No text layer: {_pages(unread.scanned)} of {source.name}. To have pictures read, {way}.")


def _pages(numbers: list[int]) -> str:
    """Return "Page 3" or "Pages 3, 5-9"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    listed = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"{'Page' if len(numbers) == 1 else 'Pages'} {listed}"
