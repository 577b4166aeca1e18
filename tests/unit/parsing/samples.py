"""Makers of small, valid files of every format, for the tests of parsing and of what builds on it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

PARAGRAPH = "The heat exchanger moves thermal energy between two fluids that never touch each other."
SECOND = "Fouling on its plates raises the pressure drop and is removed by a cleaning in place."
CHINESE = "换热器在两种互不接触的流体之间传递热量。"
ROWS = (("City", "Population", "Founded"), ("Lisbon", "545000", "1256"), ("Porto", "232000", "417"))

HTML = f"""<!doctype html>
<html><head><title>Plant manual</title><style>p {{color: red}}</style><script>var hidden = 1;</script></head>
<body><nav><a href="/">Menu entry</a></nav>
<h1>Heat <em>exchangers</em></h1>
<p>{PARAGRAPH}</p><!-- a comment -->
<h2>Cleaning</h2>
<div>{SECOND}<ul><li>rinse</li><li>caustic</li></ul></div>
<table><caption>Cities</caption><thead><tr><th>City</th><th colspan="2">Numbers</th></tr></thead>
<tbody><tr><td onclick="x()">Lisbon &amp; area</td><td><b>545000</b></td><td>1256</td></tr></tbody></table>
<p>After the table</p></body></html>
"""

MARKDOWN = f"""---
author: Ada
---
# Heat exchangers

{PARAGRAPH}

## Cleaning

- rinse
- caustic

```sh
# not a heading
clean --all
```

