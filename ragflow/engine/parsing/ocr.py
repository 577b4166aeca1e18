"""Reading pictures with tesseract, where it is installed (the package and its languages belong to the system)."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import join_lines
from ragflow.engine.types import Block, BlockKind, Notice

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE_SECONDS = 120.0
MAX_SOURCE_PIXELS = 100_000_000  # of a picture to be opened; it is held in memory
MAX_PIXELS = 40_000_000  # of a picture to be read; a sheet of A3 at 300 dpi has 17 million
MIN_SIDE = 40  # pixels: smaller pictures are icons and rules
LANGUAGES = ("eng", "chi_sim")  # those that are installed are used together
# Of all that Pillow opens: its EPS reader, for one, starts Ghostscript.
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "TIFF", "WEBP", "BMP", "DIB", "AVIF", "ICO", "PCX", "TGA")
WORD = "5"  # the level of words in tesseract's table


class OcrError(Exception):
    """One picture could not be read; the file around it still can."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text that tesseract sees as a unit; the edges in pixels from the top left corner."""

    text: str
    left: int
    right: int
    top: int
    bottom: int


def available() -> bool:
    return shutil.which("tesseract") is not None


def recognise(source: Source, picture: bytes) -> list[Paragraph]:
    """Return the paragraphs of an encoded picture (PNG, PGM) in reading order; raise OcrError."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            ["tesseract", "stdin", "stdout", "--psm", "3", "-l", _languages(), "tsv"],  # noqa: S607 - the system's own
            input=picture,
            capture_output=True,
            check=True,
            timeout=min(PAGE_SECONDS, source.seconds_left()),
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # more threads make it slower and starve other workers
        )
    except subprocess.TimeoutExpired as error:
        raise OcrError("reading took too long") from error
    except (subprocess.CalledProcessError, OSError) as error:
        raise OcrError("tesseract failed") from error
    return list(_paragraphs(done.stdout.decode("utf-8", "replace")))


def open_picture(file: Path | io.BytesIO) -> Image:
    """Open a picture of the known formats; raise what Pillow raises."""
    from PIL import Image

    Image.init()
    return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def grey_png(image: Image) -> bytes:
    """Return a picture as tesseract wants it: upright, grey, on white, not larger than it can hold."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        canvas = image.convert("RGBA")
        white = canvas.copy()
        white.paste("white", (0, 0, *canvas.size))
        white.alpha_composite(canvas)
        image = white
    image = image.convert("L")
    if (pixels := image.width * image.height) > MAX_PIXELS:
        scale = (MAX_PIXELS / pixels) ** 0.5
        image = image.resize((max(int(image.width * scale), 1), max(int(image.height * scale), 1)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _languages() -> str:
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S607 - found on PATH, as its owner installed it
    installed = set(listed.stdout.split())
    return "+".join(language for language in LANGUAGES if language in installed) or "eng"


def _paragraphs(table: str) -> Iterator[Paragraph]:
    """Columns: level page block par line word left top width height conf text."""
    words = [row for line in table.split("\n") if len(row := line.split("\t")) == 12 and row[0] == WORD]
    for _, group in groupby((row for row in words if row[11].strip()), key=lambda row: row[1:4]):
        paragraph = list(group)
        lines = [join_lines(row[11] for row in line) for _, line in groupby(paragraph, key=lambda row: row[4])]
        boxes = [tuple(map(int, row[6:10])) for row in paragraph]
        yield Paragraph(
            text="\n".join(lines),
            left=min(left for left, _, _, _ in boxes),
            right=max(left + width for left, _, width, _ in boxes),
            top=min(top for _, top, _, _ in boxes),
            bottom=max(top + height for _, top, _, height in boxes),
        )


class Pictures:
    """The pictures embedded in one office document: each is read once, and what was not read is told at the end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[bytes] = set()
        self._unread = 0
        self._available = available()

    def read(self, content: bytes) -> Iterator[Block]:
        digest = hashlib.sha256(content).digest()
        if not content or digest in self._seen:
            return
        self._seen.add(digest)
        if not self._available:
            self._unread += 1
            return
        try:
            picture = _embedded_png(content)
            paragraphs = recognise(self._source, picture) if picture else []
        except OcrError:
            self._unread += 1
            return
        yield Block("\n\n".join(paragraph.text for paragraph in paragraphs), BlockKind.IMAGE)

    def notices(self) -> Iterator[Notice]:
        if not self._unread:
            return
        reason = "tesseract failed" if self._available else "install tesseract to have pictures read"
        subject = f"{self._unread} pictures in {self._source.name} were"
        if self._unread == 1:
            subject = f"1 picture in {self._source.name} was"
        yield Notice(f"{subject} left out: {reason}.")


def _embedded_png(content: bytes) -> bytes:
    """Return the picture for tesseract; empty when it is too small for text."""
    from PIL import Image

    try:
        with open_picture(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_SOURCE_PIXELS:
                raise OcrError("the picture is too large")
            return grey_png(image) if min(image.size) >= MIN_SIDE else b""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OcrError("not a picture that can be opened") from error
