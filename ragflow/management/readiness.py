"""What an installation needs before it can start. What is wrong is told in a sentence that says what to do."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from apps.accounts.language_models import registry
from apps.datasets.engine import doc_store
from ragflow.engine.errors import StoreError, StoreUnavailable

Say = Callable[[str], object]


def check_folders() -> None:
    """Raise CommandError for what this process would have to write and may not."""
    for path in _written():
        if path.exists() and not os.access(path, os.W_OK):
            raise CommandError(
                f"{path} cannot be written: it belongs to the user {path.stat().st_uid}, and this runs as "
                f"{os.geteuid()}. Change its owner or its permissions, or set RAGFLOW_DATA_DIR to another folder."
            )


def _written() -> Iterator[Path]:
    yield settings.DATA_DIR
    if connection.vendor == "sqlite":
        yield Path(settings.DATABASES[DEFAULT_DB_ALIAS]["NAME"])
    if not settings.ELASTICSEARCH_URL:
        yield settings.INDEX_FILE
    if not settings.STORAGE_URL.startswith("s3:"):
        yield Path(default_storage.path(""))


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other start in the same data folder prepares anything, and keep others waiting."""
    with (settings.DATA_DIR / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare_database(say: Say) -> None:
    """Run the migrations that have not run. Raises CommandError when the database cannot be used."""
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        _refuse_newer(executor.loader)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            say("Preparing the database…")
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    except DatabaseError as error:
        raise CommandError(f"{_database()} cannot be used: {error}. {_remedy(str(error))}") from error


def _refuse_newer(loader: MigrationLoader) -> None:
    replaced = {name for migration in loader.replacements.values() for name in migration.replaces}
    known = loader.disk_migrations.keys() | replaced
    for app, name in sorted(loader.applied_migrations.keys() - known):
        if app in loader.migrated_apps:
            raise CommandError(
                f"{_database()} was written by a newer version of this program, which knows {app}.{name}. Start that "
                "version, or restore a backup from before the update."
            )


def _database() -> str:
    if connection.vendor == "sqlite":
        return f"The database {settings.DATABASES[DEFAULT_DB_ALIAS]['NAME']}"
    return f"The database at {urlsplit(settings.DATABASE_URL).hostname}"  # never the whole URL: it holds a password


def _remedy(reason: str) -> str:
    if connection.vendor != "sqlite":
        return "Check DATABASE_URL, and that the server runs."
    if "full" in reason:
        return "Make room on its disk."
    return "Restore it from a backup, or move the data folder away to begin with an empty one."


def check_index(say: Say) -> None:
    """Raise CommandError for a search index that is damaged or too new; say that one is away, for it may come back."""
    try:
        doc_store().ping()
    except StoreUnavailable as error:
        say(f"{error} Until it answers, nothing can be searched or parsed.")
    except StoreError as error:
        where = "" if settings.ELASTICSEARCH_URL else f" ({settings.INDEX_FILE})"
        raise CommandError(f"{error}{where}") from error


def check_embedding_model() -> None:
    """Raise CommandError when the configured folder lacks files: another one would be taken without a word."""
    folder = settings.MODELS.model_folder
    if folder and registry().model_folder != Path(folder):
        raise CommandError(
            f"EMBEDDING_MODEL_DIR ({folder}) does not hold config.json, tokenizer.json and model.safetensors."
        )
