"""Prints what is found in a PDF as JSON lines. Run as a program of its own, by `pdf_apart`.

    pdf_helper.py <folder of the package `ragflow`> <bytes of memory> <seconds of CPU>

A line on standard input says what to read. `{"block": ...}` and `{"notice": ...}` are what is found, and
`{"error": [kind, words]}` is the end, if need be.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO


def main(folder: str, memory: int, seconds: int) -> None:
    sys.path.insert(0, folder)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not for the parent
    import pypdfium2  # noqa: F401 -- what libraries take for themselves when they are loaded does not count

    from ragflow.engine.parsing import pdf  # noqa: F401

    wanted = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with out:
        read(wanted, out)


def read(wanted: dict[str, dict[str, object]], out: TextIO) -> None:
    from ragflow.engine.errors import ParseError
    from ragflow.engine.parsing import Limits, ParseOptions, pdf
    from ragflow.engine.parsing.source import Source
    from ragflow.engine.types import Block

    options, limits = ParseOptions(**wanted["options"]), Limits(**wanted["limits"])  # type: ignore[arg-type]
    try:
        for item in pdf.read(Source(Path(str(wanted["path"])), str(wanted["name"]), options, limits)):
            say(out, "block" if isinstance(item, Block) else "notice", asdict(item))
    except ParseError as error:
        say(out, "error", [type(error).__name__, str(error)])
    except MemoryError:
        say(out, "error", ["MemoryError", ""])
    except OSError as error:
        say(out, "error", ["OSError", [error.errno, error.strerror]])
    except Exception:  # noqa: BLE001 -- libraries meet hostile bytes here and raise anything
        say(out, "error", ["", traceback.format_exc()])


def say(out: TextIO, kind: str, content: object) -> None:
    out.write(json.dumps({kind: content}) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
