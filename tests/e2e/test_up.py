"""One command brings everything up, and down."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import httpx2
import pytest

from tests.e2e.installation import ROOT, Installation
from tests.e2e.processes import is_running, until

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*options: str) -> Installation:
        started.append(Installation(tmp_path / "data", *options))
        return started[-1]

    yield run
    for installation in started:
        installation.close()


def test_the_first_start_gives_what_is_needed_and_the_second_makes_nothing_again(start):
    installation = start("--demo")
    assert "Shown this once:" in installation.output
    assert httpx2.get(f"{installation.origin}/v1/system/ping").text == "pong"
    assert_examples_work(installation)
    family = installation.children.values()
    assert installation.stop() == 0
    assert not any(map(is_running, family))

    again = start("--demo")
    assert "Shown this once:" not in again.output
    assert not any("ragflow-" in line for line in again.output)
    assert httpx2.get(f"{again.origin}/v1/system/ping").text == "pong"
    assert again.stop() == 0


def assert_examples_work(installation: Installation) -> None:
    program = installation.output[installation.output.index("from openai import OpenAI") :][:5]
    answer = subprocess.run([sys.executable, "-c", "\n".join(program)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "[ID:0]" in answer.stdout  # it cites
    if shutil.which("curl"):
        command = next(line for line in installation.output if line.startswith("curl "))
        found = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert '"code":0' in found.stdout
        assert '"similarity"' in found.stdout


def test_a_killed_supervisor_leaves_nothing_behind(start):
    installation = start()
    family = list(installation.children.values())
    assert len(family) == 3  # web server, worker and the one that outlives

    installation.process.kill()

    until(lambda: not any(map(is_running, family)))


def test_work_goes_on_after_a_worker_was_killed(start):
    installation = start()
    url = f"{installation.origin}/api/v1"
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {installation.token()}"}) as client:
        dataset = client.post("/datasets", json={"name": "Space"}).json()["data"]["id"]
        files = {"file": ("mars.txt", b"Mars has two moons, Phobos and Deimos.")}
        document = client.post(f"/datasets/{dataset}/documents", files=files).json()["data"][0]["id"]

        os.kill(installation.children["ragflow.worker"], signal.SIGKILL)
        client.post(f"/datasets/{dataset}/chunks", json={"document_ids": [document]})

        until(lambda: client.get(f"/datasets/{dataset}/documents").json()["data"]["docs"][0]["run"] == "DONE")
        found = client.post("/retrieval", json={"question": "How many moons has Mars?", "dataset_ids": [dataset]})
        assert "Phobos" in found.json()["data"]["chunks"][0]["content"]


def test_a_port_in_use_is_told_at_once(start, tmp_path):
    running = start()
    environment = running.environment | {"RAGFLOW_PORT": running.origin.rpartition(":")[2]}
    command = [sys.executable, str(ROOT / "manage.py"), "up"]

    second = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert second.returncode == 1
    assert "Cannot listen on" in second.stderr
    assert "Traceback" not in second.stderr
