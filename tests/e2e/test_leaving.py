"""A client that hangs up ends what models are asked for it, wherever its answer is, in a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.leaving import CASES, Leaver, leaver

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaver]:
    with leaver(tmp_path_factory.mktemp("leaving")) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_the_model_is_left_too(client: Leaver, name: str):
    client.seconds_until_left(name)  # fails when the model is asked on
