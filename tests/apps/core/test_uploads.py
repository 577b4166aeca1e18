"""Multipart forms: names arrive as sent, memory does not grow, broken forms are refused in words."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from apps.core import uploads
from apps.core.errors import MalformedBody, TooLarge
from apps.core.uploads import accept_files
from tests.apps.conftest import BOUNDARY, form

TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def post(content: bytes, content_type: str = TYPE) -> HttpRequest:
    request = RequestFactory().generic("POST", "/", content, content_type=content_type)
    accept_files(request)
    return request


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        "",
        "../../etc/passwd.txt",
        "C:\\Users\\a.txt",
        "a\\",
        'quo"te.txt',
        "semi;colon='x'.txt",
        "a&amp;b.txt",
        "tab\there.txt",
        "line\r\nbreak.txt",
        "control\x01.txt",
        "你好 — ñ.txt",
        "!#$%&'()+,-.;=@[]^`{}~.txt",
        "100%.txt",
        "n" * 300,
    ],
)
def test_names_arrive_exactly_as_sent(name: str):
    with closing(post(form(("file", name, b"content")))) as request:
        (file,) = request.FILES.getlist("file")
        assert file.name == name
        assert file.read() == b"content"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("form-data; name=file; filename=token.txt", "token.txt"),
        ('form-data; name="file"; filename="a\\"b.txt"', 'a"b.txt'),
        ("form-data; name=\"file\"; filename*=UTF-8''%E4%BD%A0.txt", "你.txt"),
        ('form-data; name="file"; filename="x.txt"; filename*=UTF-8\'\'y.txt', "y.txt"),
        ("form-data; name=\"file\"; filename*=klingon''x.txt", "x.txt"),
        ('FORM-DATA; NAME="file"; FILENAME="x.txt"', "x.txt"),
    ],
)
def test_other_spellings_of_a_file_name(disposition: str, name: str):
    body = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()
    with closing(post(body)) as request:
        assert [file.name for file in request.FILES.getlist("file")] == [name]


def test_files_and_fields_keep_their_order_and_bytes():
    parts = [("file", f"{number}.bin", bytes([number]) * number) for number in range(5)]
    content = form(parts[0], ("note", None, b"text"), *parts[1:], ("file", None, b"not a file"))
    with closing(post(content)) as request:
        files = request.FILES.getlist("file")
        assert [(file.name, file.size, b"".join(file.chunks())) for file in files] == [
            (name, len(content), content) for _, name, content in parts
        ]
        assert request.POST["note"] == "text"
        assert request.POST["file"] == "not a file"


def test_a_file_can_be_read_in_any_order():
    with closing(post(form(("file", "a", b"0123456789"), ("file", "b", b"abc")))) as request:
        first, second = request.FILES.getlist("file")
        assert first.read(3) == b"012"
        assert second.read() == b"abc"
        assert first.read() == b"3456789"
        first.seek(-2, 2)
        assert first.read() == b"89"
        first.seek(2)
        first.seek(2, 1)
        assert first.tell() == 4


@pytest.mark.parametrize("content", [b"", b"garbage", form()])
def test_nothing_in_the_form_is_no_file(content: bytes):
    assert post(content).FILES.getlist("file") == []


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (form(("file", "a", b"x")), "multipart/form-data", "no boundary"),
        (form(("file", "a", b"x" * 100))[:-60], TYPE, "middle of a part"),
        (form(("file", "a", b"x")).replace(b'"a"', b'"\xff"'), TYPE, "decode"),
        (form(("file", "n" * 70_000, b"x")), TYPE, "header length"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(content: bytes, content_type: str, reason: str):
    with pytest.raises(MalformedBody, match=reason):
        _ = post(content, content_type).FILES


def test_a_file_beyond_the_limit_is_refused(settings):
    settings.MAX_UPLOAD_BYTES = 1000
    with closing(post(form(("file", "fits.txt", b"x" * 1000)))) as request:
        assert request.FILES["file"].size == 1000
    with pytest.raises(TooLarge, match=r"large\.txt is larger than the 1000 bytes"):
        _ = post(form(("file", "large.txt", b"x" * 1001))).FILES


@pytest.mark.parametrize("name", ["a.txt", None])
def test_parts_are_limited_however_small(monkeypatch, name):
    monkeypatch.setattr(uploads, "MOST_PARTS", 3)
    parts = [("file", name, b"")] * 3
    with closing(post(form(*parts))) as request:
        assert len(request.FILES.getlist("file") or request.POST.getlist("file")) == 3
    with pytest.raises(TooLarge, match="more than the 3 parts"):
        _ = post(form(*parts, *parts[:1])).FILES


def test_text_fields_are_limited_too(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    with pytest.raises(TooLarge, match="text fields"):
        _ = post(form(("note", None, b"x" * 1001))).FILES


class Endless(BytesIO):
    """A form with one file of a given size, made while it is read."""

    def __init__(self, size: int) -> None:
        head, tail = form(("file", "big.bin", b"|")).split(b"|")
        super().__init__()
        self._blocks = self._make(head, size, tail)
        self._rest = b""

    @staticmethod
    def _make(head: bytes, size: int, tail: bytes) -> Iterator[bytes]:
        yield head
        for _ in range(size // 65536):
            yield b"x" * 65536
        yield tail

    def read(self, size: int | None = -1) -> bytes:
        while len(self._rest) < (size or 0) and (block := next(self._blocks, b"")):
            self._rest += block
        result, self._rest = self._rest[:size], self._rest[size:]
        return result


def test_a_large_file_does_not_stay_in_memory():
    request = post(b"replaced")
    request._stream = Endless(64 * 1024**2)
    tracemalloc.start()
    try:
        assert request.FILES["file"].size == 64 * 1024**2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        request.close()
    assert peak < 8 * 1024**2
