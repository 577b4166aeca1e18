"""The command-line client: `manage.py cli -t user -p 9380 -u me@example.org`. All options are the client's own."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand

from ragflow.cli.main import PORT, main


class Command(BaseCommand):
    help = "Start the command-line client, which speaks to a server over HTTP. docs/cli.md has its options."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        """Hand over before Django takes options for its own: `-h` names a host here."""
        self.handle(*argv[2:])

    def handle(self, *args: Any, **options: Any) -> NoReturn:
        """Speak to this installation, as its administrator, unless the options say otherwise."""
        port = settings.PORT or PORT
        sys.exit(main(args, administrator=settings.DEFAULT_SUPERUSER_EMAIL, port=port))
