"""Word documents: paragraphs, headings and tables in the order of the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragflow.engine.errors import MalformedFile
from ragflow.engine.parsing import ocr
from ragflow.engine.parsing.archives import check_archive
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.tables import Cell, table_html
from ragflow.engine.types import Block, BlockKind, Notice

if TYPE_CHECKING:
    from docx.document import Document

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
R_EMBED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}embed"
BLIP = "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
TEXT_RUNS = (f"{W}t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t")
TEXT_BOX = f"{W}txbxContent"
# Not part of the reading text: the second copy of a drawing for old programs, and what a revision took away.
SKIPPED = frozenset({FALLBACK, f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}rPr", f"{W}sdtPr", f"{W}tblPr", f"{W}trPr"})
BREAKS = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}

Element = Any  # an lxml element


def read(source: Source) -> Iterator[Block | Notice]:
    check_archive(source, expected="a Word document", prefix="word/")
    document = _open(source)
    levels = _heading_levels(document)
    pictures = ocr.Pictures(source)
    for element in _body_items(document.element.body):
        if element.tag == f"{W}tbl":
            yield Block(_table(element), BlockKind.TABLE)
        else:
            yield from _paragraph(element, levels)
        for blip in _found(element, BLIP):
            yield from pictures.read(_picture(document, blip.get(R_EMBED)))
    yield from pictures.notices()


def _open(source: Source) -> Document:
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        document = docx.Document(str(source.path))
        if document.element.body is None:
            raise KeyError("body")
    except (OpcError, LxmlError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise MalformedFile(f"{source.name} is a damaged Word document and cannot be read.") from error
    return document


def _body_items(parent: Element) -> Iterator[Element]:
    """Yield paragraphs and tables in order, also those inside content controls and tracked insertions."""
    for child in parent:
        if child.tag in (f"{W}p", f"{W}tbl"):
            yield child
        elif child.tag not in SKIPPED:
            yield from _body_items(child)


def _paragraph(paragraph: Element, levels: dict[str, int]) -> Iterator[Block]:
    level = _level(paragraph, levels)
    text = _text(paragraph).strip()
    yield Block(" ".join(text.split()), BlockKind.HEADING, level=level) if level and text else Block(text)
    for box in _found(paragraph, TEXT_BOX):
        for item in _body_items(box):
            if item.tag == f"{W}tbl":
                yield Block(_table(item), BlockKind.TABLE)
            else:
                yield from _paragraph(item, levels)


def _text(element: Element) -> str:
    """Return the text of a paragraph, without that of text boxes drawn in it."""
    parts: list[str] = []
    for child in element:
        if child.tag in TEXT_RUNS:
            parts.append(child.text or "")
        elif child.tag in BREAKS:
            parts.append(BREAKS[child.tag])
        elif child.tag not in SKIPPED and child.tag != TEXT_BOX:
            parts.append(_text(child))
    return "".join(parts)


def _found(element: Element, tag: str) -> Iterator[Element]:
    """Yield the outermost elements of a tag below `element`, skipping second copies."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag not in SKIPPED and (child.tag != TEXT_BOX or tag != TEXT_BOX):
            yield from _found(child, tag)


def _level(paragraph: Element, levels: dict[str, int]) -> int:
    own = paragraph.find(f"{W}pPr/{W}outlineLvl")
    if own is not None:
        return _outline(own)
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    return levels.get(style.get(f"{W}val"), 0) if style is not None else 0


def _heading_levels(document: Document) -> dict[str, int]:
    """Return style id -> level 1..6 of the heading styles and of the styles based on them."""
    styles = {style.get(f"{W}styleId"): style for style in document.styles.element.iterfind(f"{W}style")}
    return {name: level for name in styles if (level := _style_level(styles, name))}


def _style_level(styles: dict[str, Element], name: str | None) -> int:
    seen: set[str] = set()
    while name and name in styles and name not in seen:
        seen.add(name)
        style = styles[name]
        label = _value(style.find(f"{W}name")).lower()
        if label == "title":
            return 1
        if label.startswith("heading ") and label[8:].isdigit():
            return min(max(int(label[8:]), 1), 6)
        outline = style.find(f"{W}pPr/{W}outlineLvl")
        if outline is not None:
            return _outline(outline)
        name = _value(style.find(f"{W}basedOn"))
    return 0


def _outline(element: Element) -> int:
    """Word counts outline levels from 0; 9 is body text."""
    value = _value(element)
    return min(int(value) + 1, 6) if value.isdigit() and int(value) < 9 else 0


def _value(element: Element | None) -> str:
    return "" if element is None else element.get(f"{W}val") or ""


def _table(table: Element) -> str:
    """Return the HTML; a cell that goes on below (vMerge) becomes a rowspan of the one where it began."""
    grid: list[list[_Slot]] = []
    above: dict[int, _Slot] = {}  # column -> the cell whose vertical merge is open there
    for number, row in enumerate(_found(table, f"{W}tr")):
        slots: list[_Slot] = []
        column = 0
        for cell in _found(row, f"{W}tc"):
            span = _span(cell)
            merge = cell.find(f"{W}tcPr/{W}vMerge")
            if merge is not None and _value(merge) != "restart" and column in above:
                above[column].rowspan += 1
            else:
                slot = _Slot(_cell_text(cell), number == 0, span)
                slots.append(slot)
                above.pop(column, None)
                if merge is not None:
                    above[column] = slot
            column += span
        grid.append(slots)
    return table_html([[slot.cell() for slot in slots] for slots in grid])


@dataclass(slots=True)
class _Slot:
    """A cell whose rowspan still grows."""

    text: str
    header: bool
    colspan: int
    rowspan: int = 1

    def cell(self) -> Cell:
        return Cell(self.text, self.header, self.colspan, self.rowspan)


def _span(cell: Element) -> int:
    value = _value(cell.find(f"{W}tcPr/{W}gridSpan"))
    return min(max(int(value), 1), 1000) if value.isdigit() and len(value) < 6 else 1


def _cell_text(cell: Element) -> str:
    """Return a cell's paragraphs, and those of tables within it, as one text."""
    return " ".join(_text(paragraph) for paragraph in _found(cell, f"{W}p"))


def _picture(document: Document, relation: str | None) -> bytes:
    part = document.part.related_parts.get(relation) if relation else None
    return part.blob if part is not None else b""
