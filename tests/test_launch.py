"""`python -m serving.launch`, as `make serve` calls it: real servers on loopback ports."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.served import free_port, promote, train

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = [sys.executable, "-m", "serving.launch"]


@contextmanager
def launched(folder: Path, environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """The launcher in a folder of its own, so that database and logs stay there."""
    surroundings = environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*LAUNCH, *options], cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"it ended without saying {wanted!r}:\n{said}")


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_shows_a_request_and_its_real_answer_and_stops_both_servers(tmp_path: Path) -> None:
    port, ui_port = free_port(), free_port()
    environment = promote(train(), tmp_path)
    with launched(tmp_path, environment, "--port", str(port), "--ui-port", str(ui_port)) as process:
        said = read_until(process, "Ctrl-C stops")
        assert requests.get(f"http://127.0.0.1:{ui_port}/health", timeout=10).status_code == 200
        command, answer = re.findall(r"^(curl .*)\n\n(\{.*?^\})$", said, re.MULTILINE | re.DOTALL)[0]
        again = json.loads(subprocess.run(shlex.split(command), capture_output=True, check=True).stdout)
        assert {**again, "id": ""} == {**json.loads(answer), "id": ""}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not listening(port)
    assert not listening(ui_port)


def test_without_a_champion_it_says_what_is_missing(tmp_path: Path) -> None:
    environment = os.environ | {"ASSAY_CHAMPION": str(tmp_path / "champion.json")}
    with launched(tmp_path, environment, "--only", "endpoint", "--port", str(free_port())) as process:
        said = read_until(process, "Ctrl-C stops")
        assert re.search(r"Not ready: .*make repro", said)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_server_that_dies_ends_it_with_the_log(tmp_path: Path) -> None:
    environment = os.environ | {"ASSAY_CHAMPION": str(tmp_path / "champion.json")}
    with launched(tmp_path, environment, "--only", "endpoint", "--port", str(free_port())) as process:
        read_until(process, "Ctrl-C stops")
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        said = read_until(process, "The last lines of")
        assert "the endpoint ended by itself (exit code -9)" in said
        assert process.wait(30) == 1


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*LAUNCH, "--only", "ui", "--ui-port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1, wanted for the MLflow UI, is in use" in done.stderr
    assert f"make serve UI_PORT={port + 1}" in done.stderr
