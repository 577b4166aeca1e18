"""The supervisor, with small programs in the place of the web server and the worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.processes import DEADLINE, is_running, until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

LAUNCHER = """
import json, os, sys
from ragflow.supervisor import Plan
Plan(**json.loads(sys.argv[1])).execute(dict(os.environ))
"""

# Each notes its process id in a file and, once noted, is up.
NOTE = """
import os, pathlib, signal, socket, subprocess, sys, time
note = pathlib.Path(sys.argv[1])
note.write_text(str(os.getpid()))
"""
SLEEPER = NOTE + "time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
PARENT = (
    f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-Sc', {SLEEPER!r}, sys.argv[1] + '.child'])\n"
    + SLEEPER
)
SERVER = (
    NOTE
    + """
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\npong")
    connection.close()
"""
)


class Supervised:
    """A supervisor of a server that answers ping and of one other program."""

    def __init__(self, folder: Path, *, worker: str = SLEEPER, server: str = SERVER) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        plan = {
            "commands": {
                "web server": [sys.executable, "-Sc", server, str(folder / "server"), str(port)],
                "worker": [sys.executable, "-Sc", worker, str(folder / "worker")],
            },
            "host": "127.0.0.1",
            "port": port,
            "host_header": "localhost",
            "banner": "READY",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, json.dumps(plan)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout.readline() == "READY\n"

    def pid(self, name: str, *, other_than: int = 0) -> int:
        """Return the process id that a program noted, waiting for it."""
        return until(lambda: (found := self._noted(name)) != other_than and found)

    def _noted(self, name: str) -> int:
        with suppress(OSError, ValueError):
            return int((self.folder / name).read_text())
        return 0

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def supervise(tmp_path):
    started = []

    def start(**programs):
        started.append(Supervised(tmp_path, **programs))
        return started[-1]

    yield start
    for supervised in started:
        supervised.close()


def test_an_interrupt_stops_everything_with_status_0(supervise):
    supervised = supervise()
    supervised.wait_until_ready()
    children = [supervised.pid("server"), supervised.pid("worker")]

    supervised.process.send_signal(signal.SIGINT)

    assert supervised.process.wait(DEADLINE) == 0
    assert not any(map(is_running, children))


def test_a_killed_supervisor_takes_its_children_and_theirs_along(supervise):
    supervised = supervise(worker=PARENT)
    supervised.wait_until_ready()
    family = [supervised.pid(name) for name in ("server", "worker", "worker.child")]

    supervised.process.kill()

    until(lambda: not any(map(is_running, family)))


def test_a_child_that_ends_is_started_again_without_what_it_left_behind(supervise):
    supervised = supervise(worker=PARENT)
    supervised.wait_until_ready()
    first, left_behind = supervised.pid("worker"), supervised.pid("worker.child")

    os.kill(first, signal.SIGKILL)

    assert is_running(supervised.pid("worker", other_than=first))
    until(lambda: not is_running(left_behind))
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(DEADLINE) == 0
    assert "the worker was ended by SIGKILL" in supervised.process.stderr.read()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_goes_on_when_what_guards_it_is_killed(supervise):
    supervised = supervise()
    supervised.wait_until_ready()
    programs = {supervised.pid("server"), first := supervised.pid("worker")}
    pid = supervised.process.pid
    (guard,) = {*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())} - programs
    os.kill(guard, signal.SIGKILL)

    os.kill(first, signal.SIGKILL)

    assert is_running(supervised.pid("worker", other_than=first))
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(DEADLINE) == 0


def test_its_lines_are_like_those_of_the_children(supervise, monkeypatch):
    monkeypatch.setenv("RAGFLOW_LOG_FORMAT", "json")
    supervised = supervise()
    supervised.wait_until_ready()
    first = supervised.pid("worker")
    os.kill(first, signal.SIGKILL)
    supervised.pid("worker", other_than=first)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(DEADLINE) == 0
    (line,) = map(json.loads, supervised.process.stderr.read().splitlines())
    assert (line["level"], line["message"]) == ("warning", "the worker was ended by SIGKILL")


def test_a_second_interrupt_kills_what_does_not_want_to_stop(supervise):
    supervised = supervise(worker=STUBBORN)
    supervised.wait_until_ready()
    stubborn, server = supervised.pid("worker"), supervised.pid("server")

    supervised.process.send_signal(signal.SIGINT)
    until(lambda: not is_running(server))  # the first signal has been passed on
    assert is_running(stubborn)
    supervised.process.send_signal(signal.SIGINT)

    assert supervised.process.wait(DEADLINE) == 0
    assert not is_running(stubborn)


def test_a_start_that_fails_ends_with_status_1_and_stops_the_rest(supervise):
    supervised = supervise(
        server=NOTE + "while not note.with_name('worker').exists(): time.sleep(0.01)\nsys.exit(3)",
    )

    output, errors = supervised.process.communicate(timeout=DEADLINE)

    assert supervised.process.returncode == 1
    assert output == ""
    assert "the web server stopped with status 3" in errors
    assert not is_running(supervised.pid("worker"))
