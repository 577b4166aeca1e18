import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragflow.engine.chunking.delimiters import Delimiters, split_keeping, split_plain

TEXT = st.text(alphabet="ab \n!?;。|`中", max_size=60)


@pytest.mark.parametrize(
    ("notation", "characters", "strings"),
    [
        ("\n!?", "\n!?", ()),
        (r"\n\t", "\n\t", ()),
        ("\n`##`;`####`", "\n;", ("####", "##")),
        (r"`\n\n`", "", ("\n\n",)),
        (r"`\u3002`", "", ("。",)),
        ("`", "`", ()),
        ("``", "`", ()),
        ("\\", "\\", ()),
    ],
)
def test_notation(notation, characters, strings):
    delimiters = Delimiters.read(notation)
    assert (delimiters.characters, delimiters.strings) == (characters, strings)


@given(st.text(max_size=30), TEXT)
def test_any_notation_can_be_used(notation, text):
    delimiters = Delimiters.read(notation)
    assert "".join(split_keeping(text, delimiters)) == text
    list(split_plain(text, delimiters))


def test_characters_of_a_regular_expression_mean_themselves():
    assert [text for _, text in split_plain("a]b^c-d", Delimiters.read("]^-"))] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One! Two?", [("", "One!"), ("", " Two?")]),
        ("One\nTwo\n\nThree\n", [("", "One"), ("\n", "Two"), ("\n\n", "Three")]),
        ("One?!\nTwo", [("", "One?!"), ("\n", "Two")]),
        ("\n\nOne", [("\n\n", "One")]),
        ("第一。第二；", [("", "第一。"), ("", "第二；")]),
        ("\n", []),
    ],
)
def test_punctuation_stays_and_line_breaks_become_glue(text, pieces):
    assert list(split_plain(text, Delimiters.read("\n!?;。；！？"))) == pieces


def test_other_characters_are_thrown_away():
    assert list(split_plain("a|b c", Delimiters.read("| "))) == [("", "a"), ("\n", "b"), (" ", "c")]


@given(TEXT)
def test_nothing_but_delimiters_is_lost(text):
    joined = "".join(glue + piece for glue, piece in split_plain(text, Delimiters.read("\n!?|")))
    assert joined.replace("\n", "") == text.replace("\n", "").replace("|", "")
