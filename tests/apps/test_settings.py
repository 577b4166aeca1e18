"""Reading the environment: RAGFlow's names of variables work beside ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ragflow.management.commands import configuration
from ragflow.settings import database, env, mail, stores
from ragflow.settings.env import Section, Variable


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> Section:
    monkeypatch.setattr(env, "DECLARED", [])
    monkeypatch.setattr(env, "GIVEN", set())
    return Section("Part")


def limit(section: Section) -> int:
    return section.integer("OURS", 7, minimum=1, help="A limit.", also="THEIRS")


@pytest.mark.parametrize(
    ("given", "value"),
    [({}, 7), ({"THEIRS": "5"}, 5), ({"OURS": "3", "THEIRS": "5"}, 3), ({"OURS": " ", "THEIRS": "5"}, 5)],
)
def test_our_name_wins(section: Section, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], value: int):
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    assert limit(section) == value
    assert ({"OURS"} if given else set()) == env.GIVEN


def test_a_secret_may_be_in_a_file_under_either_name(section: Section, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("THEIRS_FILE", str(tmp_path / "secret"))
    assert section.text("OURS", help="A secret.", secret=True, also="THEIRS") == "hush"


def test_a_mistake_names_both(section: Section, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THEIRS", "many")
    with pytest.raises(ImproperlyConfigured, match=r"^OURS \(or THEIRS\) must be a whole number, not 'many'\.$"):
        limit(section)


def test_the_page_tells_the_other_name():
    page = configuration.render([Variable("OURS", "7", "A limit.", "Part", also="THEIRS")])
    assert "| `OURS` | `7` | A limit. Also: `THEIRS`. |" in page


def test_the_environment_of_a_reference_server(tmp_path: Path):
    """A whole start, because settings are read once."""
    names = (
        "REGISTRATION_OPEN",
        "MAX_UPLOAD_BYTES",
        "API_TOKENS_CLOSED",
        "MAX_DOCUMENTS_OF_TENANT",
        "DEFAULT_SUPERUSER_EMAIL",
        "DEFAULT_SUPERUSER_PASSWORD",
        "DEFAULT_SUPERUSER_NICKNAME",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
    )
    given = {
        "REGISTER_ENABLED": "1",
        "MAX_CONTENT_LENGTH": "1048576",
        "DISABLE_SDK": "yes",
        "MAX_FILE_NUM_PER_USER": "3",
        "DEFAULT_SUPERUSER_EMAIL": "root@example.org",
        "DEFAULT_SUPERUSER_PASSWORD": "planted",
        "DEFAULT_SUPERUSER_NICKNAME": "Root",
        "RAGFLOW_SECRET_KEY": "x" * 40,
        "RAGFLOW_ALLOWED_HOSTS": "one.example.org, two.example.org",
        "RAGFLOW_TRUSTED_ORIGINS": "https://one.example.org,\n https://two.example.org,",
    }
    hosts = ["one.example.org", "two.example.org"]

    base = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "ragflow.settings",
        "RAGFLOW_DATA_DIR": str(tmp_path),
    }

    def read(environment: dict[str, str]) -> list[object]:
        show = f"print(json.dumps([getattr(settings, name) for name in {names}]))"
        program = f"import json; from django.conf import settings; {show}"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=base | environment,
            cwd=settings.BASE_DIR,
            capture_output=True,
            check=True,
        )
        return list(orjson.loads(done.stdout))

    read_values = read(given)
    assert read_values[:-2] == [True, 1048576, True, 3, "root@example.org", "planted", "Root", "x" * 40]
    assert read_values[-2:] == [hosts, [f"https://{host}" for host in hosts]]
    assert read({})[:4] == [False, 1024**3, False, 0]


@pytest.mark.parametrize(
    "url",
    [
        *("foo://host/name", "mysql://user:pass@host/name", "host", "postgres://user:pass@host:port/n"),
        "postgres://user:pass#word@host/name",
    ],
)
def test_a_database_that_cannot_be_meant_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setattr(database, "DATABASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL") as told:
        database._default()
    assert "pass" not in str(told.value).replace("password", "")


@pytest.mark.parametrize(
    "url",
    ["mail.example.org", "http://mail.example.org", "smtp:mail.example.org", "smtp://[mail", "smtp://user:pass#1@mail"],
)
def test_a_mail_server_that_cannot_be_meant_is_told_without_its_password(url: str):
    with pytest.raises(ImproperlyConfigured, match=r"^RAGFLOW_MAIL_URL must be like") as told:
        mail._server(url)
    assert "pass" not in str(told.value).replace("password", "")


@pytest.mark.parametrize("url", ["file://srv/files", "files", "file:files"])
def test_files_go_to_no_folder_by_accident(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setattr(stores, "STORAGE_URL", url)
    with pytest.raises(ImproperlyConfigured, match="file:///srv/ragflow"):
        stores._blob_storage()
