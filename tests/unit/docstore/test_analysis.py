"""Terms of texts, apart from any store."""

from __future__ import annotations

import os
import signal

import pytest

from ragflow.engine.docstore import analysis


def test_long_words_are_cut_and_not_kept_whole_in_memory():
    genome = "acgt" * 100_000
    assert analysis.terms(genome) == analysis.query_terms(genome) == [genome[: analysis.MAX_TERM_LENGTH]]
    assert analysis.terms("ж" * 1000) == ["ж" * analysis.MAX_TERM_LENGTH]
    assert max(map(len, analysis._stems)) <= analysis.MAX_TERM_LENGTH


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_looks_for_a_stem():
    with analysis._stems._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # kills the child if it waits for a lock that nobody releases
            os._exit(0 if analysis.terms("forkedly") else 1)
    assert os.waitpid(child, 0)[1] == 0
