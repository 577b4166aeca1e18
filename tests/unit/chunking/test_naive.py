from itertools import pairwise

import pytest

from ragflow.engine.chunking import ChunkOptions, chunk, is_native
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Block, BlockKind, Piece, Position

PLAIN, TEXT, HEADING, TABLE, IMAGE, *_ = BlockKind


def cut(*blocks, method="naive", **options):
    return list(chunk(blocks, method=method, options=ChunkOptions(**options)))


def texts(*blocks, **options):
    return [piece.text for piece in cut(*blocks, **options)]


def sentence(number):
    return f"Sentence number {number} says a thing or two. "


def table(rows, caption=""):
    body = "\n".join(f"<tr><td>{n}</td><td>value {n}</td></tr>" for n in range(rows))
    return f"<table>{caption}\n<tr><th>Key</th><th>Value</th></tr>\n{body}\n</table>"


@pytest.mark.parametrize(
    "text", ["The quick brown fox jumps over it.", "Is it 3.5; or 4? Yes!", "  Padded; text.\n", "茶在山上。水在河里！"]
)
def test_a_short_text_is_one_chunk_with_all_of_it(text):
    assert texts(Block(text, PLAIN)) == [text.strip()]


def test_running_text_is_cut_at_delimiters_and_packed_to_the_budget():
    text = "\n".join(sentence(n).strip() for n in range(30))
    chunks = texts(Block(text, PLAIN), chunk_token_num=64)
    assert len(chunks) > 1
    assert "\n".join(chunks) == text
    assert all(chunk.endswith("two.") for chunk in chunks)


def test_only_running_text_is_cut_at_single_delimiters():
    line = "alpha|" * 8
    assert texts(Block(line, TEXT), chunk_token_num=64, delimiter="|") == [line]
    assert texts(Block(line, PLAIN), chunk_token_num=64, delimiter="|") == ["\n".join(["alpha"] * 8)]


def test_rows_fill_a_chunk():
    rows = [Block(f"name：person {n}; city：town {n}") for n in range(40)]
    chunks = texts(*rows, chunk_token_num=60)
    assert "\n".join(chunks) == "\n".join(row.text for row in rows)
    assert 5 < len(chunks) < 12


def test_back_quoted_delimiters_cut_and_nothing_else_does():
    blocks = [Block("One; two\n### three"), Block("four ### five"), Block("### "), Block("six")]
    assert texts(*blocks, delimiter="\n;`###`", chunk_token_num=8) == ["One; two", "three\nfour", "five", "six"]


def test_back_quoted_delimiters_may_hold_line_breaks():
    blocks = [Block("One\n\nTwo\n", PLAIN), Block("Three", PLAIN)]
    assert texts(*blocks, delimiter=r"`\n\n`") == ["One", "Two\nThree"]


def test_a_piece_between_delimiters_is_cut_only_where_no_model_could_read_it():
    assert max(map(count_tokens, texts(Block("word " * 20_000, PLAIN), delimiter="`###`"))) <= 8192


def test_a_heading_goes_with_the_text_after_it():
    filler = "".join(map(sentence, range(8)))
    chunks = texts(Block(filler), Block("Harbour", HEADING, 1), Block(filler), chunk_token_num=100)
    assert not any(chunk.endswith("Harbour") for chunk in chunks)
    assert any(chunk.startswith("Harbour\nSentence") for chunk in chunks)


def test_a_heading_before_a_text_as_large_as_the_budget_is_not_left_alone():
    body = "".join(map(sentence, range(10))).strip()
    budget = count_tokens(body) + 1
    first, *_ = texts(Block("Harbour", HEADING, 1), Block(body), chunk_token_num=budget)
    assert first.startswith("Harbour\nSentence number 0")


def test_a_long_paragraph_is_cut_between_sentences():
    chunks = texts(Block("".join(map(sentence, range(40)))), chunk_token_num=60)
    assert len(chunks) > 5
    assert all(chunk.startswith("Sentence") and chunk.endswith("two.") for chunk in chunks)


