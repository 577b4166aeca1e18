"""PDF: text with its place, headings, columns, tables, running heads, scans, and pages that cannot be read."""

import threading

import pytest

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile
from ragflow.engine.parsing import Limits, ocr, parse, pdf, pdf_apart, reader
from ragflow.engine.parsing.source import MIB
from ragflow.engine.types import Block, BlockKind, Notice
from tests.unit.parsing import samples

PLAIN, TEXT, HEADING, TABLE, IMAGE, *_ = BlockKind
WIDTH, HEIGHT = 595, 842

needs_tesseract = pytest.mark.skipif(not ocr.available(), reason="tesseract is not installed")


def written(*lines, size=10, x=72, top=72, leading=1.2):
    """Return a page's drawing function: the lines below each other; an empty one is a gap."""

    def draw(canvas):
        canvas.setFont("Helvetica", size)
        for number, line in enumerate(lines):
            canvas.drawString(x, HEIGHT - top - size - number * size * leading, line)

    return draw


def together(*draws):
    return lambda canvas: [draw(canvas) for draw in draws]


def test_a_page_in_order_with_places_inside_of_it(read):
    blocks, messages = read("paper.pdf", samples.pdf())
    body = [block for block in blocks if "manual" not in block.text and not block.text.startswith("Page")]
    assert [(block.kind, block.level) for block in body] == [(HEADING, 1), (TEXT, 0), (TEXT, 0), (TABLE, 0), (TEXT, 0)]
    assert body[0].text == "Chapter about exchanger 1"
    assert body[1].text == f"{samples.PARAGRAPH} {samples.SECOND} {samples.PARAGRAPH}"
    assert body[3].text.splitlines()[1:3] == [
        "<tr><th>City</th><th>Population</th><th>Founded</th></tr>",
        "<tr><td>Lisbon</td><td>545000</td><td>1256</td></tr>",
    ]
    assert body[4].text == "After the table."
    assert messages == []
    tops = []
    for block in body:
        (place,) = block.positions
        assert place.page == 1
        assert 0 <= place.left < place.right <= WIDTH
        assert 0 <= place.top < place.bottom <= HEIGHT
        tops.append(place.top)
    assert tops == sorted(tops)


def test_places_are_measured_from_the_top_left(read):
    (block,) = read("a.pdf", samples.drawn_pdf(written("Hello world", x=100, top=200, size=20)))[0]
    (place,) = block.positions
    assert place.left == pytest.approx(101, abs=2)
    assert 200 <= place.top < place.bottom <= 225


def test_fonts_without_measures_have_places_of_their_size(read):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont

    def draw(canvas):
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
        canvas.setFont("STSong-Light", 12)
        canvas.drawString(72, 700, "换热器在两种互不接触的")
        canvas.drawString(72, 685, "流体之间传递热量。")

    (block,) = read("a.pdf", samples.drawn_pdf(draw))[0]
    assert block.text == samples.CHINESE
    assert block.positions[0].bottom - block.positions[0].top > 20


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_places_on_turned_pages(read, turn):
    def draw(canvas):
        canvas.setPageRotation(turn)  # which also swaps the sides of the page, so that it is shown upright
        written("A line of text in the middle", top=400)(canvas)

    (block,) = read("a.pdf", samples.drawn_pdf(draw))[0]
    (place,) = block.positions
    assert 0 <= place.left < place.right <= WIDTH
    assert 0 <= place.top < place.bottom <= HEIGHT
    tall = place.bottom - place.top > place.right - place.left
    assert tall == (turn != 180)


def test_places_on_cropped_pages_are_those_of_the_visible_part(read):
    def draw(canvas):
        canvas.setCropBox((100, 100, 500, 742))
        written("Visible text", x=120, top=150)(canvas)
        written("Cut away", x=5, top=5)(canvas)

    (block,) = read("a.pdf", samples.drawn_pdf(draw))[0]
    assert block.text == "Visible text"
    assert block.positions[0].left == pytest.approx(20, abs=2)
    assert block.positions[0].top == pytest.approx(52, abs=4)


def test_paragraphs_end_at_gaps_list_items_and_short_last_lines(texts):
    lines = (
        "The first paragraph fills its line nearly to the end of it and",
        "then ends here.",
        "The second begins at once but the line before was short and done",
        "so they are two.",
        "",
        "A gap comes before this one",
        "1. first item of a list",
        "2. second item",
        "• a bullet",
    )
    assert texts("a.pdf", samples.drawn_pdf(written(*lines))) == [
        f"{lines[0]} {lines[1]}",
        f"{lines[2]} {lines[3]}",
        *lines[5:],
    ]


def test_words_cut_at_the_end_of_a_line_are_whole_again(texts):
    page = written("This sentence has a word that is hyphen-", "ated at the end of its first line.")
    assert texts("a.pdf", samples.drawn_pdf(page)) == [
        "This sentence has a word that is hyphenated at the end of its first line."
    ]


