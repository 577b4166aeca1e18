"""Writes docs/configuration.md from the declarations of the settings."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ragflow.settings.env import DECLARED, Variable

PAGE = settings.BASE_DIR / "docs" / "configuration.md"

INTRODUCTION = """\
# Configuration

Everything is set by environment variables, and nothing has to be. A variable marked with † holds a secret: it may be
given as a file instead, `NAME_FILE=/run/secrets/name`. `manage.py doctor` shows what a running installation uses.

Variables of RAGFlow's keep their names or are read beside ours, where a table says so; ours wins. These are not read:
`DB_TYPE`, `DOC_ENGINE` and `STORAGE_IMPL`, whose choice the URLs under *Stores* make, and `COMPOSE_PROFILES` and
`TEI_MODEL`, in place of which `RAGFLOW_EMBEDDING_MODEL` names a model.

This page is written by `manage.py configuration`.
"""


class Command(BaseCommand):
    help = "Write docs/configuration.md from the settings."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail if the page is out of date.")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        page = render(DECLARED)
        if not check:
            PAGE.write_text(page)
        elif not PAGE.exists() or PAGE.read_text() != page:
            raise CommandError("docs/configuration.md is out of date; run `manage.py configuration`.")


def render(variables: list[Variable]) -> str:
    """Return the page: one table for each section, in the order in which the settings declare them."""
    order = list(dict.fromkeys(variable.section for variable in variables))
    ordered = sorted(variables, key=lambda variable: order.index(variable.section))
    sections = [_section(title, list(rows)) for title, rows in groupby(ordered, key=lambda variable: variable.section)]
    return "\n".join([INTRODUCTION, *sections])


def _section(title: str, variables: list[Variable]) -> str:
    rows = [f"| {_name(variable)} | {_default(variable)} | {_meaning(variable)} |" for variable in variables]
    return "\n".join([f"## {title}", "", "| Variable | Default | Meaning |", "| --- | --- | --- |", *rows, ""])


def _name(variable: Variable) -> str:
    return f"`{variable.name}`" + (" †" if variable.secret else "")


def _meaning(variable: Variable) -> str:
    return f"{variable.help} Also: `{variable.also}`." if variable.also else variable.help


def _default(variable: Variable) -> str:
    return f"`{variable.default}`" if variable.default else ""
