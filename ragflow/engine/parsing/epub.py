"""EPUB books: the pages of the spine, in order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile
from ragflow.engine.parsing import html
from ragflow.engine.parsing.archives import check_archive
from ragflow.engine.parsing.source import Source
from ragflow.engine.parsing.text import decode
from ragflow.engine.parsing.xml import parse_tree
from ragflow.engine.types import Block, Notice

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"  # lists the encrypted members; fonts alone are common and harmless


def read(source: Source) -> Iterator[Block | Notice]:
    check_archive(source, expected="an EPUB book", prefix=CONTAINER)
    with zipfile.ZipFile(source.path) as book:
        pages = _spine(source, book)
        if len(pages) > source.limits.max_pages:
            raise LimitExceeded(f"{source.name} has {len(pages)} parts; up to {source.limits.max_pages} are read.")
        _refuse_protected(source, book, pages)
        for number, page in enumerate(pages, start=1):
            if page in book.NameToInfo:
                data = _content(source, book, page)
                yield from html.blocks_of(html.from_xhtml(decode(data, html.declared_charset(data))))
            else:
                yield Notice(f"{source.name} names a part that it does not hold ({page}); it was left out.")
            yield Notice(fraction=number / len(pages))


def _content(source: Source, book: zipfile.ZipFile, member: str) -> bytes:
    """Return a member that becomes a tree in memory, as any may that the book names, whatever its own name is."""
    if book.NameToInfo[member].file_size > source.limits.max_tree_bytes:
        raise LimitExceeded(f"{source.name} has a part ({member}) that is too large to be read. Split the file.")
    return book.read(member)


def _spine(source: Source, book: zipfile.ZipFile) -> list[str]:
    """Return the members that make up the text, in reading order."""
    container = parse_tree(source, _content(source, book, CONTAINER), part=CONTAINER)
    root = container.find(".//{*}rootfile")
    package = root.get("full-path", "") if root is not None else ""
    if package not in book.NameToInfo:
        raise MalformedFile(f"{source.name} is a damaged EPUB book: its table of parts is missing.")
    tree = parse_tree(source, _content(source, book, package), part=package)
    folder = posixpath.dirname(package)
    parts = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in tree.iterfind(".//{*}manifest/{*}item")
    }
    spine = (parts.get(item.get("idref")) for item in tree.iterfind(".//{*}spine/{*}itemref"))
    return [part for part in spine if part]


def _refuse_protected(source: Source, book: zipfile.ZipFile, pages: list[str]) -> None:
    if ENCRYPTION not in book.NameToInfo:
        return
    tree = parse_tree(source, _content(source, book, ENCRYPTION), part=ENCRYPTION)
    encrypted = {unquote(reference.get("URI", "")) for reference in tree.iterfind(".//{*}CipherReference")}
    if encrypted.intersection(pages):
        raise EncryptedFile(f"{source.name} is copy-protected (DRM) and cannot be read.")
