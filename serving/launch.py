"""`python -m serving.launch`: the endpoint and the MLflow UI on loopback, until Ctrl-C or SIGTERM.

Starts each as a process of its own with its log in `.assay/logs/`, waits until they answer, then
shows one request that anyone can repeat and the answer it really got.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from serving.example import curl

HOST = "127.0.0.1"
#: Without it MLflow's UI opens on traces of chats rather than on trained models.
UI_PAGE = "/#/experiments?workflowType=machine_learning"
LOGS = Path(".assay/logs")
START_SECONDS = 120
STOP_SECONDS = 15


class LaunchError(RuntimeError):
    """What went wrong and what to do about it, in one text."""


class StopAsked(Exception):
    """Ctrl-C or SIGTERM: not a failure."""


@dataclass(frozen=True)
class Part:
    """A server to start: how, and how to know that it is up. `port_setting` is the Makefile's name for its port."""

    key: str
    name: str
    port: int
    port_setting: str
    alive: str
    command: tuple[str, ...]
    page: str = ""

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return LOGS / f"{self.key}.log"

    def start(self) -> subprocess.Popen[bytes]:
        """The running process, in a group of its own so that Ctrl-C reaches it through us alone."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The registry's server would otherwise phone home, and start a dozen helpers for jobs nobody runs.
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )


def endpoint(port: int, admin_port: int | None) -> Part:
    admin = () if admin_port is None else ("--admin-port", str(admin_port))
    return Part(
        "endpoint", "the endpoint", port, "SERVE_PORT", "/livez", ("serving.server", "--port", str(port), *admin)
    )


def mlflow_ui(port: int, store: str) -> Part:
    command = ("mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1", "--backend-store-uri", store)
    return Part("ui", "the MLflow UI", port, "UI_PORT", "/health", command, UI_PAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.launch", description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="of the endpoint")
    parser.add_argument("--admin-port", type=int, help="of the endpoint's pages for operators")
    parser.add_argument("--ui-port", type=int, default=5000, help="of the MLflow UI")
    parser.add_argument("--only", choices=("endpoint", "ui"), help="start this one alone")
    options = parser.parse_args(arguments)

    store = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    remote = store if urlsplit(store).scheme in ("http", "https") else None
    parts = []
    if options.only != "ui":
        parts.append(endpoint(options.port, options.admin_port))
    if options.only != "endpoint" and remote is None:
        parts.append(mlflow_ui(options.ui_port, store))
    if not parts:
        print(f"The MLflow UI is part of the tracking server: {remote}")
        return 0
    try:
        _check_ports(parts)
        _run(parts, remote)
    except LaunchError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def _on_stop_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    raise StopAsked


def _check_ports(parts: Sequence[Part]) -> None:
    for part in parts:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, part.port)) == 0:
                raise LaunchError(
                    f"Port {part.port} on {HOST}, wanted for {part.name}, is in use. Stop what listens there "
                    f"or choose another port: make serve {part.port_setting}={part.port + 1}"
                )


def _run(parts: Sequence[Part], remote_ui: str | None) -> None:
    running: dict[Part, subprocess.Popen[bytes]] = {}
    try:
        _on_stop_signals(_ask_to_stop)
        print(f"Starting {' and '.join(part.name for part in parts)} ...", flush=True)
        for part in parts:
            running[part] = part.start()
        for part in parts:
            _wait_until_alive(part, running)
        for part in parts:
            print(f"  {part.name + ':':15} {part.address}{part.page}   (log: {part.log})")
        if remote_ui:
            print(f"  the MLflow UI:  {remote_ui}")
        for part in parts:
            if part.key == "endpoint":
                _show_example(part)
        print("\nCtrl-C stops.", flush=True)
        while True:
            _check_running(running)
            time.sleep(0.5)
    except StopAsked:
        print("\nStopping.", flush=True)
    finally:
        _stop(list(running.values()))


def _wait_until_alive(part: Part, running: dict[Part, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _check_running(running)
        if _status(part.address + part.alive) == 200:
            return
        time.sleep(0.2)
    raise LaunchError(f"{part.name} did not answer within {START_SECONDS} s.\n{_last_lines(part.log)}")


def _check_running(running: dict[Part, subprocess.Popen[bytes]]) -> None:
    for part, process in running.items():
        if (code := process.poll()) is not None:
            raise LaunchError(f"{part.name} ended by itself (exit code {code}).\n{_last_lines(part.log)}")


def _status(url: str) -> int | None:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except (URLError, OSError):
        return None


def _last_lines(log: Path, count: int = 15) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()[-count:]
    return "\n".join([f"The last lines of {log}:", *(f"  | {line}" for line in lines)])


def _show_example(part: Part) -> None:
    """Asks the served model's own example of a home and prints question and answer."""
    if _status(part.address + "/readyz") != 200:
        print(f"\nNot ready: {_fetch(part.address + '/model').get('detail', 'no champion is served')}", flush=True)
        return
    body = _fetch(part.address + "/model")["example"]
    print(f"\n{curl(part.address, body)}\n")
    answer = _fetch(part.address + "/value", json.dumps(body))
    print(json.dumps(answer, indent=2, ensure_ascii=False), flush=True)


def _fetch(url: str, body: str | None = None) -> dict[str, Any]:
    """The JSON that answers, also when the status says that something is wrong."""
    data = None if body is None else body.encode()
    request = Request(url, data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=60) as answer:
            text = answer.read()
    except HTTPError as error:
        with error:
            text = error.read()
    except (URLError, OSError) as error:
        raise LaunchError(f"{url} gave no answer: {error}") from error
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise LaunchError(f"{url} answered with something that is not a JSON object: {text[:200]!r}") from error


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks each to end; what is still there after a while is ended with its whole group."""
    _on_stop_signals(signal.SIG_IGN)
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
