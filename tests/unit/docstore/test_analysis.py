"""Terms of texts, apart from any store."""

from __future__ import annotations

from ragflow.engine.docstore import analysis


def test_long_words_are_cut_and_not_kept_whole_in_memory():
    genome = "acgt" * 100_000
    assert analysis.terms(genome) == analysis.query_terms(genome) == [genome[: analysis.MAX_TERM_LENGTH]]
    assert analysis.terms("ж" * 1000) == ["ж" * analysis.MAX_TERM_LENGTH]
    assert max(map(len, analysis._stems)) <= analysis.MAX_TERM_LENGTH
