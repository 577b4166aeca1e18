"""From lines to paragraphs and headings, for pages whose only structure is where the ink lies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ragflow.engine.parsing.pdf_page import Line, Page
from ragflow.engine.parsing.text import SOFT_HYPHEN, join_lines
from ragflow.engine.types import Block, BlockKind, Position

HEADING_RATIO = 1.12  # to the size of the body text
HEADING_CHARACTERS = 200
MARGIN = 0.1  # of the page's height, at the top and at the bottom: where running heads are looked for
LIST_ITEM = re.compile(r"[•●▪■◦‣∙·–—*-]\s|[(（]?(\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)）、]\s")
SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’)\]）」』]*\Z")
NUMBERED = re.compile(
    r"(?P<before>.*?)(?P<number>\d{1,5})(?P<after>(\s*(/|of|von|de|sur|共)\s*\d+)?\W*)", re.IGNORECASE
)
NUMBER_FIRST = re.compile(r"(?P<number>\d{1,5})(?P<after>\W.*)")
# What is left of a line that says nothing but the page number, once that is taken out.
ONLY_NUMBER = re.compile(r"\W*(page|seite|p\.?|s\.?|第)?\W*((of|von|de|sur|共)?\W*\d+)?\W*页?", re.IGNORECASE)

RunningHead = tuple[str, int]  # text, and distance of the number in it to the page's own (0 without a number)


@dataclass(frozen=True, slots=True)
class Style:
    """What a document's pages have in common."""

    body_size: float
    heading_sizes: tuple[float, ...]  # descending
    running_heads: frozenset[RunningHead]


def style_of(pages: Sequence[Page]) -> Style:
    """Learn the style from some pages: the body is the size with the most characters, headings are larger."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    headings = sorted((size for size in sizes if size > body * HEADING_RATIO), reverse=True)
    return Style(body, tuple(headings), _running_heads(pages, body))


def without_running_heads(page: Page, style: Style) -> list[Line]:
    """Return the page's lines without headers, footers and page numbers, unless there is nothing else on it."""
    kept = [line for line in page.lines if not style.running_heads.intersection(_heads(page, line, style.body_size))]
    return kept or list(page.lines)


def blocks_of(lines: Iterable[Line], page: Page, style: Style) -> Iterator[Block]:
    """Yield the paragraphs and headings that the lines, in reading order, make up."""
    for paragraph in _paragraphs(list(lines)):
        text = join_lines(line.text for line in paragraph)
        level = _level(paragraph, text, style)
        kind = BlockKind.HEADING if level else BlockKind.TEXT
        yield Block(text, kind, level, tuple(_positions(paragraph, page)))


def _paragraphs(lines: list[Line]) -> Iterator[list[Line]]:
    pitch = _usual_pitch(lines)
    paragraph: list[Line] = []
    for line in lines:
        if paragraph and not _continues(paragraph, line, pitch):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield paragraph


def _usual_pitch(lines: list[Line]) -> float:
    """Return the usual distance of baselines, in font sizes."""
    pitches = [
        (below.baseline - above.baseline) / above.size
        for above, below in pairwise(lines)
        if above.size > 0 and 0.8 < (below.baseline - above.baseline) / above.size < 2.2
    ]
    return median(pitches) if pitches else 1.3


def _continues(paragraph: list[Line], line: Line, pitch: float) -> bool:
    """Tell whether a line belongs to the paragraph that the lines before it began."""
    last = paragraph[-1]
    if abs(line.size - last.size) > 0.1 * max(line.size, last.size) or LIST_ITEM.match(line.text):
        return False
    distance = (line.baseline - last.baseline) / max(line.size, 1.0)
    if distance < -0.5:  # the next column
        return last.text.endswith(SOFT_HYPHEN) or (not SENTENCE_END.search(last.text) and line.text[:1].islower())
    if distance > min(pitch * 1.25, 2.0) or min(line.right, last.right) <= max(line.left, last.left):
        return False
    right = max(line.right, *(earlier.right for earlier in paragraph))
    left = min(line.left, *(earlier.left for earlier in paragraph))
    if SENTENCE_END.search(last.text) and last.right < right - 0.2 * (right - left):
        return False
    indented = line.left - last.left > 0.8 * line.size
    return not (indented and len(paragraph) > 1 and distance > 0.5)


def _level(paragraph: list[Line], text: str, style: Style) -> int:
    """Return the heading level 1..6 by rank of size; 0 for body text."""
    size = round(paragraph[0].size * 2) / 2
    if size <= style.body_size * HEADING_RATIO or len(text) > HEADING_CHARACTERS or len(paragraph) > 3:
        return 0
    return min(sum(larger > size for larger in style.heading_sizes) + 1, 6)


def _positions(paragraph: list[Line], page: Page) -> Iterator[Position]:
    """Yield one rectangle per column that the paragraph runs through."""
    column = [paragraph[0]]
    for above, below in pairwise(paragraph):
        if below.baseline < above.baseline - below.size:
            yield _rectangle(column, page)
            column = []
        column.append(below)
    yield _rectangle(column, page)


def _rectangle(lines: list[Line], page: Page) -> Position:
    return Position(
        page.number,
        left=min(line.left for line in lines),
        right=max(line.right for line in lines),
        top=min(line.top for line in lines),
        bottom=max(line.bottom for line in lines),
    )


def _running_heads(pages: Sequence[Page], body_size: float) -> frozenset[RunningHead]:
    """Find what stands in the margin of many pages: the same text, or a number that counts with the pages."""
    found = Counter(
        head
        for page in pages
        for head in {head for line in page.lines if _stands_apart(page, line) for head in _heads(page, line, body_size)}
    )
    return frozenset(
        head
        for head, count in found.items()
        if count >= 0.4 * len(pages) and count >= (2 if ONLY_NUMBER.fullmatch(head[0].replace("#", "")) else 3)
    )


def _stands_apart(page: Page, line: Line) -> bool:
    """Tell whether a line in the margin is far enough from the text to be no part of it."""
    gaps = [
        max(other.top - line.bottom, line.top - other.bottom) for other in page.lines if not _in_margin(page, other)
    ]
    return bool(gaps) and min(gaps) > line.size


def _in_margin(page: Page, line: Line) -> bool:
    return line.bottom < page.height * MARGIN or line.top > page.height * (1 - MARGIN)


def _heads(page: Page, line: Line, body_size: float) -> set[RunningHead]:
    """Return the running heads that a line may be: as it is, or with a page number at its end or beginning.

    Large type that counts with the pages, as in "Chapter 2", is a title of the text.
    """
    if not _in_margin(page, line):
        return set()
    heads = {(line.text, 0)}
    for pattern in (NUMBERED, NUMBER_FIRST):
        if match := pattern.fullmatch(line.text):
            parts = match.groupdict()
            text = f"{parts.get('before', '').strip()}#{parts['after'].strip()}"
            if line.size <= body_size * HEADING_RATIO or ONLY_NUMBER.fullmatch(text.replace("#", "")):
                heads.add((text, int(parts["number"]) - page.number))
    return heads
