"""E-mail, EPUB and pictures."""

import io
import itertools
from email.message import EmailMessage

import pytest

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile, UnsupportedFormat
from ragflow.engine.parsing import Limits, ocr
from ragflow.engine.parsing import source as source_module
from ragflow.engine.types import BlockKind
from tests.unit.parsing import samples

PLAIN, TEXT, HEADING, TABLE, IMAGE, *_ = BlockKind

needs_tesseract = pytest.mark.skipif(not ocr.available(), reason="tesseract is not installed")


# -- e-mail --------------------------------------------------------------------------------------------------------


def test_headers_text_html_and_attachments_in_order(read):
    mail = samples.eml(("rows.csv", b"a,b\n1,2\n"), ("notes.txt", b"attached text"))
    blocks, messages = read("mail.eml", mail)
    head = blocks[0].text.split("\n")
    assert head[:2] == ["From: Ada <ada@example.org>", "Subject: Grüße aus dem Werk"]
    assert [(block.kind, block.text.strip()) for block in blocks[1:]] == [
        (PLAIN, samples.PARAGRAPH),
        (TEXT, "Only in HTML"),  # the paragraph that the plain part has is not repeated
        (TEXT, "a：1; b：2"),
        (PLAIN, "attached text"),
    ]
    assert blocks[0].kind is PLAIN
    assert messages == []


