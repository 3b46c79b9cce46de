"""Metrics of several processes, told by one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from serving import metrics
from serving.metrics_folder import prepare
from tests.served import ROOT

#: Does what each line of its standard input says, and tells the page's lines after the last.
WORKER = """
import sys
from serving import metrics
for line in sys.stdin:
    if line == "page\\n":
        told = metrics.metrics_page()[0].decode().splitlines()
        print(*(sample for sample in told if sample[0] != "#"), "end", sep="\\n", flush=True)
    else:
        exec(line)
"""


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._in, self._out = process, process.stdin, process.stdout

    def do(self, line: str) -> None:
        print(line, file=self._in, flush=True)

    def page(self) -> dict[str, float]:
        self.do("page")
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in iter(self._line, "end")}

    def _line(self) -> str:
        return self._out.readline().rstrip("\n")


@contextmanager
def worker(env: dict[str, str]) -> Iterator[Worker]:
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def test_workers_add_up_and_one_that_is_killed_takes_what_it_held_with_it(tmp_path: Path):
    env = prepare(tmp_path / "metrics")
    with ExitStack() as both:
        first, second = (both.enter_context(worker(env)) for _ in range(2))
        for one in (first, second):
            one.do("metrics.begin()")
            one.do("metrics.REQUESTS.labels('/value', '200').inc(3)")
            one.do("metrics.SECONDS.labels('/value').observe(0.004)")
            one.do("metrics.SLOTS_USED['one'].set(2)")
            one.page()
        requests = 'assay_requests_total{route="/value",status="200"}'
        slots = 'assay_slots_used{lane="one"}'
        told = second.page()
        assert (told[requests], told[slots], told["assay_workers"]) == (6, 4, 2)
        assert told['assay_request_seconds_bucket{le="0.005",route="/value"}'] == 2
        assert told['assay_request_seconds_bucket{le="0.003",route="/value"}'] == 0
        assert first.page().keys() == told.keys()
        first.process.kill()
        first.process.wait()
        told = second.page()
        assert (told[requests], told[slots], told["assay_workers"]) == (6, 2, 1)
        assert told["assay_worker_starts_total"] == 2
    assert prepare(tmp_path / "metrics") == env
    assert list((tmp_path / "metrics").iterdir()) == []


def test_a_worker_tells_which_model_serves_and_how_accurate_it_was_in_the_gate(tmp_path: Path):
    old = {"name": "m", "version": "1", "digest": "d1", "memory": "x", "memory_end": "2021-12-31"}
    new = old | {"version": "2", "digest": "d2"}
    with worker(prepare(tmp_path)) as one:
        one.do(f"metrics.model_serves({old}, {{'mdape': 0.08, 'cod': 12.5, 'r2': 0.9}})")
        one.do(f"metrics.model_serves({new}, {{'mdape': 0.07, 'cod': 11.5}})")
        told = one.page()
    serves = 'assay_model{{digest="{digest}",memory="x",memory_end="2021-12-31",name="m",version="{version}"}}'
    assert [told[serves.format(**model)] for model in (old, new)] == [0, 1]
    accuracy = {name: value for name, value in told.items() if name.startswith("assay_accuracy")}
    assert accuracy == {
        'assay_accuracy{figure="mdape",source="holdout"}': 0.07,
        'assay_accuracy{figure="cod",source="holdout"}': 11.5,
    }


@pytest.mark.parametrize("trouble", ["full", "file"])
def test_where_there_is_no_room_for_a_folder_a_worker_tells_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str
):
    """A first write to a mapped file on a full disk would kill the process."""
    env = prepare(tmp_path / "metrics")
    if trouble == "file":
        (tmp_path / "metrics").rmdir()
        (tmp_path / "metrics").write_text("")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" if trouble == "full" else ""
    script = limit + "from serving import metrics; metrics.begin(); print(metrics.metrics_page()[0].decode())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, text=True, capture_output=True, check=True
    )
    assert "assay_workers 1.0" in done.stdout
    assert "metrics-local" in done.stderr
    caplog.clear()
    assert prepare(tmp_path / "metrics") == ({} if trouble == "file" else env)
    assert ("metrics-local" in caplog.text) == (trouble == "file")


def test_in_one_process_no_folder_is_needed():
    metrics.REQUESTS.labels("/model", "200").inc()
    content, kind = metrics.metrics_page()
    assert b'assay_requests_total{route="/model",status="200"}' in content
    assert b'assay_worker_memory_bytes{kind="own"' in content
    assert kind.startswith("text/plain")
