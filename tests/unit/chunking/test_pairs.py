from __future__ import annotations

import pytest

from ragflow.engine.chunking.pairs import labelled_pair


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("What is it?\tA fox.", "Question: What is it?\tAnswer: A fox."),
        ("  Q: What?  \n\nx\n Answer : A fox.", "Question: What?\tAnswer: A fox."),
        ("user: Why\nassistant: Because", "Question: Why\tAnswer: Because"),
        ("这是什么？\n狐狸。", "问题：这是什么？\t回答：狐狸。"),
        ("问：What？\t答：狐狸", "问题：What？\t回答：狐狸"),
    ],
)
def test_pairs_are_labelled_once(text, pair):
    assert labelled_pair(text) == pair
    assert labelled_pair(pair) == pair


@pytest.mark.parametrize("text", ["", "one piece", "a\tb", "one\ttwo\tthree", "\n\t", "one two\n"])
def test_anything_else_is_no_pair(text):
    assert labelled_pair(text) is None
