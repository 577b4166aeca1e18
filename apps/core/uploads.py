"""Receiving files by multipart form, in memory that does not grow with them.

Django's own parser strips folders from file names and drops files whose name is empty. Here names are data: they
arrive exactly as sent, and whoever stores the file decides what they mean.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import IO, Any, cast
from urllib.parse import unquote

from django.conf import settings
from django.core.files import File
from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict
from multipart import MultipartError, MultipartSegment, PushMultipartParser, content_disposition_unquote

from apps.core.errors import MalformedBody, TooLarge

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_OPTION = re.compile(r""";\s*([\w-]+\*?)\s*=\s*("[^\\"]*"|"(?:\\.|[^\\"])*"|"[^"]*"|[^;"]*)""", re.DOTALL)
_LONGEST_HEADER = 64 * 1024
MOST_PARTS = 100_000


class ReceivedFile(File):  # type: ignore[type-arg]  # not subscriptable at run time
    """A file of a form. All files of a request share one temporary file, which goes when the request ends."""

    def __init__(self, spool: IO[bytes], name: str, start: int, size: int) -> None:
        super().__init__(cast("IO[bytes]", _Range(spool, start, size)), name=name)
        self.size = size
        self._spool = spool

    def close(self) -> None:
        super().close()
        self._spool.close()


class _Range(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, whole: IO[bytes], start: int, size: int) -> None:
        self._whole = whole
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._position))
        self._whole.seek(self._start + self._position)
        data = self._whole.read(wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def accept_files(request: HttpRequest) -> None:
    """Make `request.FILES` hold ReceivedFiles, in the order and with the names that were sent.

    To be called before anything reads `request.POST` or `request.FILES`; those then raise MalformedBody for a form
    that cannot be read, and TooLarge for a file beyond MAX_UPLOAD_BYTES or a form of more than MOST_PARTS parts.
    """
    request.parse_file_upload = partial(_parse_form, request.encoding)  # type: ignore[assignment]


def read_fields(request: HttpRequest) -> QueryDict:
    """Return the text fields of a form that was sent with any method; Django reads those of POST only.

    Raises MalformedBody and TooLarge, as `accept_files` does.
    """
    accept_files(request)
    if request.method == "POST":
        return request.POST
    fields, files = request.parse_file_upload(request.META, io.BytesIO(request.body))
    for _, received in files.lists():
        for file in received:
            file.close()
    closing = f"--{(request.content_params or {}).get('boundary', '')}--".encode()
    if not (fields or files) and request.body.strip() not in {b"", closing}:
        raise _malformed("it has no parts")
    return fields


def _parse_form(
    encoding: str | None, meta: Mapping[str, Any], stream: IO[bytes]
) -> tuple[QueryDict, MultiValueDict[str, ReceivedFile]]:
    form = _Form(encoding or settings.DEFAULT_CHARSET)
    match = _BOUNDARY.search(meta.get("CONTENT_TYPE", ""))
    if not match:
        if not stream.read(1):
            return form.fields, form.files
        raise _malformed("it names no boundary between its parts")
    try:
        parser = PushMultipartParser(match[1] or match[2], max_header_size=_LONGEST_HEADER)
        while not parser.closed and (block := stream.read(64 * 1024)):
            for event in parser.parse(block):
                form.handle(event)
        if form.is_open:
            raise _malformed("it ends in the middle of a part")
    except MultipartError as error:
        form.close()
        raise _malformed(str(error)) from None
    except BaseException:
        form.close()
        raise
    return form.fields, form.files


def _malformed(reason: str) -> MalformedBody:
    return MalformedBody(
        f"The multipart form could not be read: {reason}.",
        reference="TypeError('Request body is not a valid form payload.')",
    )


class _Form:
    """Collects what the parser finds: text fields in memory, files in one temporary file."""

    def __init__(self, encoding: str) -> None:
        self.fields = QueryDict(mutable=True)
        self.files: MultiValueDict[str, ReceivedFile] = MultiValueDict()
        self._encoding = encoding
        self._spool: IO[bytes] | None = None
        self._parts = 0
        self._field_bytes = 0
        self._part: MultipartSegment | None = None
        self._file_name: str | None = None
        self._start = 0
        self._text = bytearray()

    @property
    def is_open(self) -> bool:
        return self._part is not None

    def handle(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._file_name is None:
            self._add_text(event)
        else:
            self._add_bytes(event)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()

    def _begin(self, part: MultipartSegment) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:  # each is remembered, however little is in it
            raise TooLarge(f"The form has more than the {MOST_PARTS} parts that this server accepts.")
        self._part = part
        self._file_name = _file_name(part)
        self._text.clear()
        if self._file_name is not None:
            self._start = self._file().seek(0, io.SEEK_END)

    def _add_text(self, block: bytes | bytearray) -> None:
        self._field_bytes += len(block)
        if self._field_bytes > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or self._field_bytes):
            raise TooLarge("The text fields of the form are larger than this server accepts.")
        self._text += block

    def _add_bytes(self, block: bytes | bytearray) -> None:
        file = self._file()
        file.write(block)
        if file.tell() - self._start > settings.MAX_UPLOAD_BYTES:
            raise TooLarge(
                f"The file {self._file_name} is larger than the {settings.MAX_UPLOAD_BYTES} bytes that this server "
                "accepts."
            )

    def _end(self) -> None:
        assert self._part is not None
        field = self._part.name or ""
        if self._file_name is None:
            self.fields.appendlist(field, self._text.decode(self._encoding, "replace"))
        else:
            size = self._file().tell() - self._start
            self.files.appendlist(field, ReceivedFile(self._file(), self._file_name, self._start, size))
        self._part = None

    def _file(self) -> IO[bytes]:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115 -- closed with the request
                max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE
            )
        return self._spool


def _file_name(part: MultipartSegment) -> str | None:
    """Return the name as sent, which may be empty; None when the part is not a file."""
    options = {name.lower(): value for name, value in _OPTION.findall(part.header("Content-Disposition", ""))}
    if "filename*" in options:
        charset, _, encoded = options["filename*"].strip('"').partition("'")
        return _decoded(encoded.partition("'")[2], charset)
    name = options.get("filename")
    return None if name is None else content_disposition_unquote(name)


def _decoded(text: str, charset: str) -> str:
    try:
        return unquote(text, encoding=charset or "utf-8", errors="replace")
    except LookupError:
        return unquote(text, errors="replace")
