"""People at the admin API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.accounts.conftest import Web, anonymous, fast_hashing, new_person

__all__ = ["anonymous", "fast_hashing", "new_person"]

PATH = "/api/v1/admin/"


@pytest.fixture
def root(new_person: Callable[..., Web]) -> Web:
    """An administrator."""
    return new_person("root@example.org", nickname="Root", is_operator=True)


@pytest.fixture
def ada(new_person: Callable[..., Web]) -> Web:
    return new_person("ada@example.org", nickname="Ada")


@pytest.fixture
def ask(root: Web) -> Callable[..., dict[str, Any]]:
    """Return a function that makes a request as the administrator, with a path below the admin API's."""

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        return root.call(method, PATH + path, body)

    return call


def outcome(answer: dict[str, Any]) -> tuple[int, int, str]:
    """Return HTTP status, code and message of an error, which has data null."""
    assert answer["data"] is None
    return answer["status"], answer["code"], answer["message"]
