"""Comparing a value of a document's metadata with the value of a condition, as the contract defines its operators.

Text counts in any letter case. `= ≠ > < ≥ ≤` read text as a Python literal first, so that "10" is more than "9": the
document's value, and only if that is a literal, the condition's too. A comparison that makes no sense matches nothing.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

LONGEST_LITERAL = 1000
"""Characters. Longer text is not read as a literal."""

_LITERAL_START = re.compile(r"[\s#\\]*(?:[-+.'\"(\[{\d]|[bBuUrR]{1,2}['\"]|True|False|None|set)")
READS_LITERALS = frozenset({"=", "≠", ">", "<", "≥", "≤"})


def read_literal(value: Any) -> tuple[Any, bool]:
    """Return what a text means as a Python literal and True, or the value as it is and False."""
    if not isinstance(value, str) or len(value) > LONGEST_LITERAL or not _LITERAL_START.match(value):
        return value, False
    try:
        return ast.literal_eval(value), True
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value, False


def folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _starts(value: Any, beginning: Any) -> bool:
    return str(value).lower().startswith(str(beginning).lower())


def _ends(value: Any, end: Any) -> bool:
    return str(value).lower().endswith(str(end).lower())


def _lies_in(value: Any, whole: Any) -> bool:
    """The contract's `contains`, too, asks whether the document's value lies in the condition's."""
    return value in whole


def _lies_outside(value: Any, whole: Any) -> bool:
    return value not in whole


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "=": operator.eq,
        "≠": operator.ne,
        ">": operator.gt,
        "<": operator.lt,
        "≥": operator.ge,
        "≤": operator.le,
        "contains": _lies_in,
        "not contains": _lies_outside,
        "in": _lies_in,
        "not in": _lies_outside,
        "start with": _starts,
        "end with": _ends,
        "empty": lambda value, _: not value,
        "not empty": lambda value, _: bool(value),
    }
)
TAKES_NO_VALUE = frozenset({"empty", "not empty"})


class Comparer:
    """Asks one value after the other whether it satisfies `<value> <operator> <wanted>`.

    `remembers`: once `wanted` has been read as a literal, it stays one for the values that follow, so their order
    matters; see `WireProfile.metadata_quirks`.
    """

    def __init__(self, name: str, wanted: Any, *, remembers: bool = False) -> None:
        self._test = OPERATORS.get(name)
        self._reads = name in READS_LITERALS
        self._remembers = remembers
        self._wanted = folded(wanted)
        self._wanted_literal = folded(read_literal(wanted)[0])

    def __call__(self, value: Any) -> bool:
        if self._test is None:
            return False
        wanted = self._wanted
        if self._reads:
            value, is_literal = read_literal(value)
            if is_literal:
                wanted = self._wanted_literal
                if self._remembers:
                    self._wanted = wanted
        try:
            return bool(self._test(folded(value), wanted))
        except (TypeError, ValueError, RecursionError):
            return False
