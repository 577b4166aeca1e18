"""Encrypt stored secrets anew after the secret key was changed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from apps.accounts.services.secrets import rotate_secrets
from ragflow.management.command import InstallationCommand


class Command(InstallationCommand):
    help = (
        "Encrypt stored secrets (keys of model providers, copies of tokens) under the current RAGFLOW_SECRET_KEY. Run "
        "it with the earlier key in RAGFLOW_OLD_SECRET_KEYS; afterwards only logins still need that one."
    )
    requires_system_checks = "__all__"

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate_secrets()
        self.stdout.write(f"{done.renewed} secrets are encrypted under the current key.")
        if done.unreadable:
            listed = "\n".join(f"  {row}" for row in done.unreadable)
            raise CommandError(
                f"{len(done.unreadable)} cannot be read, because their key is not in RAGFLOW_OLD_SECRET_KEYS:\n{listed}"
            )