def test_a_paragraph_that_runs_over_two_columns(read):
    left = written("In the left column a sentence begins and", "its end is found, as one may expect, to", x=50, top=600)
    right = written("be in the right column.", x=320)
    (block,) = read("a.pdf", samples.drawn_pdf(together(left, right)))[0]
    assert block.text.endswith("expect, to be in the right column.")
    first, second = block.positions
    assert first.right < second.left
    assert second.bottom < first.top


def test_heading_levels_follow_the_size(read):
    page = together(
        written("Title", size=24, top=60),
        written("Section", size=16, top=120),
        written(samples.PARAGRAPH, samples.SECOND, top=150),
        written("Another section", size=16, top=200),
    )
    blocks, _ = read("a.pdf", samples.drawn_pdf(page))
    assert [(block.text, block.level) for block in blocks if block.kind is HEADING] == [
        ("Title", 1),
        ("Section", 2),
        ("Another section", 2),
    ]


def test_running_heads_and_page_numbers_are_left_out(texts):
    found = texts("paper.pdf", samples.pdf(4))
    assert not [text for text in found if "third edition" in text or text.startswith("Page ")]
    assert [text for text in found if text.startswith("Chapter")] == [
        f"Chapter about exchanger {number}" for number in range(1, 5)
    ]


def test_lines_at_the_top_that_are_the_content_stay(texts):
    pages = [written(f"This is page {number}", top=30) for number in range(1, 6)]
    assert texts("a.pdf", samples.drawn_pdf(*pages)) == [f"This is page {number}" for number in range(1, 6)]
    pages = [
        together(written(f"Invoice {number}", top=30), written(samples.PARAGRAPH, top=100)) for number in (812, 97, 455)
    ]
    assert [text for text in texts("a.pdf", samples.drawn_pdf(*pages)) if "Invoice" in text] == [
        "Invoice 812",
        "Invoice 97",
        "Invoice 455",
    ]


def test_merged_cells_and_frames(read):
    from reportlab.lib import colors
    from reportlab.platypus import Table

    def draw(canvas):
        grid = [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("SPAN", (0, 0), (1, 0)), ("SPAN", (2, 1), (2, 2))]
        table = Table([["wide", "", "c"], ["d", "e", "high"], ["g", "h", ""]], style=grid)
        table.wrapOn(canvas, 400, 400)
        table.drawOn(canvas, 100, 600)
        written("Framed text is no table", top=400)(canvas)
        for inset in (0, 4):
            canvas.rect(60 + inset, 400 + inset, 400 - 2 * inset, 60 - 2 * inset)
        canvas.rect(60, 100, 10, 10)
        canvas.rect(60, 120, 10, 10)

    blocks, _ = read("a.pdf", samples.drawn_pdf(draw))
    assert [block.kind for block in blocks] == [TABLE, TEXT]
    assert blocks[0].text.splitlines()[1:-1] == [
        '<tr><th colspan="2">wide</th><th>c</th></tr>',
        '<tr><td>d</td><td>e</td><td rowspan="2">high</td></tr>',
        "<tr><td>g</td><td>h</td></tr>",
    ]


def test_the_plain_text_option_gives_no_places_and_no_tables(read):
    blocks, _ = read("paper.pdf", samples.pdf(), layout_recognize="Plain Text")
    assert {block.positions for block in blocks} == {()}
    assert {block.kind for block in blocks} == {HEADING, TEXT}
    assert any("Lisbon" in block.text for block in blocks)


@pytest.mark.parametrize(
    ("pages", "expected"), [(((2, 3),), [2, 3]), (((4, 9), (1, 1)), [1, 4]), (((1, 2), (2, 2)), [1, 2])]
)
def test_page_ranges(read, pages, expected):
    blocks, _ = read("paper.pdf", samples.pdf(4), pages=pages)
    assert sorted({block.positions[0].page for block in blocks}) == expected


def test_page_limits(read):
    with pytest.raises(LimitExceeded, match="4 pages to read; 3 are allowed"):
        read("a.pdf", samples.pdf(4), limits=Limits(max_pages=3))
    assert read("a.pdf", samples.pdf(4), limits=Limits(max_pages=3), pages=((2, 4),))[0]
    with pytest.raises(MalformedFile, match="none of them"):
        read("a.pdf", samples.pdf(1), pages=((7, 9),))


def test_a_password(read):
    with pytest.raises(EncryptedFile, match="password"):
        read("a.pdf", samples.pdf(password="secret"))


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"%PDF-1.4\n" + b"no objects " * 50])
def test_a_pdf_without_content(read, content):
    with pytest.raises(MalformedFile, match="damaged PDF"):
        read("a.pdf", content)


def test_progress_comes_page_by_page_and_the_caller_may_stop(tmp_path):
    items = parse(samples.written(tmp_path, "a", samples.pdf(3)), "a.pdf")
    pages = []
    for item in items:
        if isinstance(item, Block):
            pages.append(item.positions[0].page)
        elif item.fraction is not None:
            assert item == Notice(fraction=pytest.approx(1 / 3))
            break
    assert set(pages) == {1}
    items.close()


