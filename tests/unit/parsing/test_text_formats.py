"""Plain text, Markdown, HTML, XML, JSON and CSV."""

import json

import pytest

from ragflow.engine.errors import LimitExceeded, MalformedFile
from ragflow.engine.parsing import Limits, parse
from ragflow.engine.parsing import text as text_reader
from ragflow.engine.parsing.text import decode, join_lines
from ragflow.engine.types import BlockKind, Notice
from tests.unit.parsing import samples

PLAIN, TEXT, HEADING, TABLE, IMAGE, *_ = BlockKind


NUMBERS = (
    '<table><caption>Cities</caption>\n<tr><th>City</th><th colspan="2">Numbers</th></tr>\n'
    "<tr><td>Lisbon &amp; area</td><td>545000</td><td>1256</td></tr>\n</table>"
)


def outline(blocks):
    return [(block.kind, block.level, block.text) for block in blocks]


# -- decoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "naïve – 换热器 😀"),
        ("utf-8-sig", "with a mark"),
        ("utf-16", "naïve – 换热器"),
        ("utf-32", "naïve"),
        ("utf-16-le", "Latin text without a byte order mark"),
        ("utf-16-be", "Latin text without a byte order mark"),
        ("gb18030", samples.CHINESE),
        ("cp1252", "Die Größe der Fläche beträgt 3 m² – naïve “quotes” ação"),
        ("latin-1", "\x81 stays"),  # a byte that Windows-1252 does not have
    ],
)
def test_encodings_are_recognised(encoding, text):
    assert decode(text.encode(encoding)) == text


def test_the_declared_encoding_is_used_when_the_bytes_are_not_utf8():
    assert decode("Привет мир".encode("koi8-r"), "koi8-r") == "Привет мир"
    assert decode("Привет".encode(), "koi8-r") == "Привет"
    assert decode("naïve".encode("cp1252"), "no-such-encoding") == "naïve"


def test_a_few_damaged_bytes_do_not_change_the_encoding():
    data = (samples.CHINESE * 20).encode()
    assert decode(data[:-1]).startswith(samples.CHINESE * 19)


def test_newlines_and_nuls():
    assert decode(b"a\r\nb\rc\x00d\n") == "a\nb\ncd\n"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["thermo-", "dynamic"], "thermodynamic"),
        (["Rhein-", "Main"], "Rhein- Main"),
        (["soft\u00ad", "Ware"], "softWare"),
        (["3-", "fold"], "3- fold"),
        (["换热", "器"], "换热器"),
        (["an end", "and more"], "an end and more"),
    ],
)
def test_lines_of_a_paragraph_are_joined(lines, text):
    assert join_lines(lines) == text


def test_a_paragraph_of_very_many_lines_is_joined():
    assert len(join_lines(["word"] * 100_000)) == 100_000 * 5 - 1


def test_rows_with_very_many_columns(read):
    headers = ",".join(f"column {number}" for number in range(200_000))
    (row,), _ = read("a.csv", f"{headers}\n{'x,' * 199_999}x\n".encode(), rows=True)
    assert len(row.cells) == 200_000


def test_text_keeps_its_lines_and_is_plain(read):
    blocks, _ = read("a.sql", b"select 1;\r\n\r\nselect 2;\n")
    assert outline(blocks) == [(PLAIN, 0, "select 1;\n\nselect 2;\n")]


def test_long_text_comes_in_parts_that_lose_nothing(texts, monkeypatch):
    monkeypatch.setattr(text_reader, "SLAB", 50)
    content = "".join(f"line {n}\n" + "\n" * (n % 4 == 0) for n in range(60)) + "x" * 120
    parts = texts("a.txt", content.encode())
    assert len(parts) > 5
    assert "".join(parts) == content


# -- Markdown ------------------------------------------------------------------------------------------------------


def test_markdown_elements_in_order(read):
    blocks, _ = read("notes.md", samples.MARKDOWN.encode())
    assert outline(blocks) == [
        (TEXT, 0, "author: Ada"),
        (HEADING, 1, "Heat exchangers"),
        (TEXT, 0, samples.PARAGRAPH),
        (HEADING, 2, "Cleaning"),
        (TEXT, 0, "- rinse"),
        (TEXT, 0, "- caustic"),
        (TEXT, 0, "```sh\n# not a heading\nclean --all\n```"),
        (
            TABLE,
            0,
            "<table>\n<tr><th>City</th><th>Population</th></tr>\n<tr><td>Lisbon</td><td>545000</td></tr>\n</table>",
        ),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("- a\n  - inner\n\n  more\n- b", ["- a\n  - inner\n\n  more", "- b"]),
        ("Title\n=====\ntext", ["Title", "text"]),
        ("> quoted\n> twice", ["> quoted\n> twice"]),
        ("    code\n    # code", ["    code\n    # code"]),
        ("```\nnever closed\n# still code", ["```\nnever closed\n# still code"]),
        ("a\n\n---\n\nb", ["a", "b"]),
        ("<div><p>in <b>HTML</b></p></div>", ["in HTML"]),
        ("---\nnot closed: yes\n\ntext", ["not closed: yes", "text"]),
    ],
)
def test_markdown_elements(texts, source, expected):
    assert texts("a.md", source.encode()) == expected


