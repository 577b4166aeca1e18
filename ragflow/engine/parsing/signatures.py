"""What a file really is, from its first bytes: the sentence a user needs when a name promises something else."""

from __future__ import annotations

from ragflow.engine.errors import MalformedFile
from ragflow.engine.parsing.source import Source

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

BINARY = (
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (OLE, "an Office file of the old binary kind"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"ID3\x03", "an MP3 recording"),
    (b"ID3\x04", "an MP3 recording"),
)
RIFF = {b"WEBP": "a WebP image", b"WAVE": "a WAV recording", b"AVI ": "an AVI video"}
ZIPPED = (  # a name that such an archive holds near its beginning
    (b"word/", "a Word document"),
    (b"xl/", "an Excel workbook"),
    (b"ppt/", "a PowerPoint presentation"),
    (b"application/epub+zip", "an EPUB book"),
    (b"application/vnd.oasis", "an OpenDocument file"),
)


def binary_kind(head: bytes) -> str:
    """Return what a binary file is, as words to follow "looks like"; empty for text and for unknown data."""
    if head.startswith(ZIP):
        return next((kind for mark, kind in ZIPPED if mark in head), "a ZIP archive")
    if head.startswith(b"RIFF"):
        return RIFF.get(head[8:12], "a RIFF media file")
    if head[4:8] == b"ftyp":
        return "an MP4 or HEIF media file"
    return next((kind for mark, kind in BINARY if head.startswith(mark)), "")


def kind_of(head: bytes) -> str:
    """Return what a file looks like, text and unknown data included."""
    if kind := binary_kind(head):
        return kind
    if head.startswith(b"{\\rtf"):
        return "an RTF document"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    control = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    return "data of an unknown kind" if control > len(head) // 50 else "plain text"


def refuse_binary(source: Source) -> None:
    """Raise when a file with a text format's name is binary."""
    if kind := binary_kind(source.head()):
        raise mismatch(source, "text", kind)


def mismatch(source: Source, expected: str, kind: str = "") -> MalformedFile:
    """Return the error for a file whose content is not what its name says."""
    kind = kind or kind_of(source.head())
    return MalformedFile(f"{source.name} is not {expected}: it looks like {kind}. Give the file its true extension.")