| City | Population |
|------|-----------:|
| Lisbon | 545000 |
"""

XML = f"<?xml version='1.0'?><manual><title>Exchangers</title><part no='7'><p>{PARAGRAPH}</p></part></manual>"


def docx() -> bytes:
    import docx as word

    document = word.Document()
    document.sections[0].header.paragraphs[0].text = "Running header"
    document.add_heading("Heat exchangers", level=1)
    document.add_paragraph(PARAGRAPH)
    document.add_heading("Cleaning", level=2)
    document.add_paragraph("rinse", style="List Bullet")
    table = document.add_table(rows=3, cols=3)
    for row, texts in zip(table.rows, ROWS, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_paragraph(SECOND)
    return _saved(document.save)


def pptx() -> bytes:
    import pptx as powerpoint
    from pptx.util import Pt

    presentation = powerpoint.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[5])
    first.shapes.title.text = "Heat exchangers"
    right = first.shapes.add_textbox(Pt(400), Pt(200), Pt(200), Pt(50))
    right.text_frame.text = "right box"
    left = first.shapes.add_textbox(Pt(50), Pt(200), Pt(200), Pt(50))
    left.text_frame.text = PARAGRAPH
    first.notes_slide.notes_text_frame.text = "Speaker notes"
    second = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = second.shapes.add_table(3, 3, Pt(50), Pt(50), Pt(400), Pt(100)).table
    for row, texts in enumerate(ROWS):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    return _saved(presentation.save)


def xlsx(sheets: dict[str, Sequence[Sequence[object]]] | None = None) -> bytes:
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    default = {
        "Sheet1": [("Name", "Price", "Since"), ("Pump", 3.0, datetime(2024, 5, 1)), ("Valve", 2.5, None)],  # noqa: DTZ001
        "Cities": ROWS,
    }
    for name, rows in (sheets or default).items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return _saved(workbook.save)


def pdf(pages: int = 1, *, password: str = "") -> bytes:
    """A heading, two paragraphs and a ruled table per page, with a running header and page numbers."""
    from reportlab.lib import colors, pdfencrypt
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table

    def margins(canvas, _):
        canvas.drawString(72, 800, "Plant manual, third edition")
        canvas.drawCentredString(297, 30, f"Page {canvas.getPageNumber()}")

    styles = getSampleStyleSheet()
    story = []
    for number in range(1, pages + 1):
        story += [
            Paragraph(f"Chapter about exchanger {number}", styles["Heading1"]),
            Paragraph(f"{PARAGRAPH} {SECOND} {PARAGRAPH}", styles["BodyText"]),
            Paragraph(f"Second paragraph of page {number}.", styles["BodyText"]),
            Spacer(1, 12),
            Table([list(row) for row in ROWS], style=[("GRID", (0, 0), (-1, -1), 0.5, colors.black)]),
            Spacer(1, 12),
            Paragraph("After the table.", styles["BodyText"]),
            PageBreak(),
        ]
    buffer = io.BytesIO()
    encrypt = pdfencrypt.StandardEncryption(password) if password else None
    template = SimpleDocTemplate(buffer, encrypt=encrypt, invariant=1)
    template.build(story, onFirstPage=margins, onLaterPages=margins)
    return buffer.getvalue()


def drawn_pdf(*draw: Callable[..., None], size: tuple[float, float] = (595, 842)) -> bytes:
    """One page per function, which gets a reportlab canvas (points, origin at the bottom left)."""
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=size, invariant=1)
    for page in draw:
        page(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def png(text: str = "Heat exchanger 42") -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (1000, 200), "white")
    ImageDraw.Draw(image).text((40, 60), text, fill="black", font=ImageFont.load_default(64))
    return _saved(lambda buffer: image.save(buffer, "PNG"))


def scanned_pdf(text: str = "Heat exchanger 42") -> bytes:
    """A page whose only content is a picture of text."""
    from reportlab.lib.utils import ImageReader

    picture = ImageReader(io.BytesIO(png(text)))
    return drawn_pdf(lambda canvas: canvas.drawImage(picture, 0, 500, width=595, height=300, preserveAspectRatio=True))


def eml(*attachments: tuple[str, bytes]) -> bytes:
    message = EmailMessage()
    message["From"] = "Ada <ada@example.org>"
    message["Subject"] = "Grüße aus dem Werk"
    message.set_content(f"{PARAGRAPH}\n")
    message.add_alternative(f"<html><body><p>{PARAGRAPH}</p><p>Only in HTML</p></body></html>", subtype="html")
    for name, content in attachments:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def epub(**extra: str) -> bytes:
    """Two chapters; the spine's order is not that of the names. `extra` members come on top."""
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="a" href="a%20page.xhtml"/><item id="b" href="b.xhtml"/></manifest>'
        '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>',
        "OEBPS/a page.xhtml": _xhtml(f"<h1>Second chapter</h1><p>{SECOND}</p>"),
        "OEBPS/b.xhtml": _xhtml(f"<h1>First chapter</h1><p>{PARAGRAPH}</p>"),
        **extra,
    }
    return zipped({name: content.encode() for name, content in members.items()})


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def rezipped(archive: bytes, replaced: dict[str, bytes]) -> bytes:
    """The same archive with some members replaced or added."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        return zipped({name: old.read(name) for name in old.namelist()} | replaced)


def valid_files() -> dict[str, bytes]:
    """One valid file per format that needs no program outside of Python, by name."""
    return {
        "notes.txt": f"{PARAGRAPH}\n{CHINESE}\n".encode(),
        "tool.py": b"def main():\n    return 1\n",
        "notes.md": MARKDOWN.encode(),
        "page.html": HTML.encode(),
        "data.xml": XML.encode(),
        "data.json": json.dumps({"city": {"name": "Lisbon", "people": [1, 2]}}).encode(),
        "data.jsonl": b'{"a": 1}\n{"a": 2}\n',
        "rows.csv": b"City,Population\nLisbon,545000\n",
        "book.xlsx": xlsx(),
        "report.docx": docx(),
        "slides.pptx": pptx(),
        "paper.pdf": pdf(2),
        "mail.eml": eml(("data.csv", b"a,b\n1,2\n")),
        "novel.epub": epub(),
    }


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _xhtml(body: str) -> str:
    head = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
    return f"{head}<body>{body}</body></html>"


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