def test_the_time_limit_counts_what_is_left_out_because_it_was_said(read, monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(source_module.time, "monotonic", lambda: next(seconds))
    mail = EmailMessage()
    mail.set_content("known")
    mail.add_alternative("<p>known</p>" * 100, subtype="html")
    with pytest.raises(LimitExceeded, match="longer than 60 seconds"):
        read("mail.eml", mail.as_bytes(), limits=Limits(max_seconds=60))
    assert read("mail.eml", mail.as_bytes(), limits=Limits(max_seconds=600))[0]


def test_attachments_that_cannot_be_read_are_told(read):
    mail = samples.eml(("tool.exe", b"MZ"), ("broken.pdf", b"%PDF-"), ("empty.txt", b""), ("good.txt", b"good"))
    blocks, messages = read("mail.eml", mail)
    assert blocks[-1].text == "good"
    assert [message.partition(":")[0] for message in messages] == [
        "The attachment tool.exe was left out",
        "The attachment broken.pdf was left out",
        "empty.txt is empty.",
    ]


def test_mail_in_mail_is_read_one_level_deep(texts):
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner text")
    inner.add_attachment(b"too deep", maintype="text", subtype="plain", filename="deep.txt")
    outer = EmailMessage()
    outer["Subject"] = "outer"
    outer.set_content("outer text")
    outer.add_attachment(inner)
    outer.add_attachment(inner.as_bytes(), maintype="application", subtype="octet-stream", filename="saved.eml")
    found = "\n".join(texts("mail.eml", outer.as_bytes()))
    assert found.count("inner text") == 2
    assert "too deep" not in found


@pytest.mark.parametrize(
    ("declared", "encoding", "text"),
    [
        ("gb2312", "gb18030", samples.CHINESE),
        ("utf-8", "latin-1", "Größe"),
        ("nonsense", "utf-8", "Größe"),
        ("koi8-r", "koi8-r", "Привет"),
    ],
)
def test_charsets_of_parts(texts, declared, encoding, text):
    mail = f"Subject: x\nContent-Type: text/plain; charset={declared}\nContent-Transfer-Encoding: 8bit\n\n"
    assert texts("mail.eml", mail.encode() + text.encode(encoding))[1] == text


def test_headers_in_raw_bytes_and_in_damaged_encodings(texts):
    assert texts("mail.eml", "Subject: Größe 换热器\n\n".encode()) == ["Subject: Größe 换热器"]
    assert texts("mail.eml", "Subject: =?ut\ufffd-8?q?a?=\n\n".encode()) == ["Subject: =?ut\ufffd-8?q?a?="]


def test_mail_that_is_hardly_one(texts):
    assert texts("mail.eml", b"no headers at all") == ["no headers at all"]
    assert texts("mail.eml", b"Subject: =?utf-8?b?broken\n\n\xff\xfe\xfd")[0] == "Subject: =?utf-8?b?broken"


@pytest.mark.parametrize(
    "header",
    ["Subject: " + "=?utf-8?q?a?=" * 10_000, "Content-Type: text/plain" + "; a=b" * 25_000],
    ids=["encoded words", "parameters"],
)
@pytest.mark.parametrize("where", ["{}\n\nx", "Content-Type: multipart/mixed; boundary=b\n\n--b\n{}\n\nx\n--b--"])
def test_headers_without_an_end(read, header, where):
    """The library would take hours for one of some megabytes."""
    with pytest.raises(LimitExceeded, match=r"mail\.eml has a header of more than 100000 characters"):
        read("mail.eml", where.format(header).encode())


# -- books ---------------------------------------------------------------------------------------------------------


def test_chapters_in_the_order_of_the_spine(read):
    blocks, _ = read("novel.epub", samples.epub())
    assert [(block.kind, block.text) for block in blocks] == [
        (HEADING, "First chapter"),
        (TEXT, samples.PARAGRAPH),
        (HEADING, "Second chapter"),
        (TEXT, samples.SECOND),
    ]


def test_protected_books(read):
    xml = '<encryption xmlns:e="u"><e:CipherReference URI="{}"/></encryption>'
    with pytest.raises(EncryptedFile, match="copy-protected"):
        read("a.epub", samples.epub(**{"META-INF/encryption.xml": xml.format("OEBPS/b.xhtml")}))
    assert read("a.epub", samples.epub(**{"META-INF/encryption.xml": xml.format("OEBPS/font.otf")}))[0]


def test_pages_of_a_book_that_are_too_large_whatever_they_are_called(read):
    package = '<package><manifest><item id="a" href="page"/></manifest><spine><itemref idref="a"/></spine></package>'
    book = {"OEBPS/book.opf": package, "OEBPS/page": "text " * 100_000}
    assert read("a.epub", samples.epub(**book))[0]
    with pytest.raises(LimitExceeded, match="OEBPS/page"):
        read("a.epub", samples.epub(**book), limits=Limits(max_tree_bytes=400_000))


def test_books_with_missing_parts(read):
    with pytest.raises(MalformedFile, match="table of parts"):
        read("a.epub", samples.epub(**{"META-INF/container.xml": "<container/>"}))
    package = '<package><manifest><item id="x" href="x.xhtml"/></manifest><spine><itemref idref="x"/></spine></package>'
    blocks, messages = read("a.epub", samples.epub(**{"OEBPS/book.opf": package}))
    assert blocks == []
    assert messages == ["a.epub names a part that it does not hold (OEBPS/x.xhtml); it was left out."]


# -- pictures ------------------------------------------------------------------------------------------------------


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_pictures_without_tesseract(read, monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)
    with pytest.raises(UnsupportedFormat, match="tesseract, which is not installed"):
        read("a.png", samples.png())


@needs_tesseract
@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.webp", "WEBP"), ("a.bmp", "BMP")])
def test_text_in_pictures(read, name, kind):
    from PIL import Image

    image = Image.open(io.BytesIO(samples.png("Pump 17")))
    blocks, _ = read(name, saved(image, kind))
    assert [(block.kind, block.text) for block in blocks] == [(IMAGE, "Pump 17")]


@needs_tesseract
def test_postscript_under_the_name_of_a_picture_is_not_run(read):
    from PIL import Image

    with pytest.raises(MalformedFile, match="is not a picture"):
        read("a.png", saved(Image.new("RGB", (60, 60)), "EPS"))


@needs_tesseract
def test_pages_of_a_tiff(texts):
    from PIL import Image

    first, second = (Image.open(io.BytesIO(samples.png(text))) for text in ("Page one", "Page two"))
    assert texts("a.tiff", saved(first, "TIFF", save_all=True, append_images=[second])) == ["Page one", "Page two"]


@needs_tesseract
def test_dark_text_on_a_transparent_ground(texts):
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGBA", (900, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((40, 60), "Valve 9", fill=(0, 0, 0, 255), font=ImageFont.load_default(64))
    assert texts("a.png", saved(image, "PNG")) == ["Valve 9"]


@needs_tesseract
def test_bad_pictures(read):
    with pytest.raises(MalformedFile, match="plain text"):
        read("a.png", b"not a picture")
    with pytest.raises(MalformedFile, match="damaged"):
        read("a.png", samples.png()[:200])
    from PIL import Image

    with pytest.raises(LimitExceeded, match="million pixels"):
        read("a.png", saved(Image.new("1", (12_000, 12_000)), "PNG"))
    pages = [Image.new("L", (50, 50))] * 3
    with pytest.raises(LimitExceeded, match="3 pages"):
        read("a.tif", saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), limits=Limits(max_pages=2))


@needs_tesseract
def test_pictures_in_word_and_powerpoint(texts):
    import docx
    import pptx

    document, presentation = docx.Document(), pptx.Presentation()
    document.add_picture(io.BytesIO(samples.png("Pump 17")))
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    slide.shapes.add_picture(io.BytesIO(samples.png("Pump 18")), 0, 0)
    for name, file, text in (("a.docx", document, "Pump 17"), ("a.pptx", presentation, "Pump 18")):
        buffer = io.BytesIO()
        file.save(buffer)
        assert texts(name, buffer.getvalue()) == [text]
