"""Secrets are compared in constant time: how long a refusal takes must not tell how much of a guess was right.

What is looked up in the database is the SHA-256 of a secret, of which a guess gives nobody a nearer one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLACES = ("apps", "ragflow")
ELSEWHERE = ("ragflow/engine/", "ragflow/cli/")  # the engine checks nobody's secrets, nor does the client
SECRETS = {
    *("secret", "token", "digest", "password", "passphrase", "signature", "nonce", "captcha", "otp"),
    *("hash", "hashed", "hexdigest", "verifier", "encoded", "authorization", "decrypt"),
}


def files() -> Iterator[Path]:
    for place in PLACES:
        for path in (ROOT / place).rglob("*.py"):
            if not str(path.relative_to(ROOT)).startswith(ELSEWHERE):
                yield path


def unsafe_comparisons(source: str) -> list[str]:
    """Return the comparisons by == or != of something that is named like a secret, except with a constant."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        if not any(isinstance(side, ast.Constant) for side in sides) and any(map(is_secret, sides)):
            found.append(ast.unparse(node))
    return found


def is_secret(side: ast.expr) -> bool:
    names = [
        name
        for node in ast.walk(side)
        for name in (getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "arg", ""))
        if isinstance(name, str)
    ]
    texts = [node.value for node in ast.walk(side) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return any(SECRETS & set(name.lower().split("_")) for name in (*names, *texts))


def test_no_secret_is_compared_with_equals():
    found = {str(path.relative_to(ROOT)): unsafe_comparisons(path.read_text()) for path in files()}
    assert len(found) > 100
    assert {name: comparisons for name, comparisons in found.items() if comparisons} == {}


@pytest.mark.parametrize(
    ("source", "is_unsafe"),
    [
        ("sent == settings.METRICS_TOKEN", True),
        ("row.digest != digest(text)", True),
        ("hmac.hexdigest() == given", True),
        ("body['password'] == expected", True),
        ("_hashed('code', email, code) != kept", True),
        ("token == ''", False),
        ("spec.max_tokens == limit", False),
        ("constant_time_compare(token, other)", False),
        ("name == other", False),
    ],
)
def test_the_look_itself(source: str, is_unsafe: bool):
    assert bool(unsafe_comparisons(source)) is is_unsafe
