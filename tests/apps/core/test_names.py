"""Free names: what the contract's table says, and what has to hold for every name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.names import free_name, name_key, split_suffix

LIMIT = 255


def free(name: str, *taken: str, max_bytes: int = LIMIT) -> str:
    keys = {name_key(item) for item in taken}
    return free_name(name, lambda candidate: name_key(candidate) in keys, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("existing", "new", "expected"),
    [
        ([], "report", "report"),
        (["report"], "report", "report(1)"),
        (["REPORT"], "report", "report(1)"),
        (["ÉTÉ"], "été", "été(1)"),
        (["a.txt", "a(1).txt"], "a.txt", "a(2).txt"),
        (["a.txt", "a(2).txt"], "a.txt", "a(1).txt"),
        (["my.set"], "my.set", "my(1).set"),
        (["a (3)"], "a (3)", "a(4)"),
        (["a(0)"], "a(0)", "a(1)"),
        ([".bashrc"], ".bashrc", ".bashrc(1)"),
        (["../x.txt"], "../x.txt", "../x(1).txt"),
        (["(3)"], "(3)", "(4)"),
        (["a."], "a.", "a.(1)"),
    ],
)
def test_the_table(existing: list[str], new: str, expected: str):
    assert free(new, *existing) == expected


def test_a_long_name_is_cut_to_make_room_for_its_number():
    name = "é" * 125 + ".txt"
    numbered = free(name, name)
    assert numbered.endswith("é(1).txt")
    assert len(numbered.encode()) <= LIMIT


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(names, st.lists(names, max_size=5))
def test_a_free_name_is_free_and_fits_and_keeps_its_suffix(name: str, taken: list[str]):
    result = free(name, name, *taken)
    assert name_key(result) not in {name_key(item) for item in (name, *taken)}
    assert len(result.encode()) <= LIMIT
    assert result.endswith(split_suffix(name)[1])


@given(names, st.integers(1, 6))
def test_asking_again_and_again_gives_distinct_names(name: str, count: int):
    given: list[str] = []
    for _ in range(count):
        given.append(free(name, *given))
    assert len({name_key(item) for item in given}) == count
    assert given[0] == name


@given(names)
def test_a_free_name_is_left_alone(name: str):
    assert free(name) == name
