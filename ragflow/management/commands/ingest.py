"""Make files searchable from the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from argparse import ArgumentTypeError
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.accounts.selectors import tenant_of
from apps.core.errors import RagflowError
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.schemas import CreateDataset
from apps.datasets.selectors import named, owned_datasets
from apps.datasets.services import create_dataset
from ragflow.management.caller import caller
from ragflow.management.command import InstallationCommand
from ragflow.management.ingestion import Outcome, Result, ingest_all, sources

BAR = 24  # characters


class Command(InstallationCommand):
    help = "Put files and folders into a dataset and make them searchable. Run it again to go on where it was stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=_existing, metavar="PATH", help="A file or a folder.")
        parser.add_argument("--dataset", required=True, help="Name of the dataset; it is made if it does not exist.")
        parser.add_argument("--email", default="", help="Whose dataset. Default: the first operator's.")
        parser.add_argument("--replace", action="store_true", help="Replace documents whose file has changed.")

    def handle(self, *args: Any, paths: list[Path], dataset: str, email: str, replace: bool, **options: Any) -> None:
        principal = caller(email)
        files = [source for path in paths for source in sources(path)]
        if not files:
            raise CommandError("There is no file of a type that can be parsed.")
        try:
            target = _dataset(principal, dataset)
        except RagflowError as error:
            raise CommandError(error.message) from None
        report = _Report(self, len(files))
        try:
            for result in ingest_all(principal=principal, dataset=target, files=files, replace=replace):
                report.add(result)
        except KeyboardInterrupt:
            report.stop()
        if report.close():
            raise SystemExit(1)


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise ArgumentTypeError(f"{text} does not exist")
    return path


def _dataset(principal: Principal, name: str) -> KnowledgeBase:
    found = named(owned_datasets(principal), name).first()
    return found or create_dataset(owner=tenant_of(principal), data=CreateDataset(name=name))


class _Report:
    """A moving bar on a terminal, a line for each file elsewhere; then totals and failures."""

    def __init__(self, command: Command, total: int) -> None:
        self._out = command.stdout
        self._total = total
        self._moving = command.stdout.isatty()
        self._results: list[Result] = []
        self._started = time.monotonic()

    def add(self, result: Result) -> None:
        self._results.append(result)
        if self._moving:
            self._draw(result.name)
            return
        made = f"{result.chunks} chunk{'s' * (result.chunks != 1)}" if result.outcome is Outcome.DONE else ""
        detail = result.message or made
        self._out.write(f"{result.name}: {result.outcome}" + (f", {detail}" if detail else ""))

    def _draw(self, name: str) -> None:
        done = len(self._results)
        filled = BAR * done // self._total
        line = f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{self._total}  {name}"
        width = shutil.get_terminal_size().columns - 1
        self._out.write("\r" + line[:width].ljust(width), ending="\r" if done < self._total else "\n")
        self._out.flush()

    def stop(self) -> None:
        """End at once. Threads inside a parser cannot be interrupted, and their leases make it safe to drop them."""
        self._out.write(f"\nStopped after {len(self._results)} of {self._total} files. Run it again to go on.")
        self._out.flush()
        sys.stderr.flush()
        os._exit(130)

    def close(self) -> int:
        """Print the totals and return how many files failed."""
        counts = Counter(result.outcome for result in self._results)
        chunks = sum(result.chunks for result in self._results)
        tokens = sum(result.tokens for result in self._results)
        parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
        seconds = time.monotonic() - self._started
        self._out.write(f"{len(self._results)} files: {parts}. {chunks} chunks, {tokens} tokens, {seconds:.1f} s.")
        for result in self._results:
            if result.outcome is Outcome.FAILED:
                self._out.write(f"  failed: {result.name}: {result.message}")
        return counts[Outcome.FAILED]
