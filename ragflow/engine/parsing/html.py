"""HTML pages: block-level text in reading order, headings with their level, tables as clean HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ragflow.engine.errors import LimitExceeded
from ragflow.engine.parsing.html_nesting import check_nesting
from ragflow.engine.parsing.signatures import refuse_binary
from ragflow.engine.parsing.source import MIB, Source
from ragflow.engine.parsing.tables import Cell, table_html
from ragflow.engine.parsing.text import decode
from ragflow.engine.types import Block, BlockKind, Notice

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

DROPPED = frozenset(
    (
        *("head", "script", "style", "noscript", "template", "nav", "dialog", "map"),
        *("svg", "math", "iframe", "object", "embed", "canvas", "audio", "video"),
        *("button", "input", "select", "option", "datalist", "textarea"),
    )
)
BLOCKS = frozenset(
    (
        *("html", "body", "main", "header", "footer", "section", "article", "aside", "address", "div", "center", "p"),
        *("pre", "blockquote", "hr", "hgroup", "details", "summary", "figure", "figcaption", "form", "fieldset"),
        *("ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"),
    )
)
HEADINGS = {f"h{level}": level for level in range(1, 7)}
MAX_SPAN = 1000
VOID = "area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr"
SELF_CLOSED = re.compile(rf"<(?!(?:{VOID})\b)([A-Za-z][\w:.-]*)(\s[^<>]*)?/>")
CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


def read(source: Source) -> Iterator[Block | Notice]:
    refuse_binary(source)
    data = source.read_bytes(source.limits.max_tree_bytes, "an HTML page")
    markup = decode(data, declared_charset(data))
    yield from blocks_of(from_xhtml(markup) if "<?xml" in markup[:100] else markup, titled=True)


def from_xhtml(markup: str) -> str:
    """Return XHTML as HTML: there `<title/>` and `<a/>` do not close, and would swallow what follows."""
    return SELF_CLOSED.sub(r"<\1\2></\1>", markup)


def declared_charset(data: bytes) -> str:
    found = CHARSET.search(data[:4096])
    return found.group(1).decode("ascii", "ignore") if found else ""


def blocks_of(markup: str, *, titled: bool = False) -> Iterator[Block]:
    """Yield the blocks of a page or fragment. Scripts, styles, comments, navigation and form controls are dropped.

    With `titled`, the page's title is its first heading when it has no h1. Raises LimitExceeded.
    """
    from selectolax.lexbor import LexborHTMLParser

    check_nesting(markup)
    tree = LexborHTMLParser(markup)
    title = tree.css_first("head > title")
    if titled and title is not None and tree.css_first("h1") is None:
        yield Block(_collapse(title.text()), BlockKind.HEADING, level=1)
    if tree.body is not None:
        yield from _walk(tree.body)


def check_markup_size(markup: str, source: Source) -> None:
    """Raise when a page that did not come from its own file is too large to be held as a tree."""
    if len(markup) > source.limits.max_tree_bytes:
        raise LimitExceeded(f"{source.name} holds an HTML part of {len(markup) / MIB:.0f} MiB, which is too large.")


def _walk(root: LexborNode) -> Iterator[Block]:
    """Walk the tree with an own stack, as pages may be nested deeper than Python recurses.

    Text gathers until a block-level element begins or ends. On the stack, a tag in the place of a node is the end of
    that element.
    """
    gathered: list[str] = []
    preformatted = 0
    stack: list[LexborNode | str] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield from _flush(gathered, preformatted=preformatted > 0)
            preformatted -= node == "pre"
            continue
        tag = node.tag or ""
        if tag == "-text":
            gathered.append(_text_of(node, preformatted=preformatted > 0))
        elif tag == "br":
            gathered.append("\n")
        elif tag in BLOCKS or tag in HEADINGS:
            yield from _flush(gathered, preformatted=preformatted > 0)
        if tag.startswith("-") or tag in DROPPED or _is_hidden(node):
            continue
        if tag in HEADINGS:
            yield Block(_collapse(_content(node)), BlockKind.HEADING, level=HEADINGS[tag])
        elif tag == "table" and not _is_layout(node):
            yield Block(_table(node), BlockKind.TABLE)
        else:
            preformatted += tag == "pre"
            if tag in BLOCKS:
                stack.append(tag)
            stack.extend(reversed(list(node.iter(include_text=True))))
    yield from _flush(gathered, preformatted=False)


def _flush(gathered: list[str], *, preformatted: bool) -> Iterator[Block]:
    text = "".join(gathered)
    gathered.clear()
    if preformatted:
        yield Block(text.strip("\n"))
    elif text.strip():
        yield Block("\n".join(line for part in text.split("\n") if (line := _collapse(part))))


def _text_of(node: LexborNode, *, preformatted: bool) -> str:
    text = node.text_content or ""
    return text if preformatted else re.sub(r"\s+", " ", text)


def _content(node: LexborNode) -> str:
    """Return all text below a node, without what is dropped everywhere; line breaks are blanks."""
    parts: list[str] = []
    stack = list(node.iter(include_text=True))[::-1]
    while stack:
        inner = stack.pop()
        tag = inner.tag or ""
        if tag == "-text":
            parts.append(inner.text_content or "")
        elif not tag.startswith("-") and tag not in DROPPED and not _is_hidden(inner):
            if tag == "br" or tag in BLOCKS:
                parts.append(" ")
            stack.extend(reversed(list(inner.iter(include_text=True))))
    return "".join(parts)


def _is_layout(table: LexborNode) -> bool:
    """A table that holds headings or further tables only arranges the page. The first of them tells."""
    below = islice(table.traverse(), 1, None)  # the table itself comes first
    return any(node.tag == "table" or node.tag in HEADINGS for node in below)


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return "hidden" in attributes or attributes.get("aria-hidden") == "true"


def _table(node: LexborNode) -> str:
    caption = node.css_first("caption")
    rows = ([_table_cell(cell) for cell in row.iter() if cell.tag in ("td", "th")] for row in node.css("tr"))
    return table_html(rows, _content(caption) if caption is not None else "")


def _table_cell(cell: LexborNode) -> Cell:
    attributes = cell.attributes
    return Cell(
        _content(cell),
        header=cell.tag == "th",
        colspan=_span(attributes.get("colspan")),
        rowspan=_span(attributes.get("rowspan")),
    )


def _span(value: str | None) -> int:
    return min(max(int(value), 1), MAX_SPAN) if value and value.isascii() and value.isdigit() and len(value) < 6 else 1


def _collapse(text: str) -> str:
    return " ".join(text.split())