def test_long_markdown_is_parsed_in_parts(texts, monkeypatch):
    monkeypatch.setattr(text_reader, "SLAB", 100)
    content = "\n\n".join(f"## Section {n}\n\nText {n}" for n in range(40))
    assert texts("a.md", content.encode()) == [text for n in range(40) for text in (f"Section {n}", f"Text {n}")]


# -- HTML and XML --------------------------------------------------------------------------------------------------


def test_html_in_reading_order_without_noise(read):
    blocks, _ = read("page.html", samples.HTML.encode())
    assert outline(blocks) == [
        (HEADING, 1, "Heat exchangers"),
        (TEXT, 0, samples.PARAGRAPH),
        (HEADING, 2, "Cleaning"),
        (TEXT, 0, samples.SECOND),
        (TEXT, 0, "rinse"),
        (TEXT, 0, "caustic"),
        (TABLE, 0, NUMBERS),
        (TEXT, 0, "After the table"),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>one<br>two</p>", ["one\ntwo"]),
        ("loose <b>bold</b> text<p>para</p>tail", ["loose bold text", "para", "tail"]),
        ("<pre>  a\n    b</pre>", ["  a\n    b"]),
        ("<p>seen</p><p hidden>not</p><div aria-hidden='true'>not</div>", ["seen"]),
        ("<h2>T<script>x</script>itle</h2>", ["Title"]),
        ("<p>never closed<p>next", ["never closed", "next"]),
        ("<p>a&nbsp;&lt;b&gt;</p>", ["a <b>"]),
        ("<dl><dt>term</dt><dd>meaning</dd></dl>", ["term", "meaning"]),
    ],
)
def test_html_elements(texts, body, expected):
    assert texts("a.html", f"<html><body>{body}</body></html>".encode()) == expected


def test_a_title_stands_in_for_a_missing_h1(read):
    blocks, _ = read("a.html", b"<title>The page</title><p>text</p>")
    assert outline(blocks) == [(HEADING, 1, "The page"), (TEXT, 0, "text")]


def test_tables_that_only_arrange_a_page_are_read_as_text(texts):
    layout = "<table><tr><td><h2>Head</h2><p>para</p></td><td><table><tr><td>a</td><td>b</td></tr></table></td></table>"
    assert texts("a.html", layout.encode()) == [
        "Head",
        "para",
        "<table>\n<tr><td>a</td><td>b</td></tr>\n</table>",
    ]


def test_html_in_its_declared_encoding(texts):
    assert texts("a.html", "<meta charset=koi8-r><p>Привет".encode("koi8-r")) == ["Привет"]


def test_html_of_very_many_tables_within_each_other(texts):
    assert texts("a.html", b"<table><tr><td>" * 20_000 + b"text") == ["<table>\n<tr><td>text</td></tr>\n</table>"]


def test_html_nested_deeper_than_python_recurses(texts):
    assert texts("a.html", b"<div>" * 5000 + b"deep" + b"</div>" * 5000) == ["deep"]


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 50_000 + "</div>" * 50_000,
        "<x></y>" * 50_000,  # what is closed was never opened
        f"<div {' '.join(f'a{number}' for number in range(40_000))}>",
        f"<div title='>' {' '.join(f'a{number}' for number in range(40_000))}>",
    ],
)
def test_html_that_would_take_the_parser_hours_is_refused(read, page):
    with pytest.raises(LimitExceeded, match="nested too deeply, or a tag has too many attributes"):
        read("page.html", page.encode())


@pytest.mark.parametrize(
    "noise",
    [
        "<p>" * 50_000,  # each is closed by the next
        "<svg>" + '<path d="M0"/>' * 50_000 + "</svg>",
        f"<script>{'<div>' * 50_000}</script>",
        f"<img src=data:image/png;base64,{'A/+' * 50_000}>",
    ],
)
def test_large_pages_are_not_deep_ones(texts, noise):
    assert texts("page.html", f"{noise}<p>text</p>".encode()) == ["text"]


def test_xhtml_elements_that_close_themselves(texts):
    page = '<?xml version="1.0"?><html><head><title/></head><body><p>a<br/>b<a id="x"/></p></body></html>'
    assert texts("a.html", page.encode()) == ["a\nb"]
    assert texts("a.xml", page.encode()) == ["a\nb"]


