"""A whole installation: everything that one command starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.e2e.processes import children_of

ROOT = Path(__file__).parents[2]
LAST_LINE = "Ctrl-C stops everything."


class Installation:
    """`manage.py up` with a data folder of its own, on a free port, started from another folder."""

    def __init__(self, data: Path, *options: str) -> None:
        self.environment = os.environ | {"RAGFLOW_DATA_DIR": str(data), "RAGFLOW_PORT": "0", "RAGFLOW_WORKERS": "1"}
        self.folder = data.parent
        self._log = self.folder / "log"
        with self._log.open("a") as log:
            self.process = self._manage("up", *options, stdout=subprocess.PIPE, stderr=log)
        self.output = list(iter(self._line, LAST_LINE))

    def _manage(self, *arguments, **streams) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, text=True, **streams)

    def _line(self) -> str:
        line = self.process.stdout.readline()
        assert line, self._log.read_text()
        return line.rstrip("\n")

    @property
    def origin(self) -> str:
        return re.search(r"API +(http://\S+?)/api/v1", "\n".join(self.output)).group(1)

    @property
    def children(self) -> dict[str, int]:
        return children_of(self.process.pid)

    def token(self) -> str:
        asking = self._manage("create_token", "--email", "user@example.org", stdout=subprocess.PIPE)
        return asking.communicate()[0].strip()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
