"""The statements: each is a row of words and slots, and the rows together are the grammar.

A slot is written `name:kind` in angle brackets: `DROP DATASET <dataset:string>`. Kinds are `string`, `strings` (names
in one string), `word`, `words` (with commas between) and `number`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ragflow.cli.errors import NotUnderstood
from ragflow.cli.lexer import Kind, Token, tokens_of

_SLOT = re.compile(r"<(?P<name>\w+):(?P<kind>\w+)>")
_KINDS = {
    "string": "a quoted text",
    "strings": "a quoted text",
    "word": "a word",
    "words": "a word",
    "number": "a number",
}
_NUMBER = re.compile(r"[0-9]{1,9}")
_SECRETS = frozenset({"password", "key"})


class Mode(StrEnum):
    """Which of the two servers a client talks to, and the statements that go there."""

    ADMIN = "admin"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of a statement, and what does it."""

    pattern: str
    run: Callable[..., None]
    mode: Mode | None = None  # None: either
    options: Mapping[str, Any] = field(default_factory=dict)  # told to `run`, whatever the statement says
    benchmarked: bool = False

    @property
    def name(self) -> str:
        return " ".join(symbol for symbol in self.pattern.split() if not symbol.startswith("<"))


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was understood."""

    rule: Rule
    values: Mapping[str, Any]

    @property
    def holds_secret(self) -> bool:
        """Whether it must not be kept or shown."""
        return not _SECRETS.isdisjoint(self.values)

    @property
    def shown(self) -> dict[str, Any]:
        """The statement as data, without secrets."""
        values = {name: "******" if name in _SECRETS else value for name, value in self.values.items()}
        return {"statement": self.rule.name, **values}


class Grammar:
    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [(rule, rule.pattern.split()) for rule in rules]

    def statement_of(self, line: str) -> Statement:
        """Read one statement, which ends with a semicolon. Raises NotUnderstood."""
        tokens = tokens_of(line)
        reads = [_Reading(tokens, symbols) for _, symbols in self._rules]
        for reading, (rule, _) in zip(reads, self._rules, strict=True):
            if reading.succeeds:
                return Statement(rule, reading.values)
        raise NotUnderstood(_complaint(tokens, reads))


class _Reading:
    """An attempt to read tokens by one rule: the values of its slots, or how far it went and what it missed there."""

    def __init__(self, tokens: Sequence[Token], symbols: Sequence[str]) -> None:
        self.values: dict[str, Any] = {}
        self.position = 0
        self.missed: list[str] = []
        self._tokens = tokens
        self.succeeds = all(self._read(symbol) for symbol in symbols) and self._takes_sign(";") and self._is_at_end()

    def _read(self, symbol: str) -> bool:
        slot = _SLOT.fullmatch(symbol)
        if slot is None:
            return self._takes_keyword(symbol)
        kind = slot["kind"]
        text = self._takes(Kind.STRING if kind.startswith("string") else Kind.WORD)
        if text is None or (kind == "number" and not _NUMBER.fullmatch(text)):
            return self._misses(_KINDS[kind], back=text is not None)
        value: Any = text
        if kind == "number":
            value = int(text)
        elif kind == "strings":
            value = names_in(text)
        elif kind == "words":
            value = [text]
            while self._takes_sign(","):
                following = self._takes(Kind.WORD)
                if following is None:
                    return self._misses(_KINDS[kind])
                value.append(following)
            self.missed = []
        self.values[slot["name"]] = value
        return True

    def _takes_keyword(self, keyword: str) -> bool:
        token = self._next
        if token is not None and token.kind is Kind.WORD and token.text.upper() == keyword:
            self.position += 1
            return True
        return self._misses(keyword)

    def _takes_sign(self, sign: str) -> bool:
        token = self._next
        if token is not None and token.kind is Kind.SIGN and token.text == sign:
            self.position += 1
            return True
        return self._misses(f"'{sign}'")

    def _takes(self, kind: Kind) -> str | None:
        token = self._next
        if token is None or token.kind is not kind:
            return None
        self.position += 1
        return token.text

    def _is_at_end(self) -> bool:
        return self._next is None or self._misses("the end of the line")

    def _misses(self, wanted: str, *, back: bool = False) -> bool:
        self.position -= back
        self.missed.append(wanted)
        return False

    @property
    def _next(self) -> Token | None:
        return self._tokens[self.position] if self.position < len(self._tokens) else None


def names_in(text: str) -> list[str]:
    """Return the names in a text: between commas, or where there is none between blanks."""
    return [name.strip() for name in (text.split(",") if "," in text else text.split()) if name.strip()]


def _complaint(tokens: Sequence[Token], reads: Sequence[_Reading]) -> str:
    """Say what was expected where the rules that came farthest ended."""
    farthest = max(reading.position for reading in reads)
    wanted = dict.fromkeys(word for reading in reads if reading.position == farthest for word in reading.missed)
    expected = " or ".join(filter(None, [", ".join([*wanted][:-1]), [*wanted][-1]]))
    if farthest == len(tokens):
        return f"the statement ends too early; expected {expected}"
    token = tokens[farthest]
    return f"unexpected {token} at column {token.column}; expected {expected}"
