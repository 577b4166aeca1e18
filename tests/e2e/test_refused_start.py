"""A start that cannot work ends with a sentence that names what is wrong, before anything is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.installation import ROOT


def nothing(data: Path) -> None:
    pass


def a_file(data: Path) -> None:
    data.write_text("not a folder")


def empty_key(data: Path) -> None:
    data.mkdir()
    (data / "secret.key").touch()


def damaged_database(data: Path) -> None:
    data.mkdir()
    (data / "ragflow.sqlite3").write_bytes(b"damaged" * 1000)


def newer_database(data: Path) -> None:
    data.mkdir()
    with sqlite3.connect(data / "ragflow.sqlite3") as connection:
        connection.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT)")
        connection.execute("INSERT INTO django_migrations VALUES (1, 'documents', '9999_future', '2030-01-01')")
        connection.execute(
            "INSERT INTO django_migrations VALUES (2, 'an_app_of_the_past', '0001_initial', '2020-01-01')"
        )


def damaged_index(data: Path) -> None:
    data.mkdir()
    (data / "index.sqlite3").write_bytes(b"damaged" * 1000)


def newer_index(data: Path) -> None:
    data.mkdir()
    with sqlite3.connect(data / "index.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 9999")


@pytest.mark.parametrize(
    ("prepare", "variables", "sentence"),
    [
        (a_file, {}, "/data) is a file; it has to be a folder."),
        (empty_key, {}, "/data/secret.key is empty. Restore it from a backup"),
        (damaged_database, {}, "/data/ragflow.sqlite3 cannot be used: file is not a database. Restore it"),
        (newer_database, {}, "which knows documents.9999_future. Start that version"),
        (damaged_index, {}, "not a database. Restore a backup, or delete it and parse again. ("),
        (newer_index, {}, "The document store's file was written by a newer version"),
        (nothing, {"EMBEDDING_MODEL_DIR": "/nowhere"}, "EMBEDDING_MODEL_DIR (/nowhere) does not hold"),
        (nothing, {"RAGFLOW_PORT": "99999"}, "RAGFLOW_PORT must be at most 65535, not 99999."),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    tmp_path: Path, prepare: Callable[[Path], None], variables: dict[str, str], sentence: str
):
    data = tmp_path / "data"
    prepare(data)
    environment = os.environ | {"RAGFLOW_DATA_DIR": str(data), "RAGFLOW_PORT": "0"} | variables

    command = [sys.executable, str(ROOT / "manage.py"), "up"]
    start = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert start.returncode == 1
    assert sentence in start.stderr
    assert "Traceback" not in start.stderr
    assert "Starting" not in start.stdout
