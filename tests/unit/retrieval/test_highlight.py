"""Marks lie on the original text and on nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragflow.engine.docstore.analysis import spans, terms
from ragflow.engine.retrieval.highlight import mark, snippets


@pytest.mark.parametrize(
    ("text", "question", "marked"),
    [
        ("Running RUNS runner", "run", "<em>Running</em> <em>RUNS</em> runner"),
        ("A naïve CAFÉ", "cafe naive", "A <em>naïve</em> <em>CAFÉ</em>"),
        ("snake_case_17 and 170", "case 17", "snake_<em>case</em>_<em>17</em> and 170"),
        ("abc123", "123", "abc<em>123</em>"),
        ("ｆｕｌｌ ﬁsh", "full fish", "<em>ｆｕｌｌ</em> <em>ﬁsh</em>"),
        ("防止黑豹队的防守。", "防守", "防止黑豹队的<em>防守</em>。"),
        ("防止黑豹队的防守。", "防", "<em>防</em>止黑豹队的<em>防</em>守。"),
        ("これはﾃｽﾄです", "テスト", "これは<em>ﾃｽﾄ</em>です"),
        ("iPhone手机壳", "手机", "iPhone<em>手机</em>壳"),
        ("a <b>bold</b> & brave", "bold", "a <b><em>bold</em></b> & brave"),
        ("what is it", "what is it", "<em>what</em> <em>is</em> <em>it</em>"),
        ("the wing", "what is the wing", "the <em>wing</em>"),
    ],
)
def test_whole_text_is_kept_and_words_are_marked(text: str, question: str, marked: str) -> None:
    assert mark(text, question) == marked
    assert marked.replace("<em>", "").replace("</em>", "") == text


@pytest.mark.parametrize(("text", "question"), [("nothing here", "wing"), ("", "wing"), ("wing", ""), ("?!", "?!")])
def test_no_match_is_none(text: str, question: str) -> None:
    assert mark(text, question) is None
    assert snippets(text, question) is None


def test_snippets_keep_sentences_with_a_match_only() -> None:
    text = 'One wing. Version 3.14 here! "Other?" New line\nwith wings；不要。机翼 wing。'
    assert snippets(text, "wing") == "One <em>wing</em>....with <em>wings</em>；...机翼 <em>wing</em>。"


def test_a_number_is_not_cut_at_its_point() -> None:
    assert snippets("It costs 3.14 now. Other.", "costs") == "It <em>costs</em> 3.14 now."


@given(st.text("aeiosdy", min_size=1, max_size=9))
def test_a_word_is_marked_by_its_own_stem_wherever_it_stands(word):
    """Looking only at words with a wanted initial finds every word, however stemming changes its end."""
    text = f"zz {word}, {word.upper()} zz2{word} z"
    found = [text[start:end] for start, end in spans(text, set(terms(word)))]
    assert found == [word, word.upper(), word]


def test_digits_are_words_of_their_own():
    assert mark("item 17, item7 and 7", "7") == "item 17, item<em>7</em> and <em>7</em>"
