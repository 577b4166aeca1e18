"""Statistics as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apps.chats.statistics import Day


def statistics_to_wire(days: Sequence[Day]) -> dict[str, list[list[Any]]]:
    """Six lists of [day, number]. Nobody can give a thumb up yet, so that one is 0."""
    number_of: dict[str, Callable[[Day], float]] = {
        "pv": lambda day: day.sessions,
        "uv": lambda day: day.users,
        "speed": lambda day: day.tokens / (day.seconds + 0.1),
        "tokens": lambda day: day.tokens / 1000,
        "round": lambda day: day.questions / day.sessions,
        "thumb_up": lambda day: 0,
    }
    return {name: [[str(day.day), number(day)] for day in days] for name, number in number_of.items()}
