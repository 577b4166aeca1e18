"""The embedded store: conformance, and what only it can get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragflow.engine.docstore.embedded import EmbeddedDocStore
from tests.unit.docstore.conformance import DocStoreConformance


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedDocStore]:
    store = EmbeddedDocStore(tmp_path / "chunks.db")
    yield store
    store.close()


class TestConformance(DocStoreConformance):
    pass
