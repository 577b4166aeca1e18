"""Runs the web server and the worker as children, and makes sure that they end with it.

`manage.py up` prepares everything with Django and then replaces itself by this program, which is plain standard library
and small. What to run comes as JSON on an inherited file descriptor, because it may hold a fresh token.

Two things keep children from outliving a killed supervisor. On Linux the kernel kills them with it. And a second
process, forked at the start, waits for the end of a pipe that only the supervisor holds; then it kills the process
groups of the children, with whatever they had started themselves.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import FrameType

TICK_SECONDS = 0.2
READY_SECONDS = 120.0
STOP_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0  # a child that ran this long starts its count of failures anew

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Plan:
    commands: dict[str, list[str]]  # by the name of the child
    host: str
    port: int
    host_header: str  # a host name that the web server accepts
    banner: str  # printed when the server answers

    @classmethod
    def read(cls, descriptor: int) -> Plan:
        with os.fdopen(descriptor) as file:
            return cls(**json.load(file))

    def execute(self, environment: dict[str, str]) -> None:
        """Replace this process by a supervisor of the plan."""
        file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it stays open across exec
        json.dump(asdict(self), file)
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        os.execve(sys.executable, [sys.executable, "-m", "ragflow.supervisor", str(file.fileno())], environment)  # noqa: S606


class Child:
    """A program that is to run until the supervisor stops. It leads a process group of its own."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._started_at = self._start_again_at = 0.0

    @property
    def group(self) -> int | None:
        """The id of the running process and of its group."""
        return self._process.pid if self._process else None

    def is_due(self) -> bool:
        return self._process is None and time.monotonic() >= self._start_again_at

    def start(self) -> int:
        """Return the group. Raises OSError if the command cannot be executed."""
        self._started_at = time.monotonic()
        self._plan_next_start()
        self._process = subprocess.Popen(  # noqa: S603
            self._command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_death_follows(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
        )
        return self._process.pid

    def reap(self) -> str | None:
        """Return, once, in words how the process ended; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._process = None
        if time.monotonic() - self._started_at > STABLE_SECONDS:
            self._failures = 0
        self._plan_next_start()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"stopped with status {code}"

    def _plan_next_start(self) -> None:
        """Wait twice as long after each failure."""
        self._start_again_at = time.monotonic() + min(0.25 * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1

    def signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)


class Undertaker:
    """A process that outlives the supervisor for a moment, and kills the groups that it was told of."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        if os.fork() == 0:
            os.close(self._writing)
            os.setsid()  # a Ctrl-C in the terminal is not for this process
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._wait_and_kill(reading)
            os._exit(0)
        os.close(reading)

    def watch(self, group: int) -> None:
        self._tell(b"+%d\n" % group)

    def forget(self, group: int) -> None:
        self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        with suppress(BrokenPipeError):  # somebody killed it; what it guards goes on
            os.write(self._writing, line)

    @staticmethod
    def _wait_and_kill(reading: int) -> None:
        groups: set[int] = set()
        with os.fdopen(reading) as lines:
            for line in lines:  # ends when the supervisor has ended, in whatever way
                (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
        for group in groups:
            kill_group(group)


class Supervisor:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._children = [Child(name, command) for name, command in plan.commands.items()]
        self._undertaker = Undertaker()
        self._stop_requests = 0

    def run(self) -> int:
        """Return the exit status: 0 after a signal to stop, 1 when the installation did not come up."""
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
                signal.signal(number, self._on_stop_signal)
        started_at = time.monotonic()
        ready = False
        while not self._stop_requests:
            ended = self._keep_running()
            if ended and not ready:
                return self._stop(1)
            if not ready and (ready := answers_ping(self._plan)):
                print(self._plan.banner, flush=True)  # noqa: T201
            if not ready and time.monotonic() - started_at > READY_SECONDS:
                _say(f"the server did not answer within {READY_SECONDS:.0f} seconds")
                return self._stop(1)
            time.sleep(TICK_SECONDS)
        return self._stop(0)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _keep_running(self) -> bool:
        """Start what is to run and does not. Return whether something has ended, or could not be started."""
        ended = False
        for child in self._children:
            ended |= self._bury(child)
            if not child.is_due():
                continue
            try:
                self._undertaker.watch(child.start())
            except OSError as error:
                _say(f"the {child.name} cannot be started: {error}")
                return True
        return ended

    def _bury(self, child: Child) -> bool:
        """Return whether the child has ended."""
        group, words = child.group, child.reap()
        if group is None or words is None:
            return False
        kill_group(group)  # what it had started must not run beside its successor
        self._undertaker.forget(group)
        if not self._stop_requests:
            _say(f"the {child.name} {words}")
        return True

    def _stop(self, status: int) -> int:
        """Ask the children to end; kill them when they take too long or a second signal comes."""
        requests = self._stop_requests
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.signal(signal.SIGTERM)
        while any(child.group for child in self._children):
            if time.monotonic() > deadline or self._stop_requests > max(requests, 1):
                for child in self._children:
                    child.signal(signal.SIGKILL)
            time.sleep(TICK_SECONDS / 4)
            for child in self._children:
                self._bury(child)
        return status


def answers_ping(plan: Plan) -> bool:
    request = (
        f"GET /v1/system/ping HTTP/1.1\r\nHost: {plan.host_header}\r\n"
        "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"  # read only where a proxy is expected
    )
    try:
        with socket.create_connection((plan.host, plan.port), timeout=2) as connection:
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200") and b"pong" in answer.partition(b"\r\n\r\n")[2]


def kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # gone; on macOS, about to be
        os.killpg(group, signal.SIGKILL)


def _death_follows(supervisor: int) -> Callable[[], None] | None:
    """Return what a child on Linux runs before its program, so that the kernel kills it when the supervisor dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the call
            os._exit(1)

    return bind


def _say(sentence: str) -> None:
    """Print a line in the form of the children's log (apps.core.logs)."""
    if os.environ.get("RAGFLOW_LOG_FORMAT") == "json":
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "level": "warning", "logger": "ragflow.supervisor", "message": sentence})
    else:
        line = f"{datetime.now(UTC):%H:%M:%S} WARNING ragflow.supervisor [-] {sentence}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(Supervisor(Plan.read(int(sys.argv[1]))).run())
