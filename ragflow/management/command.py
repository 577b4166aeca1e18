"""What commands at the terminal have in common."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError


class InstallationCommand(BaseCommand):
    """A command that works on the rows of an installation, and says so in a sentence when they cannot be reached."""

    requires_system_checks: Any = ()

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used ({error}). Has `manage.py migrate` run?") from error
