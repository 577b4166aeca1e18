"""What pdfium knows about one page: its lines with their place and size, its pictures and its ruling lines.

pdfium is not thread-safe, anywhere. Its only caller is the helper process of one file, which has one thread.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ragflow.engine.errors import EncryptedFile, MalformedFile
from ragflow.engine.parsing import ocr
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import SOFT_HYPHEN

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
LINE_ENDS = (10, 13)
LINE_END_HYPHEN = 2  # how pdfium writes a hyphen where a word goes on in the next line
DEVICE_UNITS = 100  # per point: pdfium turns page coordinates into whole device units
OCR_DPI = 200
RULE = 2.5  # points: what is thinner is a line
MAX_PATHS = 5000  # a page with more is a drawing


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. The edges in points from the top left corner of the page as it is shown."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    baseline: float
    size: float  # of the font, in points


@dataclass(frozen=True, slots=True)
class Page:
    number: int  # from 1
    width: float
    height: float
    lines: tuple[Line, ...]
    picture_share: float  # of the page's area
    is_ruled: bool  # holds lines or boxes that may be those of a table

    @property
    def characters(self) -> int:
        return sum(len(line.text) for line in self.lines)


class PageError(Exception):
    """pdfium cannot read this page; the others it may."""


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """Open the file for `read_page` and close it at the end. Raises EncryptedFile and MalformedFile."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(source.path)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == PASSWORD_ERROR:
            raise EncryptedFile(f"{source.name} needs a password to be opened; upload it without one.") from error
        raise MalformedFile(f"{source.name} is a damaged PDF and cannot be opened.") from error
    try:
        yield document
    finally:
        document.close()


@contextmanager
def _page(document: Any, number: int) -> Iterator[Any]:
    """Hold one page. pdfium's objects are closed here, not whenever the garbage collector comes to them."""
    import pypdfium2

    try:
        page = document[number - 1]
    except pypdfium2.PdfiumError as error:
        raise PageError from error
    try:
        yield page
    except pypdfium2.PdfiumError as error:
        raise PageError from error
    finally:
        page.close()


def read_page(document: Any, number: int) -> Page:
    """Return the page with the given number, counted from 1; raise PageError."""
    with _page(document, number) as page:
        width, height = page.get_size()
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise PageError
        text = page.get_textpage()
        try:
            lines = tuple(_lines(page, text, width, height))
        finally:
            text.close()
        share, ruled = _graphics(page, width * height)
        return Page(number, width, height, lines, share, ruled)


def rendered(document: Any, number: int) -> tuple[bytes, float]:
    """Return the page as a picture for OCR, and its points per pixel; raise PageError."""
    with _page(document, number) as page:
        width, height = page.get_size()
        scale = min(OCR_DPI / 72, math.sqrt(ocr.MAX_PIXELS / (width * height)))
        bitmap = page.render(scale=scale, grayscale=True)
        try:
            image = bitmap.to_pil().copy()
        finally:
            bitmap.close()
    return ocr.grey_png(image), 1 / scale


def _lines(page: Any, text: Any, width: float, height: float) -> Iterator[Line]:
    import pypdfium2.raw as pdfium

    count = text.count_chars()
    codes = [pdfium.FPDFText_GetUnicode(text, index) for index in range(count)]
    to_device = _device_of(page, width, height)
    start = 0
    for end in [*(index for index, code in enumerate(codes) if code in LINE_ENDS or code == LINE_END_HYPHEN), count]:
        span = codes[start:end]
        cut = end < count and codes[end] == LINE_END_HYPHEN
        written = " ".join("".join(map(_character, span)).split())
        if written:
            box = _box(text, start, end - start + cut, to_device, width, height)
            if box is not None:
                baseline, size = _type(text, start, span, to_device)
                yield Line(written + SOFT_HYPHEN * cut, *_at_least(box, baseline, size, height), baseline, size)
        start = end + 1


def _character(code: int) -> str:
    return chr(code) if 32 <= code <= 0x10FFFF else " "


def _device_of(page: Any, width: float, height: float) -> Any:
    """Return the function from a page's own coordinates to points from the top left of the page as shown: turned by
    its rotation, and cut to its crop box."""
    import pypdfium2.raw as pdfium

    size = (round(width * DEVICE_UNITS), round(height * DEVICE_UNITS))

    def to_device(x: float, y: float) -> tuple[float, float]:
        left, top = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, left, top)
        return left.value / DEVICE_UNITS, top.value / DEVICE_UNITS

    return to_device


def _box(
    text: Any, start: int, count: int, to_device: Any, width: float, height: float
) -> tuple[float, float, float, float] | None:
    """Return (left, right, top, bottom) of some characters; None when they lie outside of the page."""
    import pypdfium2.raw as pdfium

    corners: list[tuple[float, float]] = []
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    for index in range(max(pdfium.FPDFText_CountRects(text, start, count), 0)):
        if pdfium.FPDFText_GetRect(text, index, left, top, right, bottom):
            corners += [to_device(left.value, top.value), to_device(right.value, bottom.value)]
    if not corners:
        return None
    horizontal = [min(max(x, 0.0), width) for x, _ in corners]
    vertical = [min(max(y, 0.0), height) for _, y in corners]
    box = (min(horizontal), max(horizontal), min(vertical), max(vertical))
    return box if box[0] < box[1] and box[2] < box[3] else None


def _at_least(
    box: tuple[float, float, float, float], baseline: float, size: float, height: float
) -> tuple[float, float, float, float]:
    """Give a line of a font without measures, or of dashes, the height of its type."""
    left, right, top, bottom = box
    if bottom - top >= 0.3 * size:
        return box
    return left, right, max(min(top, baseline - 0.8 * size), 0.0), min(max(bottom, baseline + 0.2 * size), height)


def _type(text: Any, start: int, span: list[int], to_device: Any) -> tuple[float, float]:
    """Return baseline and font size of a line, taken from a character in its middle: initials may be larger."""
    import pypdfium2.raw as pdfium

    visible = [start + offset for offset, code in enumerate(span) if code > 32]
    index = visible[len(visible) // 2]
    x, y, matrix = ctypes.c_double(), ctypes.c_double(), pdfium.FS_MATRIX()
    pdfium.FPDFText_GetCharOrigin(text, index, x, y)
    scale = math.hypot(matrix.c, matrix.d) if pdfium.FPDFText_GetMatrix(text, index, matrix) else 1.0
    return to_device(x.value, y.value)[1], pdfium.FPDFText_GetFontSize(text, index) * scale


def _graphics(page: Any, area: float) -> tuple[float, bool]:
    """Return the share of the page that pictures cover, and whether its lines may be those of a table."""
    import pypdfium2.raw as pdfium

    pictures = 0.0
    horizontal = vertical = boxes = paths = 0
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        width, height = right - left, top - bottom
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            pictures += width * height
            continue
        paths += 1
        if paths > MAX_PATHS:
            return pictures / area, False
        if height < RULE:
            horizontal += width > 10
        elif width < RULE:
            vertical += height > 5
        else:
            boxes += 1 + pdfium.FPDFPath_CountSegments(item) // 6  # one path may draw a whole grid
    return min(pictures / area, 1.0), (horizontal >= 2 and vertical >= 2) or boxes >= 4
