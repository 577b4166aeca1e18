"""Pictures, read by OCR: one block per picture, or per page of a TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ragflow.engine.errors import LimitExceeded, MalformedFile, UnsupportedFormat
from ragflow.engine.parsing import ocr
from ragflow.engine.parsing.signatures import mismatch
from ragflow.engine.parsing.source import Source
from ragflow.engine.types import Block, BlockKind, Notice

if TYPE_CHECKING:
    from PIL.Image import Image


def read(source: Source) -> Iterator[Block | Notice]:
    from PIL import Image, UnidentifiedImageError

    if not ocr.available():
        raise UnsupportedFormat(
            f"{source.name} is a picture; reading its text needs tesseract, which is not installed."
        )
    try:
        with ocr.open_picture(source.path) as image:
            yield from _frames(source, image)
    except UnidentifiedImageError as error:
        raise mismatch(source, "a picture that can be opened") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(source) from error
    except (SyntaxError, ValueError) as error:
        raise MalformedFile(f"{source.name} is a damaged picture and cannot be read.") from error


def _frames(source: Source, image: Image) -> Iterator[Block | Notice]:
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > source.limits.max_pages:
        raise LimitExceeded(f"{source.name} has {pages} pages; up to {source.limits.max_pages} are read.")
    for page in range(pages):
        image.seek(page)
        if image.width * image.height > ocr.MAX_SOURCE_PIXELS:
            raise _too_large(source)
        try:
            paragraphs = ocr.recognise(source, ocr.grey_png(image))
        except ocr.OcrError as error:
            yield Notice(f"Page {page + 1} of {source.name} was left out: {error}.")
        else:
            yield Block("\n\n".join(paragraph.text for paragraph in paragraphs), BlockKind.IMAGE)
        yield Notice(fraction=(page + 1) / pages)


def _too_large(source: Source) -> LimitExceeded:
    return LimitExceeded(
        f"{source.name} has more than {ocr.MAX_SOURCE_PIXELS // 1_000_000} million pixels; make it smaller."
    )