def test_overlap_repeats_the_end_of_the_chunk_before():
    chunks = texts(Block("".join(map(sentence, range(40)))), chunk_token_num=80, overlapped_percent=25)
    assert len(chunks) > 5
    for before, after in pairwise(chunks):
        repeated = after[: after.index("two.") + 4]
        assert before.endswith(repeated)


def test_overlap_of_a_text_without_sentences_repeats_words():
    chunks = texts(Block("word " * 300), chunk_token_num=50, overlapped_percent=20)
    assert sum(chunk.count("word") for chunk in chunks) > 320
    assert all(set(chunk.split()) == {"word"} for chunk in chunks)


def test_overlap_adds_no_chunk_at_the_end():
    one = texts(Block("Only one sentence here."), chunk_token_num=50, overlapped_percent=50)
    assert one == ["Only one sentence here."]


def test_tables_and_figures_are_chunks_of_their_own_in_reading_order():
    pieces = cut(Block("Before."), Block(table(2), TABLE), Block("Between."), Block("A ship", IMAGE), Block("After."))
    assert [piece.kind for piece in pieces] == ["", "table", "", "image", ""]
    assert pieces[1].text == table(2)


def test_the_heading_of_a_table_leads_it():
    pieces = cut(Block("Before."), Block("Prices", HEADING, 2), Block(table(2), TABLE))
    assert [piece.text for piece in pieces] == ["Before.", f"Prices\n{table(2)}"]
    assert pieces[1].kind == "table"


def test_a_heading_too_long_to_lead_a_table_stands_alone():
    heading = "Prices of all goods " * 8
    pieces = cut(Block(heading, HEADING, 1), Block(table(1), TABLE), chunk_token_num=48)
    assert [piece.kind for piece in pieces] == ["", "table"]


def test_what_was_repeated_is_not_a_chunk_of_its_own_before_a_table():
    filler = Block("".join(map(sentence, range(8))))
    heading = Block("Prices of all goods and of some services", HEADING, 1)
    pieces = cut(filler, heading, Block(table(1), TABLE), chunk_token_num=100, overlapped_percent=20)
    joined = "".join(piece.text for piece in pieces if not piece.kind)
    assert all(joined.count(f"number {n} ") == 1 or pieces[1].text.count(f"number {n} ") for n in range(8))
    assert pieces[-2].text != pieces[-1].text
    assert pieces[-1].text.startswith(heading.text)


def test_a_large_table_is_cut_by_rows_and_repeats_its_header():
    pieces = cut(Block(table(60, "<caption>Sheet</caption>"), TABLE), chunk_token_num=120)
    assert len(pieces) > 3
    rows = []
    for piece in pieces:
        assert count_tokens(piece.text) <= 120
        assert piece.text.startswith("<table><caption>Sheet</caption>\n<tr><th>Key</th><th>Value</th></tr>\n")
        assert piece.text.endswith("</table>")
        assert piece.text.count("<tr>") == piece.text.count("</tr>")
        rows += [line for line in piece.text.split("\n") if line.startswith("<tr><td>")]
    assert rows == [line for line in table(60).split("\n") if line.startswith("<tr><td>")]


def test_a_table_row_above_the_budget_keeps_its_text():
    cell = "".join(map(sentence, range(30)))
    source = f"<table><tr><th>A</th></tr><tr><td>{cell} 1 &lt; 2</td><td>next</td></tr></table>"
    pieces = cut(Block(source, TABLE), chunk_token_num=100)
    assert all(count_tokens(piece.text) <= 100 for piece in pieces)
    joined = "".join(piece.text for piece in pieces)
    assert all(f"number {n} says" in joined for n in range(30))
    assert "1 &lt; 2" in joined
    assert "next" in joined


