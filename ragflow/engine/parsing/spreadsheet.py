"""Workbooks (xlsx, xls, xlsb, ods), read in a helper process: see workbook_rows.py for the reason."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import IO

from ragflow.engine.errors import LimitExceeded, MalformedFile, ParseError
from ragflow.engine.parsing.archives import check_archive, is_encrypted_office, protected
from ragflow.engine.parsing.rows import Row, row_blocks
from ragflow.engine.parsing.signatures import OLE, mismatch
from ragflow.engine.parsing.source import MIB, Source
from ragflow.engine.types import Block, Notice

HELPER = Path(__file__).with_name("workbook_rows.py")


def read(source: Source) -> Iterator[Block | Notice]:
    _check(source)
    with closing(_rows_by_sheet(source)) as numbered:
        for (_, sheet), rows in groupby(numbered, key=lambda item: item[0]):
            yield from row_blocks(source, (row for _, row in rows), sheet=sheet)


def _check(source: Source) -> None:
    if not source.head(8).startswith(OLE):
        check_archive(
            source, expected="a workbook", prefix="content.xml" if source.extension == "ods" else "xl/", trees=False
        )
    elif is_encrypted_office(source):
        raise protected(source)
    elif source.extension != "xls":
        raise mismatch(source, "a workbook of this kind")


def _rows_by_sheet(source: Source) -> Generator[tuple[tuple[int, str], Row], None, None]:
    """Yield ((number, name) of the sheet, row). Closing the generator ends the helper."""
    seconds = math.ceil(source.seconds_left())
    command = [sys.executable, "-I", str(HELPER), str(source.path), str(source.limits.max_memory), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as helper:  # noqa: S603 - fixed program, our own path
        try:
            assert helper.stdout is not None
            yield from _decoded(source, helper.stdout)
            _check_end(source, helper.wait())
        finally:
            helper.kill()


def _decoded(source: Source, lines: IO[bytes]) -> Iterator[tuple[tuple[int, str], Row]]:
    sheet = (0, "")
    for line in lines:
        if not line.endswith(b"\n"):  # the helper died in the middle of a line; its exit status tells why
            return
        item = json.loads(line)
        if isinstance(item, str):
            sheet = (sheet[0] + 1, item)
        elif isinstance(item, list):
            yield sheet, item
        else:
            raise _error(source, item["error"])


def _error(source: Source, kind: str) -> ParseError:
    if kind == "encrypted":
        return protected(source)
    if kind == "limit":
        return LimitExceeded(
            f"{source.name} needs more than {source.limits.max_memory / MIB:.0f} MiB of memory to be read:"
            " its cells are too far apart, too many or too long."
        )
    return MalformedFile(f"{source.name} is a damaged workbook and cannot be read.")


def _check_end(source: Source, status: int) -> None:
    if status == -signal.SIGXCPU:
        raise LimitExceeded(f"Reading {source.name} took longer than {source.limits.max_seconds:g} seconds.")
    if status in (-signal.SIGABRT, -signal.SIGKILL):  # by the library when an allocation fails, or by the kernel
        raise _error(source, "limit")
    if status != 0:
        raise _error(source, "malformed")
