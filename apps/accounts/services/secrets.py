"""Stored secrets when the installation's key changes."""

from __future__ import annotations

from dataclasses import dataclass

from django.apps import apps
from django.db import models

from apps.core.crypto import reencrypt

PREFIX = "encrypted_"


@dataclass(frozen=True, slots=True)
class Rotation:
    renewed: int = 0
    unreadable: tuple[str, ...] = ()  # the rows, as text


def rotate_secrets() -> Rotation:
    """Encrypt every stored secret under the current key. Safe to repeat, and while the server runs.

    Each row is only written if it still holds what was read, so a secret that changes meanwhile is left alone: whoever
    changed it used the current key.
    """
    renewed, unreadable = 0, []
    for model, field in encrypted_columns():
        rows = model._default_manager.exclude(**{field: ""}).values_list("pk", field)  # noqa: SLF001
        for pk, ciphertext in rows.iterator(chunk_size=500):
            fresh = reencrypt(ciphertext)
            if fresh is None:
                unreadable.append(f"{model._meta.verbose_name} {pk}")  # noqa: SLF001
            else:
                renewed += model._default_manager.filter(pk=pk, **{field: ciphertext}).update(**{field: fresh})  # noqa: SLF001
    return Rotation(renewed, tuple(unreadable))


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Return every column of every app that holds encrypted text."""
    return [
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.concrete_fields  # noqa: SLF001
        if field.name.startswith(PREFIX)
    ]
