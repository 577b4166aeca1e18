"""PowerPoint presentations: a slide is a page, and everything on it carries the whole slide as its position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ragflow.engine.errors import LimitExceeded, MalformedFile
from ragflow.engine.parsing import ocr
from ragflow.engine.parsing.archives import check_archive
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.tables import Cell, table_html
from ragflow.engine.types import Block, BlockKind, Notice, Position

if TYPE_CHECKING:
    from pptx.presentation import Presentation

EMU_PER_POINT = 12700
DEFAULT_SIZE = (720, 540)  # points, of the slides of a presentation that does not name one

Shape = Any  # python-pptx types its shapes by class, and text, table and group are asked for by attribute


def read(source: Source) -> Iterator[Block | Notice]:
    check_archive(source, expected="a PowerPoint presentation", prefix="ppt/")
    presentation = _open(source)
    width, height = (presentation.slide_width, presentation.slide_height)
    slides = presentation.slides
    if len(slides) > source.limits.max_pages:
        raise LimitExceeded(f"{source.name} has {len(slides)} slides; up to {source.limits.max_pages} are read.")
    pictures = ocr.Pictures(source)
    for number, slide in enumerate(slides, start=1):
        whole = Position(
            number,
            left=0,
            right=width / EMU_PER_POINT if width else DEFAULT_SIZE[0],
            top=0,
            bottom=height / EMU_PER_POINT if height else DEFAULT_SIZE[1],
        )
        for block in _slide(slide, pictures):
            yield Block(block.text, block.kind, block.level, (whole,))
        yield Notice(fraction=number / len(slides))
    yield from pictures.notices()


def _open(source: Source) -> Presentation:
    import pptx
    from lxml.etree import LxmlError
    from pptx.exc import PythonPptxError

    try:
        presentation = pptx.Presentation(str(source.path))
        len(presentation.slides)
    except (PythonPptxError, LxmlError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise MalformedFile(f"{source.name} is a damaged presentation and cannot be read.") from error
    return presentation


def _slide(slide: Any, pictures: ocr.Pictures) -> Iterator[Block]:
    title = slide.shapes.title
    for shape in _in_reading_order(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            yield Block(" ".join(shape.text_frame.text.split()), BlockKind.HEADING, level=1)
        elif getattr(shape, "has_table", False):
            yield Block(_table(shape.table), BlockKind.TABLE)
        elif shape.has_text_frame:
            yield Block(_text(shape.text_frame))
        else:
            yield from pictures.read(_picture(shape))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield Block(_text(slide.notes_slide.notes_text_frame))


def _in_reading_order(shapes: Iterable[Shape]) -> Iterator[Shape]:
    """Yield shapes by top, then left; the shapes of a group stand together in the place of the group."""
    from pptx.enum.shapes import MSO_SHAPE_TYPE

    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            yield from _in_reading_order(shape.shapes)
        else:
            yield shape


def _text(frame: Any) -> str:
    """Return the paragraphs, one per line. A line break within one, which is a vertical tab, becomes a blank."""
    lines = (" ".join(paragraph.text.split()) for paragraph in frame.paragraphs)
    return "\n".join(line for line in lines if line)


def _table(table: Any) -> str:
    return table_html(
        [
            Cell(cell.text, number == 0, cell.span_width, cell.span_height)
            if cell.is_merge_origin
            else Cell(cell.text, number == 0)
            for cell in row.cells
            if not cell.is_spanned
        ]
        for number, row in enumerate(table.rows)
    )


def _picture(shape: Shape) -> bytes:
    """Return the picture's file; empty for other shapes and for pictures that are only linked."""
    try:
        content: bytes = shape.image.blob
    except (AttributeError, ValueError, KeyError):
        return b""
    return content
