"""A whole installation of its own for a benchmark: `manage.py up` in a temporary folder, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

ROOT = Path(__file__).parents[1]
READY_SECONDS = 120.0


class Installation:
    """Web process and worker under their supervisor, for the time of a `with` block."""

    def __init__(self, folder: Path, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.headers: dict[str, str] = {}
        self._environment = os.environ | {
            "RAGFLOW_DATA_DIR": str(folder),
            "RAGFLOW_HOST": "127.0.0.1",
            "RAGFLOW_PORT": str(port),
            **variables,
        }
        self._log = folder / "up.log"

    def __enter__(self) -> Self:
        folder = self._log.parent
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        self._wait_until_ready()
        self.start_seconds = time.monotonic() - started
        token = self.manage("create_token", "--email", "benchmark@example.org").strip()
        self.headers = {"Authorization": f"Bearer {token}"}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._process.pid

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self._environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if httpx2.get(f"{self.url}/v1/system/ping", timeout=2).text == "pong":
                    return
            except httpx2.HTTPError:
                time.sleep(0.05)
        self._process.kill()
        raise RuntimeError(f"The installation did not start:\n{self._log.read_text()}")
