"""What every reader is given: the file, the options of the dataset, and the limits it has to keep."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ragflow.engine.errors import LimitExceeded

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost. A file that passes a limit fails with `LimitExceeded`, naming the limit."""

    max_bytes: int = 512 * MIB  # the file itself
    max_tree_bytes: int = 64 * MIB  # markup held as a tree in memory (a tree takes about ten times its text)
    max_expanded_bytes: int = 512 * MIB  # all members of an archive (docx, xlsx, pptx, epub, ods), unpacked
    max_ratio: float = 200.0  # unpacked size / file size of an archive; real office files stay under 100
    max_pages: int = 3000  # pages, slides or frames that are asked for
    max_characters: int = 50_000_000  # text taken out of the file
    max_seconds: float = 900.0  # spent in reading, checked between pages and items
    max_memory: int = 2 * GIB  # address space of a helper process


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """The options of a dataset or document that change what readers yield."""

    layout_recognize: str = "DeepDOC"  # "Plain Text": the text layer only, without positions, tables and OCR
    pages: tuple[tuple[int, int], ...] | None = None  # PDF pages to read: inclusive ranges, counted from 1
    html4excel: bool = False  # spreadsheets and CSV as HTML tables of 12 rows instead of one line per row
    rows: bool = False  # spreadsheets, CSV and tab-separated text as blocks of kind ROW

    @property
    def plain_text(self) -> bool:
        return self.layout_recognize == "Plain Text"


class Clock:
    """Counts the seconds spent in reading; it stands still while the caller works on what was read."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since: float | None = None

    def start(self) -> None:
        self._since = time.monotonic()

    def stop(self) -> None:
        self._spent = self.seconds()
        self._since = None

    def seconds(self) -> float:
        return self._spent + (time.monotonic() - self._since if self._since is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read. `name` is what its owner calls it and decides the format; `path` is where it lies."""

    path: Path
    name: str
    options: ParseOptions
    limits: Limits
    clock: Clock = field(default_factory=Clock)

    @property
    def extension(self) -> str:
        """The text after the last dot of the name, in lower case; empty when there is none."""
        _, dot, extension = self.name.rpartition(".")
        return extension.lower() if dot else ""

    def read_bytes(self, limit: int, what: str) -> bytes:
        """Return the whole file, if it is not larger than `limit` bytes; `what` names the kind of content."""
        if (size := self.path.stat().st_size) > limit:
            raise LimitExceeded(
                f"{self.name} holds {size / MIB:.0f} MiB; {what} may have up to {limit / MIB:.0f} MiB. Split the file."
            )
        return self.path.read_bytes()

    def head(self, size: int = 2048) -> bytes:
        with self.path.open("rb") as file:
            return file.read(size)

    def seconds_left(self) -> float:
        """Return what remains of the time limit, at least a millisecond (so that it can be a timeout)."""
        return max(self.limits.max_seconds - self.clock.seconds(), 0.001)

    def check_time(self) -> None:
        if self.clock.seconds() > self.limits.max_seconds:
            raise LimitExceeded(f"Reading {self.name} took longer than {self.limits.max_seconds:g} seconds.")

    def at(self, path: Path, name: str) -> Source:
        """Return another file that is read on the same account: converted from this one, or attached to it."""
        return replace(self, path=path, name=name)
