"""PDF files, read in a helper process of bounded memory and time.

A few hundred bytes of PDF can describe more objects than any memory holds, or keep pdfium busy for ever, and pdfium is
not interrupted within a page. Here that costs only the helper; and several files are read at the same time.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragflow.engine.errors import EncryptedFile, LimitExceeded, MalformedFile, ParseError
from ragflow.engine.parsing.source import MIB, Source
from ragflow.engine.types import Block, BlockKind, Notice, Position

HELPER = Path(__file__).with_name("pdf_helper.py")
PACKAGES = Path(__file__).parents[3]
# What pdfium does when it gets none, and what the kernel does.
OUT_OF_MEMORY = {-signal.SIGABRT, -signal.SIGTRAP, -signal.SIGILL, -signal.SIGKILL}
ERRORS = {error.__name__: error for error in (EncryptedFile, LimitExceeded, MalformedFile)}


def read(source: Source) -> Iterator[Block | Notice]:
    """Yield what `pdf.read` finds. Closing the generator ends the helper."""
    seconds = math.ceil(source.seconds_left())
    command = [sys.executable, "-I", str(HELPER), str(PACKAGES), str(source.limits.max_memory), str(seconds)]
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each takes address space
    with subprocess.Popen(  # noqa: S603 - fixed program, our own paths
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=one_thread
    ) as helper:
        try:
            yield from _found(source, helper)
        finally:
            helper.kill()


def _found(source: Source, helper: subprocess.Popen[bytes]) -> Iterator[Block | Notice]:
    assert helper.stdin is not None
    assert helper.stdout is not None
    with helper.stdin as asked:
        asked.write(json.dumps(_wanted(source)).encode() + b"\n")
    for line in helper.stdout:
        if not line.endswith(b"\n"):  # it died in the middle of a line; its exit status tells why
            break
        yield _item(source, json.loads(line))
    if status := helper.wait():
        raise _ended(source, status)


def _wanted(source: Source) -> dict[str, object]:
    """Return what the helper needs to know. Its clock is not set: it waits while others work, and is timed here."""
    return {
        "path": str(source.path),
        "name": source.name,
        "options": asdict(source.options),
        "limits": asdict(source.limits),
    }


def _item(source: Source, said: dict[str, Any]) -> Block | Notice:
    """Return a block or notice. Raises what the helper told."""
    if "notice" in said:
        return Notice(**said["notice"])
    if "error" in said:
        raise _error(source, *said["error"])
    fields = said["block"]
    positions = tuple(Position(**position) for position in fields["positions"])
    return Block(**{**fields, "kind": BlockKind(fields["kind"]), "positions": positions, "cells": ()})


def _error(source: Source, kind: str, words: Any) -> Exception:
    if kind in ERRORS:
        return ERRORS[kind](words)
    if kind == "MemoryError":
        return _needs_memory(source)
    return OSError(*words) if kind == "OSError" else RuntimeError(words)


def _ended(source: Source, status: int) -> ParseError:
    if status == -signal.SIGXCPU:
        return LimitExceeded(f"Reading {source.name} took longer than {source.limits.max_seconds:g} seconds.")
    if status in OUT_OF_MEMORY:
        return _needs_memory(source)
    return MalformedFile(f"{source.name} is a damaged PDF and cannot be read.")


def _needs_memory(source: Source) -> LimitExceeded:
    return LimitExceeded(
        f"{source.name} needs more than {source.limits.max_memory / MIB:.0f} MiB of memory to be read:"
        " it draws too much on one page."
    )
