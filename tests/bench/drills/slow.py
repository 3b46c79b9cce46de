"""Callers who mean no good, or too well: slow heads, huge bodies, three times what the server can do.

Beside them a few healthy callers, with a key of their own, go on asking; their p99 is what is judged.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from serving.caching import MOST_BYTES
from tests.bench import load
from tests.bench.drills.attacks import Refusals, huge, overload, slowloris
from tests.bench.drills.ground import WORKERS, Finding, Ground, fresh, serving, workers_of
from tests.bench.drills.pressure import Pressure
from tests.bench.load import Cell, Load
from tests.bench.processes import Running, own_memory
from tests.served import ROOT, environment

#: Connections of the healthy, and seconds between two requests of each.
HEALTHY, PACE = 4, 0.05
#: Connections of the greedy, and by how much they ask for more than there is.
GREEDY, TIMES = 512, 3
#: Seconds after its first byte by which a slow head is cut, and that a refusal may take at p99: the server's own rest
#: for whoever asks again at once is a part of it.
CUT, QUICK = 11.0, 0.25
#: MiB that the workers' memory may grow by, beside what their caches may take, and what p99 may be over that of before.
FLAT, WORSE = 32.0, 2.0
_MIB = 1 << 20
_CACHES = WORKERS * MOST_BYTES / _MIB


def slow(ground: Ground, sockets: int, bodies: int, seconds: float) -> list[Finding]:
    """`sockets` slow heads, `bodies` of 200 MiB over and over, and `seconds` of three times the capacity."""
    healthy, greedy = (f"X-API-Key: {_new_key(ground.place, name)}" for name in ("healthy", "greedy"))
    asked, many = fresh(healthy, first=1_000_000), list(islice(fresh(greedy), 20_000))
    with (
        serving(ground.place, first=next(asked)) as server,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart,
    ):
        most = apart.submit(load.run, Cell(server.port, many, 16, min(seconds, 5.0))).result().rate
        beside = Beside(server, apart, asked)
        found = beside.learn(min(seconds, 10.0))
        found += beside.judge("slow heads", {0, 408}, CUT, slowloris, server.port, sockets)
        found += beside.judge("huge bodies", {413}, QUICK, huge, server.port, bodies, greedy, min(seconds, 10.0))
        cell = Cell(server.port, many, GREEDY, seconds, pace=GREEDY / (TIMES * most))
        found += beside.judge(f"{TIMES} × {most:,.0f} requests a second", {200, 503}, QUICK, overload, cell)
    keys_of(ground.place).unlink()
    return found


class Beside:
    """The healthy callers beside an attack: what it does to them, and to the server's memory."""

    def __init__(self, server: Running, apart: ProcessPoolExecutor, asked: Iterator[bytes]) -> None:
        self.server, self.apart = server, apart
        self.cell = Cell(server.port, asked, HEALTHY, seconds=24 * 3600, again=False, pace=PACE)
        self.normal = 0.0

    def learn(self, seconds: float) -> list[Finding]:
        """How it goes without an attack."""
        told, _ = self._during(self.apart.submit(time.sleep, seconds))
        self.normal = told.point(99)
        return [Finding("healthy callers alone", told.says(), told.failed == 0)]

    def judge(
        self, name: str, right: set[int], quick: float, attack: Callable[..., Refusals], *how: Any
    ) -> list[Finding]:
        """What is found of an attack.

        Args:
            right: statuses that it is to be answered with; 0 is being cut without a word.
            quick: seconds within which it is to be refused.
        """
        before = self._memory()
        attacking = self.apart.submit(attack, *how)
        told, most = self._during(attacking)
        refusals = attacking.result()
        worse, last = told.point(99) / self.normal, refusals.point(99)
        statuses = +refusals.statuses
        answered = ", ".join(f"{count:,} × {status or 'cut'}" for status, count in sorted(statuses.items()))
        well = not refusals.malformed and set(statuses) <= right
        return [
            Finding(f"{name}: answered as it should be", f"{answered}; {refusals.malformed} malformed", well),
            Finding(f"{name}: healthy callers are answered", f"{told.failures} of {told.asked} not", told.failed == 0),
            Finding(
                f"{name}: their p99 at most {WORSE:g} × normal", f"{worse:.2f} ×; {told.says()}", worse <= WORSE, True
            ),
            Finding(f"{name}: refused within {quick:g} s", f"p99 {last:.3f} s", last <= quick, True),
            Finding(f"{name}: memory flat", f"{before:.0f} + {most - before:.1f} MiB", most - before <= FLAT + _CACHES),
        ]

    def _during(self, attacking: Future[Any]) -> tuple[Load, float]:
        """What the healthy were told while it went on, and the workers' memory at most, in MiB."""
        most = 0.0
        with Pressure(self.cell) as pressure:
            while not attacking.done():
                time.sleep(0.2)
                most = max(most, self._memory())
        return pressure.load, most

    def _memory(self) -> float:
        """MiB of all workers together, beside the files that they share."""
        return sum(map(own_memory, workers_of(self.server))) / _MIB


def keys_of(place: Path) -> Path:
    return place / ".assay" / "api_keys.json"


def _new_key(place: Path, name: str) -> str:
    """The secret of a new key that may ask as often as any."""
    command = [sys.executable, "-m", "serving.keys", "new", name, "--per-minute", "1000000"]
    env = environment(place) | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=True)
    return told.stdout.split()[-1]
