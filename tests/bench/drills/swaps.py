"""Hot swaps under load: no request fails, and every answer is one model's, to the bit."""

from __future__ import annotations

import time
from functools import partial

from tqdm import tqdm

from tests.bench.drills.ground import Finding, Ground, Version, questions, serving, workers_of
from tests.bench.drills.pressure import Pressure
from tests.bench.load import Cell, Load

CONNECTIONS, PACE = 16, 0.08  # 200 requests a second
RATE = 100
#: Seconds in which every worker must have taken a version over.
ADOPTED = 30.0
#: So many answers in a row by the new version: then no worker is left with the old one.
IN_A_ROW = 4 * CONNECTIONS


def swaps(ground: Ground, count: int) -> list[Finding]:
    """`count` swaps between two versions."""
    cell = Cell(0, questions(), CONNECTIONS, seconds=3600, pace=PACE, keep=True)
    with serving(ground.place) as server:
        pids, missed, taken = workers_of(server), 0, []
        with Pressure(cell.at(server.port)) as pressure:
            for number in tqdm(range(1, count + 1), desc="swaps"):
                version = ground.versions[number % 2]
                ground.point(version)
                begin = time.monotonic()
                missed += not pressure.wait_for(partial(_serves, version), ADOPTED)
                taken.append(time.monotonic() - begin)
        died = pids != workers_of(server)
    ground.point(ground.versions[0])
    told = pressure.load
    wrong = ground.wrong(told.answers)
    return [
        Finding(f"{count} swaps, each taken over by all workers", f"{missed} were not", missed == 0),
        Finding("every request is answered with 200", f"{told.failures} of {told.asked:,} were not", told.failed == 0),
        Finding("every answer is, to the bit, the one of the model that it names", f"{wrong} are not", wrong == 0),
        Finding("no worker ended", f"{len(pids)} at work", not died),
        Finding(f"at least {RATE} requests a second", f"{told.rate:.0f}", told.rate >= RATE, timed=True),
        Finding("how it went", f"{told.says()}; a swap took {max(taken):.1f} s at most", True),
    ]


def _serves(version: Version, load: Load) -> bool:
    """Whether the last answers are all of that version."""
    last = load.answers[-IN_A_ROW:]
    return len(last) == IN_A_ROW and all(body == version.answers[asked] for asked, _, body in last)
