"""What a dataset's parser configuration says about chunking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_TOKENS = 512
"""Budget when there is no configuration at all."""

MISSING_TOKENS = 128
"""Budget when there is a configuration that names none (or none that can be used)."""

MAX_TOKENS = 8192
"""No chunk is larger, whatever the configuration says: models could not read it."""

DEFAULT_DELIMITER = "\n!?;。；！？"
MAX_OVERLAP = 90


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """How text is cut. Sizes are cl100k_base tokens; a delimiter is written as `delimiters.Delimiters` reads it."""

    chunk_token_num: int = DEFAULT_TOKENS
    delimiter: str = DEFAULT_DELIMITER
    children_delimiter: str = ""
    overlapped_percent: int = 0
    table_context_size: int = 0
    image_context_size: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> ChunkOptions:
        """Read a stored configuration, which may hold any value under any key; unusable ones count as missing.

        The token budget falls back to 128 and is at most 8192; an empty delimiter becomes the default set; the overlap
        is brought into 0..90 (below 1 it is read as a share: 0.1 is 10 per cent) and context sizes into 0..8192.
        """
        if not config:
            return cls()
        budget = _whole(config.get("chunk_token_num"))
        return cls(
            chunk_token_num=min(budget, MAX_TOKENS) if budget and budget > 0 else MISSING_TOKENS,
            delimiter=_text(config.get("delimiter")) or DEFAULT_DELIMITER,
            children_delimiter=_text(config.get("children_delimiter")),
            overlapped_percent=_percent(config.get("overlapped_percent")),
            table_context_size=_within(config.get("table_context_size"), MAX_TOKENS),
            image_context_size=_within(config.get("image_context_size"), MAX_TOKENS),
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value)


def _percent(value: object) -> int:
    if isinstance(value, float) and 0 < value < 1:
        return _within(round(value * 100), MAX_OVERLAP)
    return _within(value, MAX_OVERLAP)


def _within(value: object, high: int) -> int:
    return max(0, min(_whole(value) or 0, high))
