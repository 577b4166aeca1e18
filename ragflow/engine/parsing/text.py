"""Plain text and source code, and the decoding of bytes for every text format."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from ragflow.engine.errors import LimitExceeded
from ragflow.engine.parsing.signatures import refuse_binary
from ragflow.engine.parsing.source import Source
from ragflow.engine.types import Block, BlockKind, Notice

SLAB = 1_000_000  # characters: files above are handed on in parts, so that a caller can stop between them
SOFT_HYPHEN = "\u00ad"
HYPHENATED = re.compile(r"[^\W\d_]-\Z")
CJK = re.compile(r"[\u2e80-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read(source: Source) -> Iterator[Block | Notice]:
    text = read_text(source)
    done = 0
    for slab in slabs(text):
        yield Block(slab, BlockKind.PLAIN)
        done += len(slab)
        yield Notice(fraction=done / len(text))


def read_text(source: Source, *, declared: str = "") -> str:
    """Return the file's text with newlines normalised; raise when it is binary or too large."""
    refuse_binary(source)
    size, allowed = source.path.stat().st_size, source.limits.max_characters
    if size > 4 * allowed:  # no encoding takes more than four bytes for a character
        raise LimitExceeded(f"{source.name} holds more than {allowed} characters of text. Split the file.")
    return decode(source.path.read_bytes(), declared)


def decode(data: bytes, declared: str = "") -> str:
    """Return the text of `data` with newlines as \\n and without NULs. Never raises.

    A byte order mark wins, then UTF-8 (a few damaged bytes are forgiven), then the `declared` encoding, then
    GB18030 where the result looks like Chinese, and Windows-1252 for the rest.
    """
    text = _decoded(data, declared)
    return text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")


def join_lines(lines: Iterable[str]) -> str:
    """Return the lines of one paragraph as running text: words cut at a line's end are whole again, and there is
    no blank between two CJK characters."""
    text = ""
    for line in lines:
        if text.endswith(SOFT_HYPHEN) or (HYPHENATED.search(text[-2:]) and line[:1].islower()):
            text = text[:-1] + line
        elif text and not (CJK.match(text[-1]) and CJK.match(line[:1])):
            text = f"{text} {line}"
        else:
            text += line
    return text.replace(SOFT_HYPHEN, "-")


def _decoded(data: bytes, declared: str) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if encoding := _unmarked_utf16(data):
        return data.decode(encoding, "replace")
    if (text := _utf8(data)) is not None:
        return text
    for encoding, plausible in ((declared, _any), ("gb18030", _looks_chinese), ("cp1252", _any)):
        try:
            text = data.decode(encoding)
        except (LookupError, ValueError):
            continue
        if plausible(text):
            return text
    return data.decode("latin-1")


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    foreign = sum(not character.isascii() for character in text) - damaged
    return text if damaged * 20 <= foreign else None


def _unmarked_utf16(data: bytes) -> str:
    """Latin text in UTF-16 has a NUL in every second place."""
    sample = data[:2000]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(sample) < 4 or abs(even - odd) < len(sample) * 0.3:
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def _looks_chinese(text: str) -> bool:
    """Nearly any bytes decode as GB18030; real text uses the punctuation and the 3755 frequent characters."""
    foreign = [character for character in text[:20_000] if not character.isascii()]
    frequent = sum(_is_frequent(character) for character in foreign)
    return bool(foreign) and frequent >= 0.7 * len(foreign)


def _is_frequent(character: str) -> bool:
    code = character.encode("gb18030", "replace")
    return len(code) == 2 and code[1] >= 0xA1 and (0xA1 <= code[0] <= 0xA3 or 0xB0 <= code[0] <= 0xD7)


def _any(text: str) -> bool:
    return True


def slabs(text: str) -> Iterator[str]:
    """Yield the text in parts of up to SLAB characters that end at a blank line or line break."""
    start = 0
    while start < len(text):
        end = _slab_end(text, start)
        yield text[start:end]
        start = end


def _slab_end(text: str, start: int) -> int:
    """Cut at the last blank line, or else line break, of the slab."""
    end = start + SLAB
    if end >= len(text):
        return len(text)
    for gap in ("\n\n", "\n"):
        if (cut := text.rfind(gap, start, end)) > start:
            return cut + len(gap)
    return end