def test_xml_keeps_names_and_attributes(texts):
    assert texts("a.xml", samples.XML.encode()) == [
        "title: Exchangers",
        "part (no=7)",
        f"p: {samples.PARAGRAPH}",
    ]
    assert texts("a.xml", b"<n:a xmlns:n='u'>one <b>two</b> three</n:a>") == ["a: one two three"]


def test_bad_xml(read):
    with pytest.raises(MalformedFile, match="line 1, column"):
        read("a.xml", b"<a><b></a>")
    with pytest.raises(MalformedFile, match="entities"):
        read("a.xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_json_is_cut_into_objects_that_keep_their_path(texts):
    value = {"plant": {"pumps": [{"id": n, "note": "x" * 300} for n in range(9)], "name": "north"}}
    parts = [json.loads(text) for text in texts("a.json", json.dumps(value).encode())]
    assert len(parts) > 2
    assert all(len(json.dumps(part)) < 1100 for part in parts)
    pumps = [pump for part in parts for pump in part["plant"].get("pumps", {}).items()]
    assert pumps == [(str(n), {"id": n, "note": "x" * 300}) for n in range(9)]
    assert parts[-1]["plant"]["name"] == "north"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": 1}', ['{"a": 1}']),
        ('[{"a": 1}, {"a": "é"}]', ['{"0": {"a": 1}, "1": {"a": "é"}}']),
        ('"only text"', ["only text"]),
        ("  ", []),
        ("{}", ["{}"]),
    ],
)
def test_small_json(texts, content, expected):
    assert texts("a.json", content.encode()) == expected


@pytest.mark.parametrize("name", ["a.jsonl", "a.ldjson", "a.json"])
def test_json_lines_are_recognised_and_bad_ones_told(read, name):
    lines = [json.dumps({"n": n}) for n in range(9)]
    lines[5] = "{broken"
    blocks, messages = read(name, "\n".join(lines).encode())
    assert [block.text for block in blocks] == [line for line in lines if line != "{broken"]
    assert messages == [f"1 line of {name} is not valid JSON and was left out: 6."]


def test_json_too_large_for_a_tree_may_come_as_lines(read):
    lines = "\n".join(json.dumps({"n": n}) for n in range(50))
    assert len(read("a.json", lines.encode(), limits=Limits(max_tree_bytes=100))[0]) == 50
    with pytest.raises(LimitExceeded, match="JSON Lines"):
        read("a.json", json.dumps(list(range(99))).encode(), limits=Limits(max_tree_bytes=100))


def test_bad_json_names_the_place(read):
    with pytest.raises(MalformedFile, match="line 2, column 3"):
        read("a.json", b'{"a": 1,\n  b}')
    with pytest.raises(MalformedFile, match="nested too deeply"):
        read("a.json", b"[" * 100_000)


# -- CSV -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_separators_are_found(texts, separator):
    rows = [["City", "Remark"], ["Lisbon", "hills, trams"], ["Porto", "wine; bridges"]]
    content = "\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    assert texts("a.csv", content.encode()) == [
        "City：Lisbon; Remark：hills, trams",
        "City：Porto; Remark：wine; bridges",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n\na,b\n1,\n,\n,2\n", ["a：1", "b：2"]),
        ("a,b\n1,2,3", ["a：1; b：2; 3"]),
        ('a,b\n"two\nlines",2', ["a：two lines; b：2"]),
        ("only,headers", ["only; headers"]),
        ("one column\nvalue", ["one column：value"]),
    ],
)
def test_csv_rows(texts, content, expected):
    assert texts("a.csv", content.encode()) == expected


def test_long_csv_cells(texts):
    assert len(texts("a.csv", b"h\n" + b"x" * 200_000)[0]) > 200_000


def test_csv_as_tables_of_twelve_rows(read):
    content = "n,square\n" + "\n".join(f"{n},{n * n}" for n in range(30))
    blocks, _ = read("a.csv", content.encode(), html4excel=True)
    assert [block.kind for block in blocks] == [TABLE] * 3
    assert [block.text.count("<tr>") for block in blocks] == [13, 13, 7]
    assert all("<tr><th>n</th><th>square</th></tr>" in block.text for block in blocks)


@pytest.mark.parametrize(("name", "line"), [("a.csv", "1,2\n"), ("a.md", "A line of a paragraph.\n\n")])
def test_large_files_tell_how_far_they_are_read(tmp_path, monkeypatch, name, line):
    monkeypatch.setattr(text_reader, "SLAB", 5000)
    (tmp_path / name).write_text(line * 2000)
    items = parse(tmp_path / name, name)
    told = [item.fraction for item in items if isinstance(item, Notice) and item.fraction is not None]
    assert len(told) >= 4
    assert told == sorted(told)
    assert told[-1] <= 1
