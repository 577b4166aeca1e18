"""The demonstration without a server: see ragflow.management.demo."""

from __future__ import annotations

from typing import Any

from ragflow.management.command import InstallationCommand
from ragflow.management.demo import seed


class Command(InstallationCommand):
    help = "Make an administrator, an API token, and an assistant over the documentation. Makes nothing twice."

    def handle(self, *args: Any, **options: Any) -> None:
        demo = seed(self.stdout.write)
        if demo is None:
            self.stdout.write("The demonstration was made before and has been deleted since; it stays so.")
        else:
            self.stdout.write(f"Dataset {demo.dataset_id}, assistant {demo.assistant_id}")
