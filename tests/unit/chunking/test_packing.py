"""Properties that hold for any text, any budget and any overlap."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragflow.engine.chunking import ChunkOptions, chunk
from ragflow.engine.chunking.sentences import first_sentences, last_sentences, last_words, sentences, split_long
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Block, BlockKind

WORDS = st.sampled_from(
    [
        "tea",
        "harbour",
        "Ünder",
        "unbelievably",
        "42",
        "3.14",
        "。",
        "中文",
        "!",
        "?\n",
        ".",
        ". ",
        "\n",
        "\n\n",
        "—",
        "🎈",
        " ",
        "x" * 90,
    ]
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join) | st.lists(WORDS, max_size=120).map("".join)
KINDS = st.sampled_from([BlockKind.PLAIN, BlockKind.TEXT, BlockKind.HEADING])
BLOCKS = st.lists(st.builds(Block, TEXTS, KINDS), max_size=6)
BUDGETS = st.integers(8, 200)


def bare(text):
    return "".join(text.split())


def pieces_of(blocks, **options):
    return [piece.text for piece in chunk(blocks, method="naive", options=ChunkOptions(**options))]


@settings(deadline=None)
@given(BLOCKS, BUDGETS)
def test_every_character_comes_once_and_in_order(blocks, budget):
    assert bare("".join(pieces_of(blocks, chunk_token_num=budget))) == bare("".join(block.text for block in blocks))


@settings(deadline=None)
@given(BLOCKS, BUDGETS, st.integers(0, 90))
def test_no_chunk_is_blank_or_above_the_budget(blocks, budget, overlap):
    for text in pieces_of(blocks, chunk_token_num=budget, overlapped_percent=overlap):
        assert text == text.strip() != ""
        assert count_tokens(text) <= budget


@settings(deadline=None)
@given(TEXTS, st.integers(1, 60))
def test_sentences_and_parts_join_to_the_text(text, limit):
    assert "".join(sentences(text)) == text
    parts = list(split_long(text, limit))
    assert "".join(part for part, _ in parts) == text
    assert all(tokens == count_tokens(part) for part, tokens in parts)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 60))
def test_beginnings_and_endings_keep_to_their_limit(text, limit):
    for taken in (first_sentences(text, limit), last_sentences(text, limit), last_words(text, limit)):
        assert taken in text
        assert count_tokens(taken) <= limit


@pytest.mark.parametrize("unit", ["a", " ", "!", "\n", "中", "!\n", "= ", "🎈"])
def test_monotonous_text_of_any_kind_is_cut(unit):
    texts = pieces_of([Block(unit * 20_000, BlockKind.PLAIN)], chunk_token_num=64)
    assert all(count_tokens(text) <= 64 for text in texts)
    assert bare("".join(texts)) == bare(unit * 20_000)


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_a_budget_smaller_than_a_character_still_moves_on(budget):
    assert bare("".join(pieces_of([Block("🎈 Ünder 中文")], chunk_token_num=budget))) == "🎈Ünder中文"
