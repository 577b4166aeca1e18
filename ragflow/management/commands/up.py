"""Everything with one command: prepare, then become the supervisor of a web server and a worker."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from ragflow.management import readiness
from ragflow.supervisor import Plan

if TYPE_CHECKING:
    from ragflow.management.demo import Demo

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound

# Fewer allocator arenas and one BLAS thread: several processes with many threads share few cores and little memory.
LEAN = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "CELERY_SKIP_CHECKS": "1"}


class Command(BaseCommand):
    help = "Prepare the database, then serve and work until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="Also make an administrator, a token, and an assistant over the docs."
        )

        parser.add_argument(
            "--init-superuser",
            action="store_true",
            help="Make an administrator if there is none (see DEFAULT_SUPERUSER_EMAIL).",
        )

    def handle(self, *args: Any, demo: bool, init_superuser: bool, **options: Any) -> None:
        port = _free_port()
        readiness.check_folders()
        with readiness.turn():
            self._prepare()
            if init_superuser or (settings.DEFAULT_SUPERUSER_PASSWORD and not demo):
                self._make_administrator()
            found = self._seed() if demo else None
        connections.close_all()
        self.stdout.write("Starting…")
        sys.stdout.flush()
        Plan(
            commands={
                "web server": [sys.executable, "-m", "ragflow.web"],
                "worker": [sys.executable, "-m", "ragflow.worker"],
            },
            host=_local_address(),
            port=port,
            host_header=next((name for name in settings.ALLOWED_HOSTS if name.strip("*.")), "localhost").lstrip("."),
            banner=_banner(found, port),
        ).execute(_environment(port))

    def _prepare(self) -> None:
        readiness.check_embedding_model()
        readiness.check_index(self.stderr.write)
        readiness.prepare_database(self.stdout.write)

    def _make_administrator(self) -> None:
        from apps.accounts.services.accounts import ensure_administrator
        from apps.core.errors import RagflowError

        try:
            made = ensure_administrator()
        except RagflowError as error:
            raise CommandError(error.message) from None
        if made is not None:
            given = settings.DEFAULT_SUPERUSER_PASSWORD
            shown = "with the password of the environment" if given else f"password (shown this once) {made.password}"
            self.stdout.write(f"Administrator {made.user.email}, {shown}")

    def _seed(self) -> Demo | None:
        from ragflow.management.demo import seed  # what it needs takes a while to import

        return seed(self.stdout.write)


def _free_port() -> int:
    """Return the port to serve on; for 0, one that is free now. Raises CommandError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            address = f"{settings.HOST}:{settings.PORT}"
            raise CommandError(
                f"Cannot listen on {address}: {error.strerror}. Set RAGFLOW_HOST or RAGFLOW_PORT."
            ) from None
        return int(probe.getsockname()[1])


def _environment(port: int) -> dict[str, str]:
    """Return what the children see. They find this code, and the same settings, from any working directory."""
    paths = [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
    settled = {
        "RAGFLOW_PORT": str(port),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONSAFEPATH": "1",  # ... and not by accident another module of the same name
    }
    return LEAN | dict(os.environ) | settled


def _local_address() -> str:
    return ANY_ADDRESS.get(settings.HOST, settings.HOST)


def _banner(demo: Demo | None, port: int) -> str:
    address = _local_address()
    origin = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    lines = [
        "",
        "RAGFlow on Django is ready.",
        f"  API    {origin}/api/v1",
        f"  Docs   {origin}/api/docs",
        f"  Admin  {origin}/admin/",
        "",
    ]
    if demo is None:
        lines += ["An API token: manage.py create_token --email you@example.org", ""]
    else:
        lines += [*demo.examples(origin), ""]
    return "\n".join([*lines, "Ctrl-C stops everything."])
