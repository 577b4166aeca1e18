"""What holds for every format: dispatch by name, bad input as typed errors, limits, laziness."""

import errno
import io
import random
import subprocess
import sys
import zipfile
from contextlib import suppress

import pytest

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile, ParseError, UnsupportedFormat
from ragflow.engine.parsing import Limits, parse
from ragflow.engine.parsing import source as source_module
from ragflow.engine.types import Block
from tests.unit.parsing import samples

FILES = samples.valid_files()
TEXT_FORMATS = ("txt", "py", "sql", "yml", "ini", "md", "mdx", "htm", "html", "xml", "json", "csv", "eml")


@pytest.mark.parametrize("name", ["tool.exe", "README", "archive.tar.xyz"])
def test_unknown_extensions_are_named(read, name):
    with pytest.raises(UnsupportedFormat, match=r"\.exe|no extension|\.xyz"):
        read(name, b"data")


@pytest.mark.parametrize("name", FILES)
def test_extensions_count_in_any_case(texts, name):
    stem, _, extension = name.rpartition(".")
    assert texts(f"{stem}.{extension.upper()}", FILES[name])


@pytest.mark.parametrize("name", [*FILES, "picture.png", "old.doc"])
def test_an_empty_file_yields_a_notice_and_nothing_else(read, name):
    assert read(name, b"") == ([], [f"{name} is empty."])


@pytest.mark.parametrize("extension", ["pdf", "docx", "xlsx", "pptx", "epub", *TEXT_FORMATS])
def test_a_lying_name_is_told_what_the_file_looks_like(read, extension):
    with pytest.raises(MalformedFile, match="looks like a PNG image"):
        read(f"file.{extension}", samples.png())


@pytest.mark.parametrize(
    ("name", "really", "kind"),
    [
        ("a.pdf", "report.docx", "a Word document"),
        ("a.docx", "slides.pptx", "a PowerPoint presentation"),
        ("a.xlsx", "report.docx", "a Word document"),
        ("a.pptx", "book.xlsx", "an Excel workbook"),
        ("a.epub", "book.xlsx", "an Excel workbook"),
        ("a.docx", "notes.txt", "plain text"),
        ("a.pdf", "page.html", "an HTML page"),
        ("a.txt", "paper.pdf", "a PDF"),
    ],
)
def test_one_format_under_the_name_of_another(read, name, really, kind):
    with pytest.raises(MalformedFile, match=kind):
        read(name, FILES[really])


def _damages(content):
    """Truncations, flipped bytes and a blanked stretch; the same ones in every run."""
    chance = random.Random(1)
    for part in (0.02, 0.3, 0.6, 0.9, 0.99):
        yield content[: max(int(len(content) * part), 1)]
    for flips in (1, 3, 10, 30, 100):
        damaged = bytearray(content)
        for _ in range(flips):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        yield bytes(damaged)
    middle = len(content) // 2
    yield content[:middle] + bytes(min(200, middle)) + content[middle + 200 :]


@pytest.mark.parametrize("name", FILES)
def test_damage_only_ever_raises_parse_errors(read, name):
    for damaged in _damages(FILES[name]):
        with suppress(ParseError):
            read(name, damaged)


