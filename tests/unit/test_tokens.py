"""Token counts of texts that no tokenizer expects."""

from __future__ import annotations

import os
import signal

import pytest

from ragflow.engine import tokens
from ragflow.engine.tokens import count_tokens, decode_tokens, truncate_tokens


def test_a_million_blanks_before_a_word_are_counted():
    assert 0 < count_tokens(" " * 1_500_000 + "end") < 1_500_000


def test_what_very_long_white_space_is_cut_into_is_the_whole_text():
    text = "begin" + "\n \t" * 70_000 + "end"
    assert truncate_tokens(text, 10**9) == text
    assert truncate_tokens(text, count_tokens(text)) == text
    assert text.startswith(truncate_tokens(text, 50))


def test_long_white_space_that_is_not_cut_is_looked_at_once():
    text = (" " * 99_999 + "word " * 20_000) * 5
    assert truncate_tokens(text, 10**9) == text


def test_white_space_of_ordinary_length_counts_as_the_encoding_has_it():
    assert count_tokens("one    two") == 3
    assert count_tokens(" " * 81) == 1


def test_a_lone_surrogate_is_counted():
    assert count_tokens("\ud800 one") > 1


def test_a_number_that_is_no_token_is_refused():
    with pytest.raises(ValueError, match="stands for no token"):
        decode_tokens([10**9])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_loads_the_table():
    with tokens._loading:
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # kills the child if it waits for a lock that nobody releases
            os._exit(0 if count_tokens("one") == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
