"""Values that programs stumble over."""

from __future__ import annotations

from typing import Any, Final

TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",  # half of a surrogate pair: JSON can carry it, UTF-8 cannot
    "\U0001f9ff" * 50,
    "x" * 5000,
    "٣",  # a digit to `int`, but not to databases
    "1_000",
    "²",  # a digit to `str.isdigit`, but not to `int`
    "-1",
    "1e400",
    "NaN",
    "inf",
    "None",
    "null",
    "true",
    "9" * 30,
    "9" * 5000,  # longer than what Python converts
    "%00",
    "%s{}{0}",
    "../../etc/passwd",
    "'; DROP TABLE x; --",
    '"',
    "\\",
    "*",
    "__class__",
    "pk__gt",
    "?",
    "-created_at",
    "{}",
    "[",
    "[" * 3000,
    "\r\nX-Injected: 1",
    "\u202eevil",
)

SCALARS: Final = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if levels % 2 else [value]
        levels -= 1
    return value


CONTAINERS: Final = (
    [],
    {},
    [[]],
    [{}],
    [None],
    [True, 1, "1", 1.0],
    {"": ""},
    {"\0": "\ud800"},
    {"__proto__": {}},
    ["x"] * 2000,
    _nested(90),
    _nested(150),
    _nested(600),
)

NASTY: Final = (*TEXTS, *SCALARS, *CONTAINERS)
