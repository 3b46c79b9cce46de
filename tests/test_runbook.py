"""The runbook, tried: troubles of a running server are told by the lines that its paragraphs are about, and end as
these say. Those of journal, keys, collector and metrics are provoked beside the tests of each."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from models.files import read_json, write_json
from tests.served import HOME, ROOT, Server, copied, environment, free_port, supervised, until

ALERTS = (ROOT / "docs/runbook.md").read_text("utf-8").split("## Alerts")[1]
#: The server with the patience of a test.
IMPATIENT = """
import sys
from serving import server, supervisor
supervisor.SILENT_SECONDS, supervisor.STOP_SECONDS = 4.0, 2.0
sys.exit(server.main())
"""


@pytest.fixture
def home(place: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with the promoted model."""
    copied(place, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with supervised(place, environment(place), "--workers", "1") as server:
        yield server


def ready(admin: int) -> set[int]:
    """The workers that answer."""
    told: dict[str, Any] = requests.get(f"http://127.0.0.1:{admin}/admin/status", timeout=10).json()
    return {worker["pid"] for worker in told["workers"] if worker["ready"]}


def serving(server: Server) -> set[int]:
    """The workers that have said which model they serve."""
    return {line["pid"] for line in server.lines("model-serving")}


def samples(server: Server) -> dict[str, float]:
    told = (line.rsplit(" ", 1) for line in server.get("/metrics").text.splitlines() if line[0] != "#")
    return {name: float(value) for name, value in told}


def test_alerts_ask_for_what_a_well_server_tells(server: Server):
    """So a first failure is an increase, and no alert waits for a series that never comes."""
    assert server.post("/value", {"home": HOME}).status_code == 200
    there = samples(server)
    told = [
        (name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")))
        for name, labels in re.findall(r"\b(assay_\w+)(?:\{(.*?)\})?", ALERTS)
    ]
    assert len(told) > 15
    for name, labels in told:
        assert any(
            one.split("{")[0] == name and all(f'{label}="{value}"' in one for label, value in labels.items())
            for one in there
        ), (name, labels)


def test_a_pointer_that_is_lost_or_odd_stops_no_model_that_serves_and_is_mended_without_a_restart(home: Path):
    admin, pointer = free_port(), home / "champion.json"
    right = read_json(pointer)
    with supervised(home, environment(home), "--workers", "2", "--admin-port", str(admin)) as server:
        until(lambda: len(ready(admin) & serving(server)) == 2)
        pointer.unlink()
        until(lambda: {line["pid"] for line in server.lines("swap-refused")} == serving(server))
        assert all(line["serving"] == right["digest"] for line in server.lines("swap-refused"))
        assert server.get("/readyz").status_code == 200
        killed = min(serving(server))
        os.kill(killed, signal.SIGKILL)
        until(lambda: bool(server.lines("no-champion")))
        (line,) = server.lines("no-champion")
        assert line["pid"] not in serving(server)
        assert "champion.json does not exist" in line["why"]
        write_json(pointer, right)
        until(lambda: line["pid"] in serving(server))
        write_json(pointer, right | {"digest": "\0"})  # nobody thought of it
        until(lambda: {told["pid"] for told in server.lines("look-failed")} == serving(server) - {killed})
        assert "null byte" in server.lines("look-failed")[0]["trace"]
        assert server.get("/readyz").status_code == 200
        write_json(pointer, right)
        assert len(server.lines("look-failed")) == 2, "a line for each of five looks a second"


def test_workers_that_end_as_they_start_are_started_until_what_is_wrong_is_mended(home: Path):
    admin, needed = free_port(), home / "bentoml.yaml"
    needed.write_text("{}")
    env = environment(home) | {"BENTOML_CONFIG": str(needed)}
    with supervised(home, env, "--workers", "2", "--admin-port", str(admin)) as server:
        until(lambda: len(ready(admin)) == 2)
        needed.unlink()
        killed, other = ready(admin)
        os.kill(killed, signal.SIGKILL)
        until(lambda: bool(server.lines("crash-loop")))
        ends = server.lines("worker-ended")
        assert (ends[0]["pid"], ends[0]["status"]) == (killed, -9)
        assert {line["status"] for line in ends[1:]} == {1}
        assert "bentoml.yaml" in server.log.read_text()
        assert ready(admin) == {other}
        assert samples(server)["assay_workers"] == 1
        needed.write_text("{}")
        until(lambda: len(ready(admin)) == 2)


def test_a_worker_that_hangs_is_replaced_and_killed_at_the_end(home: Path):
    (home / "impatient.py").write_text(IMPATIENT)
    admin, options = free_port(), ("--workers", "1", "--admin-port")
    with supervised(home, environment(home), *options, str(admin), module="impatient") as server:
        until(lambda: bool(ready(admin)))
        (first,) = ready(admin)
        os.kill(first, signal.SIGSTOP)
        until(lambda: bool(ready(admin) - {first}))
        assert [line["pid"] for line in server.lines("worker-silent")] == [first]
        (second,) = ready(admin)
        os.kill(second, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert [line["pid"] for line in server.lines("worker-late")] == [second]


def test_more_work_than_slots_is_refused_told_once_and_by_caller(server: Server):
    homes = [HOME | {"living_area": 30 + number / 5} for number in range(1000)]
    with ThreadPoolExecutor(14) as callers:
        asked = [callers.submit(server.post, "/value_batch?fields=value", {"homes": homes}) for _ in range(14)]
    told = [one.result() for one in asked]
    assert {response.status_code for response in told} == {200, 503}
    assert all(int(response.headers["retry-after"]) >= 1 for response in told if response.status_code == 503)
    assert len(server.lines("slots-exhausted")) == 1
    assert {line["caller"] for line in server.lines("request-refused") if line["problem"] == "busy"} == {"127.0.0.1"}
    assert samples(server)['assay_refusals_total{problem="busy"}'] == sum(r.status_code == 503 for r in told)
