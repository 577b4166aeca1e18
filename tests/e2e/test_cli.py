"""The command-line client against a running installation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.installation import ROOT, Installation

pytestmark = pytest.mark.slow

USER, ADMINISTRATOR, PASSWORD = "cli@example.org", "root@example.org", "a long enough passphrase"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    variables = {
        "RAGFLOW_REGISTRATION": "1",
        "DEFAULT_SUPERUSER_EMAIL": ADMINISTRATOR,
        "DEFAULT_SUPERUSER_PASSWORD": PASSWORD,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        installation = Installation(tmp_path_factory.mktemp("cli") / "data")
    yield installation
    installation.stop()
    installation.close()


@pytest.fixture(scope="module")
def run(server: Installation) -> Run:
    """Return a function that runs the client with one statement, or with what is typed at its prompt."""
    address = urlsplit(server.origin)

    def start(*arguments: str, mode: str = "user", typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "ragflow.cli",
            "-h",
            str(address.hostname),
            "-p",
            str(address.port),
            "-t",
            mode,
        ]
        environment = os.environ | {"HOME": str(server.folder)}
        return subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, timeout=120
        )

    return start


@pytest.fixture(scope="module")
def account(run: Run) -> str:
    registered = run("-c", f"register user '{USER}' as 'cli' password '{PASSWORD}'")
    assert registered.stdout.startswith(f"Register user: cli, email: {USER}, password: ******\n"), registered
    return USER


@pytest.fixture
def say(run: Run, account: str) -> Callable[[str], str]:
    """Return a function that runs one statement as the user and returns what was printed."""

    def send(line: str) -> str:
        done = run("-u", account, "-w", PASSWORD, "-c", line)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return send


def test_the_life_of_a_dataset(say, tmp_path: Path):
    (tmp_path / "bridge.txt").write_text("The red bridge of Ulm was built in 1903 by Clara Nord.")
    (tmp_path / "tower.txt").write_text("The tower of Brest is white.")
    assert "kb_id" in say(
        "create dataset 'bridges' with embedding '' parser 'naive'".replace("''", "'hash-1024@Builtin'")
    )
    files = f"{tmp_path}/bridge.txt,{tmp_path}/tower.txt"
    assert say(f"import '{files}' into dataset 'bridges'") == "Success to import documents into dataset bridges\n"
    assert say("parse dataset 'bridges' sync").endswith("Success to parse dataset bridges\n")
    assert say("parse 'tower.txt' of dataset 'bridges'") == "Success to parse ['tower.txt'] of bridges\n"
    listed = say("list files of dataset 'bridges'")
    assert "bridge.txt" in listed
    assert "tower.txt" in listed
    found = say("search 'Who built the red bridge?' on datasets 'bridges'")
    assert "Clara Nord" in found
    assert "| bridges " in say("list datasets")
    assert say("drop dataset 'bridges'") == "Drop dataset bridges successfully\n"
    assert say("list datasets") == "No data to print\n"


def test_chats(say):
    assert say("create chat 'guide'") == "Success to create chat: guide\n"
    assert "| guide " in say("list chats")
    assert say("drop chat 'guide'") == "Success to drop chat: guide\n"
    assert say("list chats") == "No data to print\n"


def test_the_user_and_models(say):
    assert USER in say("show current user")
    assert "hash-1024@Builtin" in say("set default embedding 'hash-1024@Builtin'") + say("list default models")
    assert "version" in say("show version")


def test_repeating(say):
    command, summary = say("benchmark 2 5 list datasets").splitlines()
    assert command == "command: {'statement': 'LIST DATASETS'}, Concurrency: 2, iterations: 5"
    assert "COMMAND_COUNT: 10, SUCCESS: 10, FAILURE: 0" in summary


def test_what_goes_wrong(run, account, tmp_path):
    def fails(*arguments: str) -> tuple[int, str]:
        done = run(*arguments)
        assert done.stderr == "", done
        return done.returncode, done.stdout

    assert fails("-u", account, "-w", "wrong", "-c", "list datasets") == (
        1,
        "Login failed: Email and password do not match!\nCan't access server for login (connection failed)\n",
    )
    logged_in = ("-u", account, "-w", PASSWORD)
    assert fails(*logged_in, "-c", "drop dataset 'none'") == (1, "Dataset none not found\n")
    assert fails(*logged_in, "-c", "list users") == (1, "This command is only allowed in ADMIN mode\n")
    status, printed = fails(*logged_in, "-c", "list agents")
    assert (status, printed.startswith("Fail to list datasets, code: 404, message: ")) == (1, True)
    assert fails(*logged_in, "command", "drop", "dataset", "'none'") == (0, "Dataset none not found\n")


def test_the_prompt(run, server: Installation):
    done = run(typed="ping;\nlist nothing;\ncreate user 'u' 'hidden';\n\\q\n")
    assert done.returncode == 0
    for line in ("Server is alive", "Error: Parse error: unexpected 'nothing'", "Goodbye!"):
        assert line in done.stdout
    history = server.folder / ".ragflow_cli_history"
    assert "ping;" in history.read_text()
    assert "hidden" not in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_administration(run, account):
    def administer(line: str) -> str:
        done = run("-u", ADMINISTRATOR, "-w", PASSWORD, "-c", line, mode="admin")
        assert (done.returncode, done.stderr) == (0, ""), (line, done)
        return done.stdout

    assert account in administer("list users")
    assert administer("create user 'new@example.org' 'another passphrase'").startswith("Create user: new@example.org")
    assert "new@example.org" in administer("show user 'new@example.org'")
    assert "turn off." in administer("alter user active 'new@example.org' off")
    assert "Listing all datasets of user" in administer(f"list datasets of '{account}'")
    assert "Generating API key" in administer(f"generate key for user '{account}'")
    assert "Listing API keys" in administer(f"list keys of '{account}'")
    assert "Drop user: new@example.org" in administer("drop user 'new@example.org'")
    assert "|" in administer("list services")
    assert "version" in administer("show version")