def test_a_table_in_a_cell_is_not_torn_apart():
    inner = "<table><tr><td>x</td></tr></table>"
    source = "<table>" + f"<tr><td>{inner}</td></tr>" * 20 + "</table>"
    for piece in cut(Block(source, TABLE), chunk_token_num=80):
        assert piece.text.count("<table>") == piece.text.count("</table>")
        assert piece.text.count(inner) >= 1


def test_a_table_without_rows_is_cut_as_text():
    pieces = cut(Block("<table>" + "".join(map(sentence, range(30))) + "</table>", TABLE), chunk_token_num=60)
    assert len(pieces) > 3
    assert all(piece.kind == "table" and count_tokens(piece.text) <= 60 for piece in pieces)


def test_context_surrounds_a_table_with_whole_sentences():
    pieces = cut(
        Block("Far away. Near by."), Block(table(1), TABLE), Block("Just after. Much later on."), table_context_size=4
    )
    assert pieces[1].text == f"Near by.\n{table(1)}\nJust after."
    assert [piece.kind for piece in pieces] == ["", "table", ""]


def test_context_of_figures_leaves_tables_alone():
    pieces = cut(
        Block("Before."), Block(table(1), TABLE), Block("A ship", IMAGE), Block("After."), image_context_size=9
    )
    assert [piece.text for piece in pieces] == ["Before.", table(1), "Before.\nA ship\nAfter.", "After."]


def test_many_figures_without_text_do_not_pile_up():
    read = []

    def blocks():
        for number in range(500):
            read.append(number)
            yield Block(f"Ship {number}", IMAGE)

    pieces = chunk(blocks(), method="naive", options=ChunkOptions(image_context_size=100))
    assert next(pieces).text == "Ship 0"
    assert len(read) < 100


def test_children_carry_their_parent():
    where = (Position(2, 10, 20, 30, 40),)
    pieces = cut(Block("One. Two. Three.", positions=where), children_delimiter="`. `")
    assert pieces == [
        Piece(text, positions=where, parent_text="One. Two. Three.") for text in ("One.", "Two.", "Three.")
    ]


def test_a_chunk_that_children_delimiters_do_not_cut_has_no_parent():
    assert cut(Block("One."), children_delimiter="\n") == [Piece("One.")]


@pytest.mark.parametrize("kind", list(BlockKind))
def test_blank_blocks_give_no_chunk(kind):
    assert cut(Block(" \n\t", kind), Block("", kind)) == []


def test_lines_of_one_column_become_one_rectangle():
    lines = tuple(Position(1, 50, 290, top, top + 10) for top in (100, 112, 124))
    column = tuple(Position(1, 310, 550, top, top + 10) for top in (100, 112))
    (piece,) = cut(Block("One.", positions=lines), Block("Two.", positions=(*column, Position(2, 50, 290, 80, 90))))
    assert piece.positions == (
        Position(1, 50, 290, 100, 134),
        Position(1, 310, 550, 100, 122),
        Position(2, 50, 290, 80, 90),
    )


def test_parts_of_a_block_share_its_lines():
    lines = tuple(Position(page, 0, 100, 50, 60) for page in range(1, 11))
    pieces = cut(Block("".join(map(sentence, range(20))), positions=lines), chunk_token_num=60)
    assert pieces[0].positions[0].page == 1
    assert pieces[0].positions[-1].page < 6
    assert pieces[-1].positions[-1].page == 10
    assert pieces[-1].positions[0].page > 5


def test_other_methods_are_cut_as_naive():
    block = Block("One.\nTwo.", PLAIN)
    assert is_native("naive")
    assert not is_native("paper")
    assert cut(block, method="paper") == cut(block)


def test_pieces_come_while_blocks_are_still_being_read():
    def blocks():
        yield Block("".join(map(sentence, range(100))))
        raise AssertionError("read too far")

    pieces = chunk(blocks(), method="naive", options=ChunkOptions(chunk_token_num=50))
    assert next(pieces).text.startswith("Sentence number 0")
