from collections.abc import Iterator

import pytest

from ragflow.engine import http
from tests.tools.model_server import ModelServer


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the tests wait next to nothing."""
    monkeypatch.setattr(http, "FIRST_DELAY", 0.01)
