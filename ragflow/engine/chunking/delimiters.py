"""The contract's delimiter notation.

A delimiter is a string of single characters, each of them a place to cut: `\n!?;`. Strings of several characters are
written in back-quotes: `` `###` ``. Escapes such as `\\n` are decoded. Where a back-quoted string occurs, the single
characters mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

QUOTED = re.compile(r"`([^`]+)`")
ESCAPE = re.compile(r"\\(?:([nrtfv0\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0", "\\": "\\"}

PUNCTUATION = frozenset("!?;:.,…。；！？：，、")
"""Delimiters that belong to the text before them. All others are thrown away."""


@dataclass(frozen=True)
class Delimiters:
    """`strings` (longest first) win over the single `characters`; both empty means that nothing is cut."""

    characters: str
    strings: tuple[str, ...]

    @classmethod
    def read(cls, notation: str) -> Delimiters:
        strings = {_decoded(quoted) for quoted in QUOTED.findall(notation)}
        characters = dict.fromkeys(_decoded(QUOTED.sub("", notation)))
        return cls("".join(characters), tuple(sorted(strings, key=lambda text: (-len(text), text))))

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """Matches one delimiter string, or a run of delimiter characters."""
        if self.strings:
            return re.compile("|".join(map(re.escape, self.strings)))
        if self.characters:
            return re.compile(f"[{re.escape(self.characters)}]+")
        return None


def _decoded(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        short, two, four = match.groups()
        return ESCAPED[short] if short else chr(int(two or four, 16))

    return ESCAPE.sub(character, text)


def split_plain(text: str, delimiters: Delimiters) -> Iterator[tuple[str, str]]:
    """Cut running text at single delimiter characters; yield (glue, text), where glue is what stood between.

    Punctuation stays with the text before it. What is thrown away leaves glue: a line break, a blank line where there
    was one, a blank where only blanks went. Joining glue and text again gives a readable original.
    """
    start, glue = 0, ""
    pattern = delimiters.pattern
    for run in pattern.finditer(text) if pattern else ():
        cut = run.start()
        for is_kept, characters in groupby(run.group(), PUNCTUATION.__contains__):
            end = cut + len(list(characters))
            if piece := text[start : end if is_kept else cut]:
                yield glue, piece
            glue = "" if is_kept else _glue(text[cut:end])
            start = cut = end
    if piece := text[start:]:
        yield glue, piece


def split_keeping(text: str, delimiters: Delimiters) -> list[str]:
    """Cut after each delimiter, which stays at the end of its piece."""
    pattern = delimiters.pattern
    ends = [match.end() for match in pattern.finditer(text)] if pattern else []
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if a < b]


def _glue(dropped: str) -> str:
    if dropped.count("\n") > 1:
        return "\n\n"
    return "\n" if dropped.strip(" \t") else " "