def test_documents_are_read_side_by_side_in_threads(tmp_path):
    path = samples.written(tmp_path, "a", samples.pdf(3))
    expected = list(parse(path, "a.pdf"))
    results = []
    threads = [threading.Thread(target=lambda: results.append(list(parse(path, "a.pdf")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


@pytest.fixture
def in_this_process(monkeypatch):
    """Read without the helper process, which would not see what a test changes."""
    monkeypatch.setitem(reader.READERS, "pdf", pdf.read)


@pytest.mark.usefixtures("in_this_process")
def test_scans_without_tesseract_are_told(read, monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)
    blocks, messages = read("scan.pdf", samples.scanned_pdf())
    assert blocks == []
    assert messages == ["No text layer: Page 1 of scan.pdf. To have pictures read, install tesseract."]


@needs_tesseract
def test_scans_are_read_in_their_place(read):
    blocks, messages = read("scan.pdf", samples.scanned_pdf("Exchanger 42"))
    (block,) = blocks
    assert block.text == "Exchanger 42"
    (place,) = block.positions
    assert (place.page, messages) == (1, [])
    assert 0 <= place.left < place.right <= WIDTH
    assert HEIGHT - 800 <= place.top < place.bottom <= HEIGHT - 500


@needs_tesseract
@pytest.mark.usefixtures("in_this_process")
def test_a_scan_that_takes_too_long_costs_its_page_only(read, monkeypatch):
    monkeypatch.setattr(ocr, "PAGE_SECONDS", 0.001)
    assert read("scan.pdf", samples.scanned_pdf()) == ([], ["Page 1 of scan.pdf could not be read by OCR."])


# -- files made by hand ------------------------------------------------------------------------------------------------


def stream(content, entries=b""):
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), entries, content)


def pdf_of(*objects):
    """Return a PDF of these objects; the first one is its catalog."""
    body = b"%PDF-1.7\n"
    for number, content in enumerate(objects, start=1):
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    return body + b"trailer<</Size %d/Root 1 0 R>>\n%%%%EOF" % (len(objects) + 1)


def test_characters_beyond_the_basic_plane(texts):
    written = b"3 beginbfchar <41> <D83DDE00> <42> <D840DC0B> <43> <0043> endbfchar"
    font = pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R/Resources<</Font<</F 4 0 R>>>>>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>",
        stream(b"BT /F 12 Tf 72 700 Td (ACBC) Tj ET"),
        stream(b"begincmap 1 begincodespacerange <00> <FF> endcodespacerange " + written + b" endcmap"),
    )
    assert texts("a.pdf", font) == ["\U0001f600C\U0002000bC"]


# -- hostile files: they cost the helper process only -----------------------------------------------------------------


def nested_forms(depth):
    """Return a PDF of some hundred bytes that draws 10 to the power of `depth` letters, by forms within forms."""
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</Font<</F 4 0 R>>/XObject<</X %d 0 R>>>>"
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R/Resources<</XObject<</X 6 0 R>>>>>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        stream(b"/X Do " * 10),
        *(stream(b"/X Do " * 10, form % (7 + level)) for level in range(depth - 1)),
        stream(b"BT /F 12 Tf (A) Tj ET", form % 1),
    )


def test_forms_within_forms_are_read(texts):
    assert "".join(texts("a.pdf", nested_forms(2))).strip("A \n") == ""


def test_a_page_that_needs_too_much_memory(read):
    with pytest.raises(LimitExceeded, match=r"a\.pdf needs more than 256 MiB of memory"):
        read("a.pdf", nested_forms(12), limits=Limits(max_memory=256 * MIB))


def test_a_page_that_takes_too_long(read):
    with pytest.raises(LimitExceeded, match=r"Reading a\.pdf took longer than 0\.5 seconds"):
        read("a.pdf", nested_forms(12), limits=Limits(max_seconds=0.5, max_memory=64 << 30))


@pytest.mark.parametrize(
    ("signal", "error", "message"),
    [
        ("SIGSEGV", MalformedFile, r"a\.pdf is a damaged PDF"),
        ("SIGKILL", LimitExceeded, r"a\.pdf needs more than 2048 MiB of memory"),  # the kernel, when it has none left
    ],
)
def test_a_crash_of_the_library_is_the_files_fault(read, monkeypatch, tmp_path, signal, error, message):
    crashing = tmp_path / "crashing.py"
    crashing.write_text(f"import os, signal, sys; sys.stdin.read(); os.kill(os.getpid(), signal.{signal})")
    monkeypatch.setattr(pdf_apart, "HELPER", crashing)
    with pytest.raises(error, match=message):
        read("a.pdf", samples.pdf())


def test_what_nobody_foresaw_is_told_as_everywhere(read, monkeypatch, tmp_path, caplog):
    broken = tmp_path / "broken.py"
    broken.write_text("import json; print(json.dumps({'error': ['', 'deep inside']}))")
    monkeypatch.setattr(pdf_apart, "HELPER", broken)
    with pytest.raises(MalformedFile, match=r"a\.pdf is damaged"):
        read("a.pdf", samples.pdf())
    assert "deep inside" in caplog.text
