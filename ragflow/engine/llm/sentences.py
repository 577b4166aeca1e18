"""Cuts the text of a chunk into sentences that can be quoted."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise

# Only tags that parsers write or that are common in documents: `List<String>` and `a < b` are text.
TAG = re.compile(
    r"</?(?:table|thead|tbody|tr|td|th|caption|p|div|span|br|hr|ul|ol|li|h[1-6]|b|i|u|em|strong|a|sup|sub|img|font|"
    r"code|pre|section|article|blockquote)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
EMPTY_CELL = re.compile(r"<t[dh](?:\s[^<>]*)?>\s*</t[dh]>\s*", re.IGNORECASE)
CELL_END = re.compile(r"</t[dh]>\s*(?=<t[dh][\s>])", re.IGNORECASE)
LINE_END = re.compile(r"<br\s*/?>|</(?:tr|caption|p|div|li|h[1-6]|blockquote)>", re.IGNORECASE)

# The end of a sentence: a CJK stop with its closing quotes, or a Western one before white space.
END = re.compile(r"[。！？][”’」』）]*|[.!?…]+[\"'”’)\]]*(?=\s)")
ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:[A-Za-z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|cf|al|Fig|No|Vol|approx|Inc|Ltd|Co)\.$"
)
TERMINAL = tuple('.!?…:;。！？：；|"”’」』）)')
FENCE = "```"
NEW_ITEM = re.compile(r"\s*(?:```|[-*•‣◦–—#|>]|\(?\d{1,3}[.)、]|[（(]?[一二三四五六七八九十]+[)）、])")
WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uff60]")
FULL_LINE = 40  # columns; a line this long without a stop goes on in the next one


def split_sentences(text: str) -> list[str]:
    """Return the sentences, list items, headings, table rows and lines of code of a text, in order, each on one line.

    Markup is removed, lines that only wrap are joined. Nothing else of the wording changes.
    """
    return [sentence for unit in _units(_without_markup(text)) for sentence in _sentences(unit)]


def _without_markup(text: str) -> str:
    if not TAG.search(text):
        return text
    text = LINE_END.sub("\n", CELL_END.sub(", ", EMPTY_CELL.sub("", text)))
    return html.unescape(TAG.sub("", text))


def _units(text: str) -> Iterator[str]:
    """Yield paragraphs, items and headings: lines, joined where one only wraps. Lines of code never do."""
    lines = [line.strip() for line in text.splitlines()]
    unit, is_code = "", False
    for line, following in pairwise([*lines, ""]):
        if line.startswith(FENCE) and line.count(FENCE) == 1:
            is_code = not is_code or line != FENCE  # one with a language opens a block
            continue
        unit += line
        if line and not is_code and _wraps(line, following):
            unit += "" if WIDE.match(line[-1]) and WIDE.match(following[0]) else " "
            continue
        if unit:
            yield unit
        unit = ""


def _wraps(line: str, following: str) -> bool:
    """Tell whether a sentence goes on from this line to the following one."""
    if not following or line.endswith(TERMINAL) or NEW_ITEM.match(following):
        return False
    return following[0].islower() or len(line) + len(WIDE.findall(line)) >= FULL_LINE


def _sentences(unit: str) -> Iterator[str]:
    start = 0
    for match in END.finditer(unit):
        if _is_inside(unit, start, match.start(), match.end()):
            continue
        if sentence := unit[start : match.end()].strip():
            yield sentence
        start = match.end()
    if rest := unit[start:].strip():
        yield rest


def _is_inside(unit: str, start: int, stop: int, end: int) -> bool:
    """Tell whether a full stop belongs to an abbreviation or a list number, or the text goes on in lower case."""
    if unit[stop] != ".":
        return False
    following = unit[end:].lstrip()[:1]
    before = unit[max(0, stop - 12) : stop + 1]
    return following.islower() or bool(ABBREVIATION.search(before)) or unit[start:stop].strip().isdecimal()
