"""ZIP containers (docx, pptx, xlsx, ods, epub): checked here before a library unpacks them.

The central directory can lie, so every member is also unpacked once while its bytes are counted: to the true end
of its stream, whatever size it claims. Nothing is kept.
"""

from __future__ import annotations

import copy
import mmap
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile
from ragflow.engine.parsing.signatures import OLE, ZIP, mismatch
from ragflow.engine.parsing.source import MIB, Source

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError)
MAX_MEMBERS = 20_000
RATIO_FROM = 8 * MIB  # below this, expansion does no harm at any ratio
STEP = 256 * 1024
ENTITY = tuple("<!ENTITY".encode(code) for code in ("ascii", "utf-16-le", "utf-16-be"))
TREES = (".xml", ".rels", ".opf", ".xhtml", ".html", ".htm")
MARKUP = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<")  # how it begins, in any Unicode encoding


def check_archive(source: Source, *, expected: str, prefix: str, trees: bool = True) -> None:
    """Raise unless the file is a sound archive within the limits that holds a member named `prefix...`.

    `expected` names the format in messages. With `trees`, each member that is markup must also fit into memory as a
    tree: libraries look for their parts by what the archive says of them, whatever their names end with.
    """
    if not source.head(4).startswith(ZIP):
        raise _not_an_archive(source, expected)
    try:
        with zipfile.ZipFile(source.path) as archive:
            members = archive.infolist()
            _check_directory(source, members, expected, prefix)
            _check_content(source, archive, members, trees=trees)
    except DAMAGE as error:
        raise MalformedFile(f"{source.name} is a damaged file: its ZIP container cannot be unpacked.") from error


def is_encrypted_office(source: Source) -> bool:
    """Tell whether an OLE container is the wrapper that Office puts around a document with a password."""
    with source.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find("EncryptedPackage".encode("utf-16-le")) >= 0


def _not_an_archive(source: Source, expected: str) -> Exception:
    if source.head(8).startswith(OLE) and is_encrypted_office(source):
        return protected(source)
    return mismatch(source, expected)


def protected(source: Source) -> EncryptedFile:
    return EncryptedFile(f"{source.name} is protected by a password; remove the protection and upload it again.")


def _check_directory(source: Source, members: list[zipfile.ZipInfo], expected: str, prefix: str) -> None:
    if len(members) > MAX_MEMBERS:
        raise LimitExceeded(f"{source.name} holds {len(members)} parts; {MAX_MEMBERS} are allowed.")
    if any(member.flag_bits & 0x1 for member in members):
        raise protected(source)
    if not any(member.filename.startswith(prefix) for member in members):
        raise mismatch(source, expected)
    _check_size(source, sum(member.file_size for member in members))


def _check_size(source: Source, expanded: int) -> None:
    limits = source.limits
    if expanded > limits.max_expanded_bytes:
        raise LimitExceeded(f"{source.name} unpacks to more than {limits.max_expanded_bytes / MIB:.0f} MiB.")
    if expanded > RATIO_FROM and expanded > limits.max_ratio * source.path.stat().st_size:
        raise LimitExceeded(f"{source.name} unpacks to over {limits.max_ratio:g} times its size, like a ZIP bomb.")


def _check_content(
    source: Source, archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo], *, trees: bool
) -> None:
    total = 0
    for member in members:
        total += _check_member(source, archive, member, total, trees=trees)
        source.check_time()


def _check_member(
    source: Source, archive: zipfile.ZipFile, member: zipfile.ZipInfo, before: int, *, trees: bool
) -> int:
    """Unpack a member once and return its size; `before` is that of the members before it."""
    is_named_markup = is_markup = member.filename.lower().endswith(TREES)
    size, tail = 0, b""
    for data in _unpacked(archive, member):
        is_markup = is_markup or (size == 0 and MARKUP.match(data) is not None)
        size += len(data)
        _check_size(source, before + size)
        window = tail + data
        if is_named_markup and any(mark in window for mark in ENTITY):
            raise MalformedFile(f"{source.name} declares XML entities in {member.filename}; these are not allowed.")
        tail = data[-16:]
    if trees and is_markup and size > source.limits.max_tree_bytes:
        raise LimitExceeded(
            f"{source.name} has a part of {size / MIB:.0f} MiB ({member.filename});"
            f" up to {source.limits.max_tree_bytes / MIB:.0f} MiB can be read. Split the file."
        )
    return size


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterable[bytes]:
    whole = copy.copy(member)
    whole.file_size = sys.maxsize  # zipfile would stop at the size that the directory claims
    with archive.open(whole) as stream:
        while data := stream.read(STEP):
            yield data
