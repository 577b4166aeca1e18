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


def test_starts_in_one_folder_take_turns(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    second_has_turn = threading.Event()

    def start() -> None:
        with readiness.turn():
            second_has_turn.set()

    with readiness.turn():
        second = threading.Thread(target=start)
        second.start()
        assert not second_has_turn.wait(0.1)
    second.join(10)
    assert second_has_turn.is_set()


def test_a_secret_is_on_the_disk_before_it_is_used(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(kept_secrets.os, "fsync", lambda descriptor: written.append(os.fstat(descriptor).st_size))

    assert kept(tmp_path / "key", lambda: "hush") == "hush"
    assert written == [4]
