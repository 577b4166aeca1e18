"""Telling inline thoughts from the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragflow.engine.llm.answer import ThoughtSplitter
from ragflow.engine.types import ReasoningDelta, TextDelta


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThoughtSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)] + list(splitter.flush())
    thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return thoughts, "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>a</think>b", "a", "b"),
        ("<think>a</think>\n\n b c", "a", "b c"),
        ("x <think>a</think> y <think>b</think>z", "ab", "x y z"),
        ("<think>never closed", "never closed", ""),
        ("1 < 2 and <thin ice>", "", "1 < 2 and <thin ice>"),
        ("<<think>a<</think>b", "a<", "<b"),
        ("ends with <thi", "", "ends with <thi"),
        ("<think></think>", "", ""),
        ("  kept  ", "", "  kept  "),
    ],
)
def test_tags_part_thoughts_from_the_answer_wherever_the_text_is_cut(text: str, thoughts: str, answer: str) -> None:
    for size in range(1, len(text) + 1):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert split(pieces) == (thoughts, answer)


@given(st.lists(st.text(alphabet="<>/think \n", max_size=12)))
def test_how_the_text_is_cut_makes_no_difference(pieces: list[str]) -> None:
    assert split(pieces) == split(["".join(pieces)])


def test_text_that_cannot_begin_a_tag_is_not_held_back() -> None:
    splitter = ThoughtSplitter()
    assert list(splitter.feed("An oven <3")) == [TextDelta("An oven <3")]
