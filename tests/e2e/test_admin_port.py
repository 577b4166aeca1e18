"""The second port, where clients of the contract look for the admin API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.e2e.installation import ROOT, Installation
from tests.e2e.server import running_server

pytestmark = pytest.mark.slow

PASSWORD = "a long enough passphrase"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_command_line_finds_the_admin_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("RAGFLOW_ADMIN_PORT", str(port))
    monkeypatch.setenv("DEFAULT_SUPERUSER_EMAIL", "admin@example.org")
    monkeypatch.setenv("DEFAULT_SUPERUSER_PASSWORD", PASSWORD)
    installation = Installation(tmp_path / "data")
    try:
        options = ["-p", str(port), "-u", "admin@example.org", "-w", PASSWORD, "-c", "list users;"]
        client = subprocess.run(
            [sys.executable, "-m", "ragflow.cli", *options], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert client.returncode == 0, client
        assert "| admin@example.org |" in client.stdout
        for origin in (installation.origin, f"http://127.0.0.1:{port}"):
            assert httpx2.get(f"{origin}/api/v1/admin/ping").json()["data"] == "PONG"
            assert httpx2.get(f"{origin}/v1/system/ping").text == "pong"
        assert installation.stop() == 0
    finally:
        installation.close()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}")


def test_a_port_that_is_taken_stops_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        with running_server(tmp_path, RAGFLOW_ADMIN_PORT=taken) as server:
            assert httpx2.get(f"{server.url}/api/v1/admin/ping").json()["data"] == "PONG"


@pytest.mark.parametrize(("given", "found"), [("", "9381"), ("9380", "9381"), ("8000", "0"), ("0", "0")])
def test_the_default_belongs_to_the_default_port(given: str, found: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAGFLOW_ADMIN_PORT"}
    command = [sys.executable, "-c", "from ragflow.settings.paths import ADMIN_PORT; print(ADMIN_PORT)"]
    environment |= {"RAGFLOW_PORT": given}
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == found
