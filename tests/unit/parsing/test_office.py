"""Word, PowerPoint and workbooks, and the old formats that LibreOffice converts."""

import io
import signal
import stat
from datetime import datetime, time

import pytest

from ragflow.engine.errors import LimitExceeded, MalformedFile, UnsupportedFormat
from ragflow.engine.parsing import Limits, ocr, parse
from ragflow.engine.parsing.workbook_rows import shown
from ragflow.engine.types import BlockKind, Position
from tests.unit.parsing import samples

PLAIN, TEXT, HEADING, TABLE, IMAGE, *_ = BlockKind
CITIES = (
    "<table>\n<tr><th>City</th><th>Population</th><th>Founded</th></tr>\n"
    "<tr><td>Lisbon</td><td>545000</td><td>1256</td></tr>\n<tr><td>Porto</td><td>232000</td><td>417</td></tr>\n</table>"
)


@pytest.fixture
def without_ocr(monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)


# -- Word ----------------------------------------------------------------------------------------------------------


def saved(document):
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


@pytest.fixture
def document():
    import docx

    return docx.Document()


def test_word_in_the_order_of_the_body(read):
    blocks, messages = read("report.docx", samples.docx())
    assert [(block.kind, block.level, block.text) for block in blocks] == [
        (HEADING, 1, "Heat exchangers"),
        (TEXT, 0, samples.PARAGRAPH),
        (HEADING, 2, "Cleaning"),
        (TEXT, 0, "rinse"),
        (TABLE, 0, CITIES),
        (TEXT, 0, samples.SECOND),
    ]
    assert messages == []


def test_word_cells_merged_across_and_down(texts, document):
    table = document.add_table(rows=3, cols=3)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = str(number)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(1, 2).merge(table.cell(2, 2)).text = "high"
    (text,) = texts("a.docx", saved(document))
    assert text.splitlines() == [
        "<table>",
        '<tr><th colspan="2">wide</th><th>2</th></tr>',
        '<tr><td>3</td><td>4</td><td rowspan="2">high</td></tr>',
        "<tr><td>6</td><td>7</td></tr>",
        "</table>",
    ]


def test_word_styles_based_on_headings_and_outline_levels(read, document):
    from docx.enum.style import WD_STYLE_TYPE

    style = document.styles.add_style("House Head", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 3"]
    document.add_paragraph("The title", style="Title")
    document.add_paragraph("Derived", style="House Head")
    blocks, _ = read("a.docx", saved(document))
    assert [(block.text, block.level) for block in blocks] == [("The title", 1), ("Derived", 3)]


def test_word_text_that_hides_in_wrappers(texts, document):
    """Hyperlinks, tracked changes, content controls, text boxes and formulas."""
    from docx.oxml import parse_xml

    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = "<w:r><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:r>"
    wrapped = (
        f"<w:p {w} {mc}><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink><w:r><w:tab/><w:t>tab</w:t></w:r>"
        "<w:ins><w:r><w:t> new</w:t></w:r></w:ins><w:del><w:r><w:delText> old</w:delText></w:r></w:del>"
        f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:p>"
    )
    formula = (
        f'<w:p {w} xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
        "<m:oMath><m:r><m:t>E=mc2</m:t></m:r></m:oMath></w:p>"
    )
    control = f"<w:sdt {w}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    for xml in (wrapped, control, formula):
        document.element.body.insert_element_before(parse_xml(xml), "w:sectPr")
    assert texts("a.docx", saved(document)) == ["link\ttab new", "boxed", "controlled", "E=mc2"]


def test_pictures_in_word_are_told_once_without_ocr(read, document, without_ocr):
    for text in ("first", "second"):
        document.add_picture(io.BytesIO(samples.png(text)))
    document.add_picture(io.BytesIO(samples.png("first")))
    blocks, messages = read("a.docx", saved(document))
    assert blocks == []
    assert messages == ["2 pictures in a.docx were left out: install tesseract to have pictures read."]


# -- PowerPoint ----------------------------------------------------------------------------------------------------


def test_slides_are_pages_in_reading_order(read):
    blocks, _ = read("slides.pptx", samples.pptx())
    assert [(block.kind, block.level, block.text) for block in blocks] == [
        (HEADING, 1, "Heat exchangers"),
        (TEXT, 0, samples.PARAGRAPH),
        (TEXT, 0, "right box"),
        (TEXT, 0, "Speaker notes"),
        (TABLE, 0, CITIES),
    ]
    assert [block.positions for block in blocks] == [(Position(1, 0, 720, 0, 540),)] * 4 + [
        (Position(2, 0, 720, 0, 540),)
    ]


def test_groups_and_merged_cells_on_slides(texts):
    import pptx
    from pptx.util import Pt

    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    outer = slide.shapes.add_group_shape()
    inner = outer.shapes.add_group_shape()
    inner.shapes.add_textbox(Pt(10), Pt(100), Pt(50), Pt(20)).text_frame.text = "deep"
    outer.shapes.add_textbox(Pt(10), Pt(10), Pt(50), Pt(20)).text_frame.text = "shallow"
    table = slide.shapes.add_table(2, 2, Pt(10), Pt(300), Pt(100), Pt(40)).table
    table.cell(0, 0).merge(table.cell(0, 1))
    table.cell(0, 0).text = "both"
    assert texts("a.pptx", saved(presentation)) == [
        "shallow",
        "deep",
        '<table>\n<tr><th colspan="2">both</th></tr>\n<tr><td></td><td></td></tr>\n</table>',
    ]


def test_too_many_slides(read):
    with pytest.raises(LimitExceeded, match="2 slides"):
        read("a.pptx", samples.pptx(), limits=Limits(max_pages=1))


# -- workbooks -----------------------------------------------------------------------------------------------------


def test_rows_of_every_sheet_with_their_headers(texts):
    assert texts("book.xlsx", samples.xlsx()) == [
        "Name：Pump; Price：3; Since：2024-05-01",
        "Name：Valve; Price：2.5",
        "City：Lisbon; Population：545000; Founded：1256 ——Cities",
        "City：Porto; Population：232000; Founded：417 ——Cities",
    ]


def test_sheets_of_the_same_shape_do_not_run_together(texts):
    book = samples.xlsx({"North": [["a"], ["1"]], "Empty": [], "South": [["b"], ["2"]]})
    assert texts("a.xlsx", book) == ["a：1 ——North", "b：2 ——South"]


def test_workbooks_as_tables(read):
    book = samples.xlsx({"Squares": [["n", "square"], *([n, n * n] for n in range(13))]})
    blocks, _ = read("a.xlsx", book, html4excel=True)
    assert [block.kind for block in blocks] == [TABLE, TABLE]
    assert blocks[1].text == (
        "<table><caption>Squares</caption>\n<tr><th>n</th><th>square</th></tr>\n<tr><td>12</td><td>144</td></tr>\n</table>"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (0.1, "0.1"),
        (1e20, "1e+20"),
        (7, "7"),
        (True, "TRUE"),
        ("", ""),
        (datetime(2024, 5, 1), "2024-05-01"),  # noqa: DTZ001 - cells have no time zone
        (datetime(2024, 5, 1, 9, 30), "2024-05-01 09:30:00"),  # noqa: DTZ001
        (time(9, 30), "09:30:00"),
        (float("inf"), "inf"),
    ],
)
def test_cells_read_as_they_are_written(value, text):
    assert shown(value) == text


