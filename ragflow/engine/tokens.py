"""Token counts as the contract's clients expect them: the cl100k_base encoding, from a table on disk.

tiktoken would download the table at first use; loading it from the package leaves no code path to the network.
The table is OpenAI's published file (MIT licence), checked against the sum that tiktoken itself pins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

TABLE = Path(__file__).parent / "data" / "cl100k_base.tiktoken"
TABLE_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

# How the encoding splits text before it merges bytes (tiktoken's own definition of cl100k_base).
SPLIT_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"""
    r"""| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
# tiktoken goes back over white space step by step and panics, with what is no Exception, after a million of them.
LONGEST_BLANK = 100_000
BLANK = re.compile(rf"\s{{1,{LONGEST_BLANK}}}+")

_loading = Lock()


def _renew_lock() -> None:
    """A thread of the parent may have held the lock while this process was forked."""
    global _loading  # noqa: PLW0603
    _loading = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _encoding() -> Encoding:
    with _loading:  # threads that need the table first read it once: 100 000 lines
        return _load_once()


@lru_cache(maxsize=1)
def _load_once() -> Encoding:
    from tiktoken import Encoding
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(str(TABLE), expected_hash=TABLE_SHA256)
    return Encoding(name="cl100k_base", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={})


def count_tokens(text: str) -> int:
    """Return the number of cl100k_base tokens; text that looks like a special token counts as ordinary text."""
    return len(_encode(text))


def truncate_tokens(text: str, limit: int) -> str:
    """Return the longest prefix of `limit` tokens, cut at a character."""
    tokens = _encode(text)
    if len(tokens) <= limit:
        return text
    return _encoding().decode(tokens[: max(limit, 0)], errors="ignore")


def _encode(text: str) -> list[int]:
    """Return the tokens of a text, of which very long white space is cut into several pieces."""
    encoding, tokens, start = _encoding(), [], 0
    for blank in BLANK.finditer(text) if len(text) > LONGEST_BLANK else ():
        if blank.end() - blank.start() == LONGEST_BLANK:
            tokens += encoding.encode_ordinary(text[start : blank.end()])
            start = blank.end()
    return tokens + encoding.encode_ordinary(text[start:])


def decode_tokens(tokens: Sequence[int]) -> str:
    """Return the text of cl100k_base tokens. Raises ValueError for a number that is none."""
    try:
        return _encoding().decode(list(tokens), errors="replace")
    except (KeyError, OverflowError):
        raise ValueError("a number in it stands for no token") from None
