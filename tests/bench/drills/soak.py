"""Long load and many swaps: what a worker's memory grows by."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

from tqdm import tqdm

from tests.bench.drills.ground import Finding, Ground, fresh, questions, serving, workers_of
from tests.bench.drills.pressure import Pressure
from tests.bench.load import Cell, Load
from tests.bench.processes import memory

#: MiB that a worker may grow by after the first tenth of the requests.
GROWTH = 32.0
_MIB = 1 << 20


def soak(ground: Ground, requests: int, swaps: int) -> list[Finding]:
    """So many requests, half of them asked before, and so many swaps spread over them."""
    wrong, grown = 0, []
    with serving(ground.place) as server:
        pids = workers_of(server)
        cell = Cell(server.port, _mixed(requests), connections=16, seconds=24 * 3600, again=False, keep=True)
        with Pressure(cell) as pressure:
            for number in tqdm(range(1, swaps + 1), desc="soak: swaps"):
                pressure.wait_for(partial(_has, requests * number // (swaps + 1)), 24 * 3600)
                grown.append([memory(pid).rss / _MIB for pid in pids])
                wrong += ground.wrong(_known(ground, pressure))
                ground.point(ground.versions[number % 2])
            pressure.wait_for(partial(_has, requests), 24 * 3600)
        grown.append([memory(pid).rss / _MIB for pid in pids])
        died = pids != workers_of(server)
    ground.point(ground.versions[0])
    wrong += ground.wrong(_known(ground, pressure))
    warm = grown[len(grown) // 10]
    growth = [last - first for first, last in zip(warm, grown[-1], strict=True)]
    told = pressure.load
    return [
        Finding("requests", f"{told.asked:,}; {told.says()}", told.asked == requests),
        Finding("no request failed", f"{told.failures} did", told.failed == 0),
        Finding("no answer to a known question changed", f"{wrong} did", wrong == 0),
        Finding("no worker ended", f"{len(pids)} at work", not died),
        Finding(
            f"each worker grows by at most {GROWTH:g} MiB after the first tenth",
            ", ".join(f"{first:.0f} + {more:.1f} MiB" for first, more in zip(warm, growth, strict=True)),
            max(growth) <= GROWTH,
        ),
    ]


def _mixed(number: int) -> Iterator[bytes]:
    """Every other request is one of a few; the others are about homes that nobody asked about before."""
    few, new, rng = questions(), fresh(), Random(1)
    for turn in range(number):
        yield next(new) if turn % 2 else few[rng.randrange(len(few))]


def _known(ground: Ground, pressure: Pressure) -> list[tuple[bytes, int, bytes]]:
    return [answer for answer in pressure.taken() if answer[0] in ground.versions[0].answers]


def _has(number: int, load: Load) -> bool:
    return len(load.latency) >= number
