"""Watching processes that a test started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

DEADLINE = 60.0


def until(condition):
    """Return the first true value of the condition; fail when there is none in time."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail("It did not happen in time.")


def is_running(pid: int) -> bool:
    """Tell whether the process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> dict[str, int]:
    """Return the ids of the child processes by the end of their command line."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/cmdline").read_text().strip("\0").split("\0")[-1]: int(child) for child in children}
