"""A dataset with its documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.conftest import API

TEXT = b"The quick brown fox jumps over the lazy dog."


@pytest.fixture
def dataset(api: API) -> dict[str, Any]:
    return api.create_dataset()


@pytest.fixture
def base(dataset: dict[str, Any]) -> str:
    """The path of the dataset."""
    return f"/api/v1/datasets/{dataset['id']}"


@pytest.fixture
def upload(api: API, dataset: dict[str, Any]) -> Callable[..., list[str]]:
    """Return a function that uploads text files of these names and returns their ids."""

    def send(*names: str, content: bytes = TEXT) -> list[str]:
        return [document["id"] for document in api.upload(dataset["id"], *((name, content) for name in names))]

    return send


@pytest.fixture
def parsed(api: API, base: str, upload: Callable[..., list[str]], run_tasks: Callable[[], int]) -> Callable[..., str]:
    """Return a function that uploads one file, has it parsed and returns its id."""

    def send(name: str = "fox.txt", content: bytes = TEXT) -> str:
        (document,) = upload(name, content=content)
        assert api.call("POST", f"{base}/chunks", {"document_ids": [document]})["code"] == 0
        run_tasks()
        return document

    return send


@pytest.fixture
def document_of(api: API, base: str) -> Callable[[str], dict[str, Any]]:
    """Return a function that looks a document up in the list."""

    def find(document_id: str) -> dict[str, Any]:
        (document,) = api.call("GET", f"{base}/documents?id={document_id}")["data"]["docs"]
        return document

    return find


@pytest.fixture
def counts(api: API, dataset: dict[str, Any]) -> Callable[[], tuple[int, int, int]]:
    """Return a function that reads the dataset's counters: documents, chunks, tokens."""

    def read() -> tuple[int, int, int]:
        (row,) = api.call("GET", f"/api/v1/datasets?id={dataset['id']}")["data"]
        return row["document_count"], row["chunk_count"], row["token_num"]

    return read
