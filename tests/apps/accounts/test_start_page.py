"""What the start page tells somebody whose login through an identity provider failed."""

from __future__ import annotations

import ast
from pathlib import Path
from urllib.parse import quote

import pytest

from apps.accounts.errors import LOGIN_FAILURES
from apps.accounts.identity import providers
from apps.accounts.services import external_logins
from tests.apps.accounts.conftest import Web


def page(web: Web, query: str = "") -> str:
    response = web.send("GET", f"/{query}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("reason", LOGIN_FAILURES)
def test_known_reasons_are_explained(anonymous: Web, reason: str):
    found = page(anonymous, f"?error={quote(reason)}")
    assert "You are not logged in." in found
    assert LOGIN_FAILURES[reason].replace("'", "&#x27;") in found


@pytest.mark.parametrize(
    "made_up", ["<script>alert(1)</script>", "Call +1 555 0100 now", "{{ facts }}", "\0", "x" * 10_000]
)
def test_nobody_else_chooses_the_words(anonymous: Web, made_up: str):
    found = page(anonymous, f"?error={quote(made_up)}")
    assert "Please try again later." in found
    assert made_up not in found


@pytest.mark.parametrize("query", ["", "?error=", "?auth=x"])
def test_otherwise_there_is_no_failure(anonymous: Web, query: str):
    assert "not logged in" not in page(anonymous, query)


def test_no_reason_is_without_words():
    raised = set()
    for module in (external_logins, providers):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"LoginRefused", "ScopeMissing"}:
                raised |= {value.value for value in node.args if isinstance(value, ast.Constant)}
    assert len(raised) >= 7
    assert raised <= LOGIN_FAILURES.keys()
