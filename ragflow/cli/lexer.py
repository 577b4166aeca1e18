"""From the text of a line to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ragflow.cli.errors import NotUnderstood


class Kind(StrEnum):
    STRING = "a quoted text"
    WORD = "a word"
    SIGN = "a sign"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement; a string without its quotes. Columns count from 1."""

    kind: Kind
    text: str
    column: int

    def __str__(self) -> str:
        return f"'{self.text}'"


_TOKEN = re.compile(
    r"""(?P<blank>\s+)
      | (?P<string> '(?P<single>[^']*)' | "(?P<double>[^"]*)" )
      | (?P<word>[A-Za-z0-9_.-]+)
      | (?P<sign>[;,])""",
    re.VERBOSE,
)


def tokens_of(line: str) -> list[Token]:
    """Split a line. Keywords, names and numbers are all words. Raises NotUnderstood."""
    tokens, position = [], 0
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None:
            raise NotUnderstood(_stray(line, position))
        if match["string"] is not None:
            tokens.append(Token(Kind.STRING, _unquoted(match, position), position + 1))
        elif match["blank"] is None:
            kind = Kind.WORD if match["word"] else Kind.SIGN
            tokens.append(Token(kind, match[0], position + 1))
        position = match.end()
    return tokens


def _unquoted(match: re.Match[str], position: int) -> str:
    text = match["double"] if match["single"] is None else match["single"]
    if not text:
        raise NotUnderstood(f"empty quotes at column {position + 1}")
    return text


def _stray(line: str, position: int) -> str:
    character = line[position]
    if character in "'\"":
        return f"the quote at column {position + 1} is not closed"
    return f"unexpected character {character!r} at column {position + 1}; texts with other signs need quotes"
