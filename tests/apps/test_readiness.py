"""What a start looks at before it begins. Whole starts that are refused are in tests/e2e/test_refused_start.py."""

from __future__ import annotations

import os
import threading

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from apps.core import kept as kept_secrets
from apps.core.kept import kept
from ragflow.engine.errors import StoreUnavailable
from ragflow.management import readiness


class Away:
    def ping(self):
        raise StoreUnavailable("Elasticsearch cannot be reached.")


def test_a_folder_that_may_not_be_written_is_named_with_its_owner(tmp_path, settings, monkeypatch):
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(readiness.os, "access", lambda path, _mode: path != tmp_path)  # root may write anything

    with pytest.raises(CommandError, match=rf"^{tmp_path} cannot be written: it belongs to the user {os.getuid()}, "):
        readiness.check_folders()


def test_an_index_that_is_away_is_told_and_does_not_keep_from_starting(monkeypatch):
    monkeypatch.setattr(readiness, "doc_store", Away)
    said = []

    readiness.check_index(said.append)

    assert said == ["Elasticsearch cannot be reached. Until it answers, nothing can be searched or parsed."]


def test_a_database_server_that_is_away_is_told_without_its_password(settings, monkeypatch):
    def refuse(_connection):
        raise OperationalError("connection refused")

    settings.DATABASE_URL = "postgres://user:secret@db.example.org/name"
    monkeypatch.setattr(readiness.connection, "vendor", "postgresql")
    monkeypatch.setattr(readiness, "MigrationExecutor", refuse)

    with pytest.raises(CommandError) as told:
        readiness.prepare_database(print)

    assert str(told.value) == (
        "The database at db.example.org cannot be used: connection refused. "
        "Check DATABASE_URL, and that the server runs."
    )


def test_starts_in_one_folder_prepare_its_database_one_after_the_other(settings, monkeypatch, tmp_path):
    settings.DATA_DIR = tmp_path
    first_has_begun, first_may_end, order = threading.Event(), threading.Event(), []

    def migrate(name):
        order.append(f"{name} begins")
        if name == "first":
            first_has_begun.set()
            first_may_end.wait(10)
        order.append(f"{name} ends")

    monkeypatch.setattr(readiness, "_migrate", migrate)
    starts = [threading.Thread(target=readiness.prepare_database, args=(name,)) for name in ("first", "second")]
    starts[0].start()
    assert first_has_begun.wait(10)
    starts[1].start()
    starts[1].join(0.1)  # it would have ended by now
    first_may_end.set()
    for start in starts:
        start.join(10)
    assert order == ["first begins", "first ends", "second begins", "second ends"]


def test_a_secret_is_on_the_disk_before_it_is_used(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(kept_secrets.os, "fsync", lambda descriptor: written.append(os.fstat(descriptor).st_size))

    assert kept(tmp_path / "key", lambda: "hush") == "hush"
    assert written == [4]
