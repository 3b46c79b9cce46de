"""`python -m serving.server`: several workers on one port, and what becomes of requests when processes end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from serving.worker import SETTLE_SECONDS
from tests.served import HOME, ROOT, Server, copied, environment, free_port, promote, supervised, train

QUESTION = {"home": HOME}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("promoted")
    promote(train(), place)
    return place


@pytest.fixture
def home(place: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with the promoted model."""
    copied(place, tmp_path / "home")
    return tmp_path / "home"


def ended(home: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself, at once."""
    return subprocess.run(
        [sys.executable, "-m", "serving.server", *options],
        cwd=home,
        env=environment(home) | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        text=True,
        timeout=10,
    )


def status(admin: int) -> dict[str, Any]:
    return dict(requests.get(f"http://127.0.0.1:{admin}/admin/status", timeout=10).json())


def pids(admin: int) -> list[int]:
    return [worker["pid"] for worker in status(admin)["workers"] if worker["ready"]]


def wait_for(what: Any, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.05)


@contextmanager
def load(server: Server, callers: int = 4) -> Iterator[list[requests.Response | str]]:
    """Callers who ask on and on, each on one connection for as long as the server lets it, and what came of it. A
    connection that breaks before any answer is tried once more, as every HTTP client may for what changes nothing."""
    told: list[requests.Response | str] = []
    stop = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                for attempt in (1, 2):
                    try:
                        told.append(session.post(server.url + "/value", json=QUESTION, timeout=10))
                        break
                    except requests.ConnectionError as error:
                        if attempt == 2:
                            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_killed_worker_loses_no_answer_and_is_replaced(home: Path) -> None:
    admin = free_port()
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        wait_for(lambda: len(pids(admin)) == 2)
        before = pids(admin)
        with load(server) as told:
            wait_for(lambda: len(told) > 50)
            os.kill(before[0], signal.SIGKILL)
            wait_for(lambda: len(pids(admin)) == 2)
            seen = len(told)
            wait_for(lambda: len(told) > seen + 50)
        assert {str(t) if isinstance(t, str) else t.status_code for t in told} == {200}
        assert len({t.content for t in told if not isinstance(t, str)}) == 1
        assert before[1] in pids(admin)
        assert before[0] not in pids(admin)
        assert status(admin)["restarts"] == 1
        assert f'"event": "worker-ended", "pid": {before[0]}, "status": -9' in server.log.read_text()


def test_callers_are_spread_evenly_over_workers(home: Path) -> None:
    admin = free_port()
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        wait_for(lambda: len(pids(admin)) == 2)
        with ExitStack() as held:
            port = int(server.url.rpartition(":")[2])
            for _ in range(40):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
            wait_for(lambda: sum(worker.get("connections", 0) for worker in status(admin)["workers"]) == 40)
            assert min(worker["connections"] for worker in status(admin)["workers"]) >= 15


def test_a_worker_that_still_waits_for_its_model_leaves_callers_to_the_other(home: Path) -> None:
    """Its layout is gone, and somebody else takes long to make it."""
    admin, layouts = free_port(), home / "layouts"
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        wait_for(lambda: len(pids(admin)) == 2)
        stays, goes = pids(admin)
        with (layouts / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for layout in layouts.iterdir():
                if layout.is_dir():
                    shutil.rmtree(layout)
            os.kill(goes, signal.SIGKILL)
            wait_for(lambda: len(server.lines("worker-started")) == 3)
            time.sleep(SETTLE_SECONDS + 2)
            with load(server, callers=8) as told:
                wait_for(lambda: len(told) > 50)
            assert {str(t) if isinstance(t, str) else t.status_code for t in told} == {200}
            assert pids(admin) == [stays]
        wait_for(lambda: len(pids(admin)) == 2)


def test_all_workers_killed_come_back(home: Path) -> None:
    admin = free_port()
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        wait_for(lambda: len(pids(admin)) == 2)
        before = pids(admin)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert server.post("/value", QUESTION).status_code == 200  # it waited in the socket's queue
        assert not set(before) & set(pids(admin))


@pytest.mark.parametrize("ask_to_end", [[signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM], [signal.SIGINT] * 3])
def test_whoever_is_being_answered_when_it_ends_is_answered(home: Path, ask_to_end: list[signal.Signals]) -> None:
    with supervised(home, environment(home), "--workers", "2") as server:
        with load(server) as told:
            wait_for(lambda: len(told) > 50)
            for number in ask_to_end:
                server.process.send_signal(number)
                time.sleep(0.05)
            assert server.process.wait(10) == 0
        answers = [t for t in told if not isinstance(t, str)]
        for refused in [a for a in answers if a.status_code != 200]:
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:assay:problem:stopping")
            assert int(refused.headers["retry-after"]) >= 1
        assert all("refused" in t for t in told if isinstance(t, str)), "a request was cut off"
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("after", [0.05, 0.3, 1.0])
def test_ctrl_c_while_it_starts_ends_it_cleanly(home: Path, after: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.server", "--port", "0", "--workers", "1"],
        cwd=home,
        env=environment(home) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            time.sleep(after)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=15)
        finally:
            process.kill()
    # Not 0 while Python itself was still starting: then it dies of the signal, or 1 without its site module.
    assert process.returncode in (0, -signal.SIGINT) or "init_import_site" in said
    if process.returncode == 0:
        assert "Traceback" not in said


def test_workers_end_when_their_supervisor_is_killed(home: Path) -> None:
    port, admin = free_port(), free_port()
    with supervised(home, environment(home), "--workers", "1", "--admin-port", str(admin), port=port) as server:
        wait_for(lambda: pids(admin))
        server.process.kill()
        wait_for(lambda: _refuses(port))


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_service_that_cannot_start_ends_the_server_with_the_reason(home: Path) -> None:
    done = ended(home, "--port", str(free_port()), BENTOML_CONFIG=str(home / "nowhere.yaml"))
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stdout + done.stderr
    assert '"event": "start-failed"' in done.stderr


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options in (["--port", port], ["--port", "0", "--admin-port", port]):
            done = ended(home, *options)
            assert done.returncode == 2
            assert f"{options[-2]} is {port}" in done.stderr
            assert "choose another" in done.stderr


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        (["--port", "70000"], {}, "--port is '70000'; allowed is a whole number from 0 to 65535"),
        (["--port", "http"], {}, "--port is 'http'"),
        (["--workers", "0"], {}, "--workers is '0'; allowed is a whole number from 1 to 64"),
        (["--host", "no.such.host.invalid"], {}, "not loopback"),
        ([], {"ASSAY_CHAMPOIN": "x"}, "ASSAY_CHAMPOIN is unknown: did you mean ASSAY_CHAMPION?"),
        ([], {"ASSAY_KEY": "nowhere.pem"}, "ASSAY_KEY is 'nowhere.pem'"),
        ([], {"ASSAY_API_KEYS": "nowhere.json"}, "ASSAY_API_KEYS is 'nowhere.json'"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(
    home: Path, options: list[str], settings: dict[str, str], said: str
) -> None:
    done = ended(home, *options, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options", [["--host", "0.0.0.0"], ["--host", "::"], ["--admin-port", "0", "--admin-host", "0.0.0.0"]]
)
def test_a_public_address_without_keys_is_refused(home: Path, options: list[str]) -> None:
    done = ended(home, *options)
    assert done.returncode == 2
    assert "there are no API keys" in done.stderr
    assert "serving.keys new" in done.stderr


def test_damaged_keys_stop_the_start(home: Path) -> None:
    (home / ".assay" / "api_keys.json").write_text('{"keys": [{"name": "x"}]}')
    done = ended(home)
    assert done.returncode == 2
    assert "api_keys.json can't be read" in done.stderr


def test_the_admin_port_tells_of_all_workers_and_to_nobody_elsewhere(home: Path) -> None:
    admin = free_port()
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        wait_for(lambda: len(pids(admin)) == 2)
        server.post("/value", QUESTION)
        url = f"http://127.0.0.1:{admin}"
        assert requests.get(url + "/metrics", timeout=10).headers["content-type"].startswith("text/plain")
        wait_for(lambda: sum(worker["answered"] for worker in status(admin)["workers"]) > 0)
        for path, method, headers, refused in (
            ("/nothing", "GET", {}, 404),
            ("/metrics", "POST", {}, 405),
            ("/metrics", "GET", {"host": "evil.example"}, 403),
        ):
            response = requests.request(method, url + path, headers=headers, timeout=10)
            assert (response.status_code, json.loads(response.content)["status"]) == (refused, refused)
        assert server.get("/admin/status").status_code == 404
