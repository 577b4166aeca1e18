"""Tables as the client prints them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NARROWEST = 2
_CONTROLS = frozenset({"Cc", "Cs"})


def table(data: Any, *, without: Sequence[str] = ()) -> str:
    """Return rows as a table: one object is one row, anything else that is no object a row with one value."""
    rows = [_row(item) for item in (data if isinstance(data, list) else [data])] if data else []
    columns = sorted({name for row in rows for name in row} - {*without})
    if not columns:
        return "No data to print"
    cells = [[name if row is None else _text(row, name) for name in columns] for row in (None, *rows)]
    widths = [max(_NARROWEST, *(_width(line[index]) for line in cells)) for index in range(len(columns))]
    return "\n".join(_lines(cells, widths))


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    separator = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    header, *rows = cells
    yield separator
    yield _line(header, widths)
    yield separator
    for row in rows:
        yield _line(row, widths)
    yield separator


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f" {cell}{' ' * (width - _width(cell))} " for cell, width in zip(cells, widths, strict=True))
    return f"|{'|'.join(padded)}|"


def _row(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, dict) else {"value": item}


def _text(row: Mapping[str, Any], name: str) -> str:
    """Return a value on one line, without what would move the cursor of a terminal."""
    text = str(row[name]) if name in row else ""
    return "".join(repr(sign)[1:-1] if unicodedata.category(sign) in _CONTROLS else sign for sign in text)


def _width(text: str) -> int:
    """Count the places that a text takes: printable ASCII one each, all else two."""
    return sum(1 if " " <= character <= "~" else 2 for character in text)
