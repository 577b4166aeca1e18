"""Prints the rows of a workbook as JSON lines. Run as a program of its own, by `spreadsheet`.

The library allocates every sheet as one dense block: two cells in opposite corners of a sheet, or one long string
that a million cells share, make it abort the whole process. Here that costs only this helper.

    workbook_rows.py <file> <bytes of memory> <seconds of CPU>

A string begins a sheet (its name), a list is a row, and an object `{"error": kind}` is the end: "encrypted",
"malformed" or "limit".
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

MAX_ROW_CHARACTERS = 20_000_000  # what the parent will take as one line


def main(path: str, memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from python_calamine import CalamineError, PasswordError

    try:
        for item in items(path):
            sys.stdout.write(json.dumps(item) + "\n")
    except PasswordError:
        fail("encrypted")
    except MemoryError:
        fail("limit")
    except (CalamineError, OSError, ValueError):
        fail("malformed")


def fail(kind: str) -> None:
    sys.stdout.write(json.dumps({"error": kind}) + "\n")


def items(path: str) -> Iterator[str | list[str]]:
    """Yield the name of each worksheet, followed by its rows."""
    from python_calamine import CalamineWorkbook, SheetTypeEnum

    with open(path, "rb") as file, CalamineWorkbook.from_filelike(file) as workbook:  # noqa: PTH123
        for sheet in workbook.sheets_metadata:
            if sheet.typ != SheetTypeEnum.WorkSheet:
                continue
            yield sheet.name
            for row in workbook.get_sheet_by_name(sheet.name).iter_rows():
                cells = [shown(value) for value in row]
                if sum(map(len, cells)) > MAX_ROW_CHARACTERS:
                    raise MemoryError
                yield cells


def shown(value: Any) -> str:
    """Return a cell as a reader of the sheet would write it: 3 for 3.0, no time of day for a plain date."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
