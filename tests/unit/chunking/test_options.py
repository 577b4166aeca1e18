import math

import pytest

from ragflow.engine.chunking import ChunkOptions


@pytest.mark.parametrize("config", [None, {}])
def test_without_a_configuration_the_budget_is_512(config):
    assert ChunkOptions.from_config(config) == ChunkOptions(chunk_token_num=512)


def test_a_configuration_that_names_no_budget_means_128():
    assert ChunkOptions.from_config({"delimiter": "\n"}).chunk_token_num == 128


@pytest.mark.parametrize("value", [0, -1, True, None, "many", math.nan, math.inf, [], {}])
def test_unusable_budgets_count_as_missing(value):
    assert ChunkOptions.from_config({"chunk_token_num": value}).chunk_token_num == 128


def test_no_budget_is_larger_than_models_can_read():
    assert ChunkOptions.from_config({"chunk_token_num": 10**9}).chunk_token_num == 8192


@pytest.mark.parametrize(
    ("value", "percent"), [(10, 10), (0.1, 10), (0.29, 29), (95, 90), (-5, 0), ("10", 0), (None, 0)]
)
def test_the_overlap_is_brought_into_its_range(value, percent):
    assert ChunkOptions.from_config({"overlapped_percent": value}).overlapped_percent == percent


@pytest.mark.parametrize("value", ["", None, 5, ["\n"]])
def test_an_unusable_delimiter_becomes_the_default_set(value):
    assert ChunkOptions.from_config({"delimiter": value}).delimiter == "\n!?;。；！？"
