"""Formats that only LibreOffice reads (doc, rtf, odt, ppt, odp, ...): converted first, where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ragflow.engine.errors import LimitExceeded, MalformedFile, UnsupportedFormat
from ragflow.engine.parsing import docx, pptx
from ragflow.engine.parsing.source import Source
from ragflow.engine.types import Block, Notice

CONVERSION_SECONDS = 180.0


def read_document(source: Source) -> Iterator[Block | Notice]:
    with tempfile.TemporaryDirectory() as folder:
        yield from docx.read(source.at(_converted(source, Path(folder), "docx"), source.name))


def read_presentation(source: Source) -> Iterator[Block | Notice]:
    with tempfile.TemporaryDirectory() as folder:
        yield from pptx.read(source.at(_converted(source, Path(folder), "pptx"), source.name))


def _converted(source: Source, folder: Path, target: str) -> Path:
    program = shutil.which("soffice") or shutil.which("libreoffice")
    if program is None:
        raise UnsupportedFormat(
            f"{source.name}: reading .{source.extension} files needs LibreOffice, which is not installed."
            f" Save it as .{target} and upload that."
        )
    original = folder / f"original.{source.extension}"  # its own name would be part of the command line
    shutil.copyfile(source.path, original)
    command = [
        program,
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",  # a profile cannot be shared by two processes
        "--headless",
        "--norestore",
        "--convert-to",
        target,
        "--outdir",
        str(folder),
        str(original),
    ]
    _run(source, command)
    converted = original.with_suffix(f".{target}")
    if not converted.exists():
        raise MalformedFile(f"{source.name} is damaged or protected: LibreOffice could not open it.")
    return converted


def _run(source: Source, command: list[str]) -> None:
    """Run LibreOffice. Its exit status says nothing; the caller looks for the converted file."""
    with subprocess.Popen(  # noqa: S603 - a fixed program and our own paths
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            process.wait(min(CONVERSION_SECONDS, source.seconds_left()))
        except subprocess.TimeoutExpired as error:
            raise LimitExceeded(f"LibreOffice took too long to convert {source.name}.") from error
        finally:
            _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the starter script and the office process behind it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