def test_open_document_sheets(texts):
    content = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
        ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        '<table:table table:name="Towns">{}</table:table></office:spreadsheet></office:body></office:document-content>'
    )
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(f"<table:table-row>{cell.format(text)}</table:table-row>" for text in ("City", "Lisbon"))
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    book = samples.zipped(
        {
            "mimetype": kind.encode(),
            "content.xml": content.format(rows).encode(),
            "META-INF/manifest.xml": manifest.encode(),
        }
    )
    assert texts("a.ods", book) == ["City：Lisbon ——Towns"]


def test_a_sheet_with_cells_in_its_corners_does_not_take_the_process_down(read):
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.active["A1"] = workbook.active["XFD1048576"] = "x"
    with pytest.raises(LimitExceeded, match="too far apart"):
        read("a.xlsx", saved(workbook))


def test_the_helper_ends_when_the_caller_stops(tmp_path, monkeypatch):
    from ragflow.engine.parsing import spreadsheet

    helpers = []
    popen = spreadsheet.subprocess.Popen
    monkeypatch.setattr(spreadsheet.subprocess, "Popen", lambda *a, **k: helpers.append(popen(*a, **k)) or helpers[-1])
    book = samples.xlsx({"Long": [["value"] * 10] * 4000})
    items = parse(samples.written(tmp_path, "a.xlsx", book), "a.xlsx")
    next(items)
    items.close()
    assert [helper.returncode for helper in helpers] == [-signal.SIGKILL]


# -- old formats ---------------------------------------------------------------------------------------------------


@pytest.fixture
def office(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for LibreOffice on PATH: a shell script that sees its arguments."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(script):
        program = programs / "soffice"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)

    return install


OUTPUT = 'for last; do previous=$out; out=$last; done; folder=$(dirname "$out")\n'


def test_old_documents_are_converted(texts, office, tmp_path):
    (tmp_path / "converted.docx").write_bytes(samples.docx())
    office(f'{OUTPUT}cp {tmp_path}/converted.docx "$folder/original.docx"')
    assert samples.PARAGRAPH in texts("letter.doc", b"\xd0\xcf\x11\xe0 old")


def test_old_presentations_are_converted(texts, office, tmp_path):
    (tmp_path / "converted.pptx").write_bytes(samples.pptx())
    office(f'{OUTPUT}cp {tmp_path}/converted.pptx "$folder/original.pptx"')
    assert samples.PARAGRAPH in texts("talk.PPT", b"\xd0\xcf\x11\xe0 old")


def test_old_documents_that_cannot_be_converted(read, office):
    office("exit 0")
    with pytest.raises(MalformedFile, match="LibreOffice could not open"):
        read("letter.doc", b"\xd0\xcf\x11\xe0 old")


def test_a_conversion_that_does_not_end(read, office):
    office("sleep 60 & wait")
    with pytest.raises(LimitExceeded, match="took too long"):
        read("letter.doc", b"\xd0\xcf\x11\xe0 old", limits=Limits(max_seconds=0.2))


def test_old_documents_without_libreoffice(read, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnsupportedFormat, match="LibreOffice, which is not installed"):
        read("letter.doc", b"\xd0\xcf\x11\xe0 old")
