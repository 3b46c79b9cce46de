"""The run: peers made ready, every server started, asked in turns, and its memory read."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from models.files import read_json
from models.version import BUNDLE
from serving.champion import folder_of, key_path, pointer_path, read_key, read_pointer
from serving.layouts import Layouts, layouts_path
from tests.bench import load
from tests.bench.homes import sold_homes
from tests.bench.load import Cell
from tests.bench.peers.forest import MERGED, PLACE, REACH, SPREAD, merged
from tests.bench.processes import Memory, Running, memory, started
from tests.bench.servers import CASES, OURS, SERVERS, Case, Questions, command

CONNECTIONS = (1, 16, 64)
#: More than any server answers a second to questions that must not be asked twice.
FASTEST = 6000


@dataclass(frozen=True)
class Reading:
    """One cell in one round: answers a second, latencies in seconds, and how busy the generator was."""

    rate: float
    p50: float
    p95: float
    p99: float
    busy: float
    failed: int


@dataclass
class Figures:
    """All that was measured.

    Attributes:
        readings: case -> connections -> one a round.
        starts: server -> seconds from spawn to the first answer, of each start.
        memory: server -> of each process, the largest first.
        ceiling: requests a second that the generator itself can make, by connections.
        inside: what `inside.py` tells.
    """

    readings: dict[str, dict[int, list[Reading]]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[Memory]] = field(default_factory=dict)
    inside: dict[str, Any] = field(default_factory=dict)

    def of(self, case: str, connections: int, what: str) -> list[float]:
        """One figure of a cell, round by round."""
        return [getattr(reading, what) for reading in self.readings[case][connections]]

    @property
    def failed(self) -> dict[str, int]:
        """Case -> requests that were not answered with 200."""
        found = {
            case: sum(reading.failed for told in cells.values() for reading in told)
            for case, cells in self.readings.items()
        }
        return {case: failed for case, failed in found.items() if failed}


def measure(place: Path, rounds: int, seconds: float, quick: bool) -> Figures:
    """Everything, with a line on stderr for each step.

    Args:
        place: a folder to work in.
        seconds: of each cell in each round.
    """
    pointer = read_pointer(pointer_path())
    champion = Layouts(layouts_path()).load(pointer, read_key(key_path()))
    _say("the peers' forests")
    _lay_forests(folder_of(pointer.tag) / BUNDLE, place)
    _say("in process")
    figures = Figures(inside=_inside(place, quick))
    questions = Questions(sold_homes(champion.valuer))
    del champion
    for _ in range(1 if quick else 4):
        with _server(OURS, place, questions) as ours:
            figures.starts.setdefault(OURS, []).append(ours.start)
    with ExitStack() as stack, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as generator:
        running = {}
        for server in SERVERS:
            _say(f"starting {server}")
            running[server] = stack.enter_context(_server(server, place, questions))
            figures.starts.setdefault(server, []).append(running[server].start)
        for turn in range(rounds + 1):  # the first warms up
            for connections in CONNECTIONS:
                _say(f"round {turn} of {rounds}, {connections} connections" if turn else "warming up")
                for case in CASES:
                    port = running[case.server].port
                    reading = _reading(generator, questions, case, port, connections, seconds if turn else 0.5)
                    if turn:
                        figures.readings.setdefault(case.key, {}).setdefault(connections, []).append(reading)
        figures.memory = {server: _memory(process) for server, process in running.items()}
    return figures


def _reading(
    generator: ProcessPoolExecutor, questions: Questions, case: Case, port: int, connections: int, seconds: float
) -> Reading:
    asked, again = questions.of(case.key, int(FASTEST * seconds)), questions.again(case.key)
    told = generator.submit(load.run, Cell(port, asked, connections, seconds, again)).result()
    points = statistics.quantiles(told.latency, n=100, method="inclusive") if len(told.latency) > 1 else [seconds] * 99
    return Reading(told.rate, points[49], points[94], points[98], told.busy, told.failed)


@contextmanager
def _server(server: str, place: Path, questions: Questions) -> Iterator[Running]:
    case = next(case for case in CASES if case.server == server)
    env = os.environ | {PLACE: str(place / "forests"), "PYTHONPATH": str(Path.cwd())}
    with started(command(server, place), questions.first(case.key), place / f"{server}.log", env) as running:
        yield running


def _memory(running: Running) -> list[Memory]:
    return sorted((memory(pid) for pid in running.pids), key=lambda told: -told.uss)


def _lay_forests(bundle: Path, place: Path) -> None:
    """The champion's forests: for FastAPI and BentoML as files, for MLflow as a model, and all trees in one Booster."""
    import mlflow.pyfunc  # seconds, which no other part of the run needs

    forests = sorted(bundle.glob("forest_*.txt"))
    lain = place / "forests"
    lain.mkdir()
    for path in (*forests, bundle / SPREAD):
        shutil.copy(path, lain)
    np.savetxt(lain / REACH, read_json(bundle / "valuer.json")["reach"], fmt="%.17g")
    (place / MERGED).write_text(merged([path.read_text() for path in forests]))
    code = Path(__file__).parent / "peers" / "mlflow_forest.py"
    artifacts = {"forests": str(lain)}
    mlflow.pyfunc.save_model(place / "mlflow", python_model=code, artifacts=artifacts, pip_requirements=["lightgbm"])


def _inside(place: Path, quick: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.inside", str(place), "quick" if quick else "full"]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(told.stdout))


def _say(step: str) -> None:
    print(f"  {step}", file=sys.stderr, flush=True)
