"""The way into parsing: finds the reader of a file by its extension and keeps every reader's promises.

What leaves `parse` is a Block, a Notice or a ParseError, whatever the file holds.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ragflow.engine.errors import EngineError, LimitExceeded, MalformedFile, UnsupportedFormat
from ragflow.engine.parsing import (
    csv,
    docx,
    eml,
    epub,
    html,
    image,
    json,
    legacy,
    markdown,
    pdf_apart,
    pptx,
    spreadsheet,
    text,
    xml,
)
from ragflow.engine.parsing.source import MIB, Limits, ParseOptions, Source
from ragflow.engine.types import Block, Notice

Reader = Callable[[Source], Iterator[Block | Notice]]

PLAIN_EXTENSIONS = (
    "txt text log rst tex ini cfg conf toml yml yaml properties"
    " py js mjs java c cc cpp h hpp php go ts tsx jsx sh cs kt sql rb rs swift scala lua r css vue"
)
IMAGE_EXTENSIONS = "png jpg jpeg jpe tif tiff gif webp bmp apng avif ico icon pcx tga"

READERS: dict[str, Reader] = {
    **dict.fromkeys(PLAIN_EXTENSIONS.split(), text.read),
    **dict.fromkeys(IMAGE_EXTENSIONS.split(), image.read),
    **dict.fromkeys(("md", "mdx", "markdown"), markdown.read),
    **dict.fromkeys(("html", "htm", "xhtml"), html.read),
    **dict.fromkeys(("json", "jsonl", "ldjson"), json.read),
    **dict.fromkeys(("xlsx", "xls", "xlsb", "ods"), spreadsheet.read),
    **dict.fromkeys(("doc", "rtf", "odt", "wps"), legacy.read_document),
    **dict.fromkeys(("ppt", "odp"), legacy.read_presentation),
    "csv": csv.read,
    "tsv": csv.read,
    "xml": xml.read,
    "docx": docx.read,
    "pptx": pptx.read,
    "pdf": pdf_apart.read,
    "eml": eml.read,
    "epub": epub.read,
}

DEFAULT_OPTIONS = ParseOptions()
DEFAULT_LIMITS = Limits()
# NULs and lone surrogates cannot be stored as UTF-8 text by databases; pdfium marks unknown characters with U+FFFE.
UNSTORABLE = re.compile("[\x00\ud800-\udfff\ufffe\uffff]")

logger = logging.getLogger(__name__)


def parse(
    path: Path, name: str, *, options: ParseOptions = DEFAULT_OPTIONS, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Block | Notice]:
    """Yield the blocks of the file at `path` in reading order, with notices in between.

    The extension of `name` decides the format. Work is done as items are asked for, so a caller stops by closing the
    generator. Raises ParseError (UnsupportedFormat, MalformedFile, EncryptedFile, LimitExceeded) for what the file
    is, and OSError when the file system fails.
    """
    source = Source(path, name, options, limits)
    source.clock.start()
    characters = 0
    for item in read(source):
        if isinstance(item, Block):
            characters += len(item.text)
            if characters > limits.max_characters:
                raise LimitExceeded(
                    f"{name} holds more than {limits.max_characters} characters of text. Split the file."
                )
        source.check_time()
        source.clock.stop()
        yield item
        source.clock.start()


def read(source: Source) -> Iterator[Block | Notice]:
    """Yield what the reader of the source's format finds, without blank blocks."""
    reader = csv.read if source.options.rows and source.extension == "txt" else READERS.get(source.extension)
    if reader is None:
        raise UnsupportedFormat(_unsupported(source))
    size = source.path.stat().st_size
    if size > source.limits.max_bytes:
        raise LimitExceeded(f"{source.name} is larger than {source.limits.max_bytes / MIB:.0f} MiB. Split the file.")
    if size == 0:
        yield Notice(f"{source.name} is empty.")
        return
    try:
        yield from _storable(reader(source))
    except (EngineError, MemoryError):
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the file system's, not a library's view of the content
            raise
        raise _damaged(source) from error
    except Exception as error:  # libraries meet hostile bytes here and raise anything
        logger.warning("The reader of .%s files failed in an unforeseen way.", source.extension, exc_info=True)
        raise _damaged(source) from error


def _storable(items: Iterator[Block | Notice]) -> Iterator[Block | Notice]:
    for item in items:
        if isinstance(item, Notice):
            yield item
            continue
        text = UNSTORABLE.sub("", item.text)
        if text.strip():
            yield item if text == item.text else replace(item, text=text, cells=_storable_cells(item))


def _storable_cells(block: Block) -> tuple[tuple[str, str], ...]:
    return tuple((UNSTORABLE.sub("", header), UNSTORABLE.sub("", text)) for header, text in block.cells)


def _damaged(source: Source) -> MalformedFile:
    return MalformedFile(f"{source.name} is damaged: its content cannot be read as .{source.extension}.")


def _unsupported(source: Source) -> str:
    if not source.extension:
        return f"{source.name} has no extension, so its format is unknown."
    return f"{source.name} cannot be read: .{source.extension} files are not supported."