@pytest.mark.parametrize("name", ["report.docx", "slides.pptx", "book.xlsx", "novel.epub"])
def test_damage_inside_of_a_container(read, name):
    """Recompressed, so that the damage reaches the parsers behind the ZIP checks."""
    with zipfile.ZipFile(io.BytesIO(FILES[name])) as archive:
        members = [member for member in archive.namelist() if member.endswith((".xml", ".rels", ".opf"))]
        contents = {member: archive.read(member) for member in members}
    for member in members[:6]:
        for damaged in (b"", b"<a/>", contents[member][: len(contents[member]) // 2]):
            with suppress(ParseError):
                read(name, samples.rezipped(FILES[name], {member: damaged}))


def test_files_above_the_byte_limit(read):
    with pytest.raises(LimitExceeded, match="larger than"):
        read("a.txt", b"x" * 2000, limits=Limits(max_bytes=1000))


@pytest.mark.parametrize("name", ["notes.txt", "report.docx", "paper.pdf", "book.xlsx"])
def test_text_above_the_character_limit(read, name):
    with pytest.raises(LimitExceeded, match="more than 50 characters"):
        read(name, FILES[name], limits=Limits(max_characters=50))


@pytest.mark.parametrize("name", ["page.html", "data.xml", "report.docx", "slides.pptx"])
def test_markup_too_large_for_a_tree(read, name):
    with pytest.raises(LimitExceeded, match="Split"):
        read(name, FILES[name], limits=Limits(max_tree_bytes=50))


@pytest.mark.parametrize("name", ["report.docx", "slides.pptx", "novel.epub"])
@pytest.mark.parametrize("start", ["<a>", "\ufeff \n<a>"])
def test_markup_under_another_name_too_large_for_a_tree(read, name, start):
    large = f"{start}{'text ' * 200_000}</a>"
    for content in (large.encode(), large.encode("utf-16-le")):
        with pytest.raises(LimitExceeded, match=r"data\.bin"):
            read(name, samples.rezipped(FILES[name], {"data.bin": content}), limits=Limits(max_tree_bytes=500_000))


def test_parts_that_are_no_markup_may_be_large(read):
    picture = samples.rezipped(FILES["report.docx"], {"word/media/image9.png": b"\x89PNG" + bytes(1_000_000)})
    assert read("report.docx", picture, limits=Limits(max_tree_bytes=500_000))[0]


@pytest.mark.parametrize("name", ["report.docx", "novel.epub", "book.xlsx"])
def test_a_disk_that_fails_is_not_taken_for_a_damaged_file(read, name, monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        read(name, FILES[name])


def test_the_time_limit_counts_reading_and_not_what_the_caller_does(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(source_module.time, "monotonic", lambda: now)
    path = samples.written(tmp_path, "a.csv", b"h\n" + b"row\n" * 5)
    items = parse(path, "a.csv", limits=Limits(max_seconds=10))
    next(items)
    now += 1000  # the caller embeds
    next(items)
    items.close()

    def slow(_):
        nonlocal now
        now += 20
        yield Block("text")

    monkeypatch.setitem(sys.modules["ragflow.engine.parsing.reader"].READERS, "csv", slow)
    with pytest.raises(LimitExceeded, match="longer than 10 seconds"):
        list(parse(path, "a.csv", limits=Limits(max_seconds=10)))


@pytest.mark.parametrize(("name", "prefix"), [("a.docx", "word/"), ("a.pptx", "ppt/"), ("a.xlsx", "xl/")])
def test_zip_bombs(read, name, prefix):
    bomb = samples.zipped({f"{prefix}document.xml": bytes(20 << 20)})
    with pytest.raises(LimitExceeded, match="like a ZIP bomb"):
        read(name, bomb)
    with pytest.raises(LimitExceeded, match="unpacks to more than 5 MiB"):
        read(name, bomb, limits=Limits(max_expanded_bytes=5 << 20))


def test_zip_bombs_whose_directory_lies(read):
    bomb = bytearray(samples.zipped({"word/document.xml": bytes(20 << 20)}))
    size = (20 << 20).to_bytes(4, "little")
    while (at := bomb.find(size)) >= 0:
        bomb[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(LimitExceeded, match="like a ZIP bomb"):
        read("a.docx", bytes(bomb))


def test_archives_with_a_password(read):
    archive = bytearray(FILES["report.docx"])
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := archive.find(mark, at + 1)) >= 0:
            archive[at + offset] |= 1
    with pytest.raises(EncryptedFile, match="password"):
        read("a.docx", bytes(archive))


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.xls"])
def test_office_files_with_a_password(read, name):
    wrapper = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(900)
    with pytest.raises(EncryptedFile, match="password"):
        read(name, wrapper)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("name", "member"),
    [("report.docx", "word/document.xml"), ("slides.pptx", "ppt/presentation.xml"), ("book.xlsx", "xl/workbook.xml")],
)
def test_entities_in_office_files(read, name, member, encoding):
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'.encode(encoding)
    with pytest.raises(MalformedFile, match="entities"):
        read(name, samples.rezipped(FILES[name], {member: laughs}))


def test_unstorable_characters_are_removed(texts):
    assert texts("a.json", b'"lone \\ud800 and nul \\u0000 end"') == ["lone  and nul  end"]


def test_a_missing_file_is_the_callers_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(parse(tmp_path / "gone", "a.txt"))


def test_the_package_imports_light():
    heavy = "pypdfium2 pdfplumber docx pptx openpyxl python_calamine selectolax PIL lxml markdown_it defusedxml"
    code = f"import sys, ragflow.engine.parsing; print(*(set({heavy.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
