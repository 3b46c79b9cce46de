"""`python -m tests.bench.inside FOLDER QUICK`: what costs how much without a server, in a process of its own.

Prints JSON: seconds of one prediction and one explanation, ours and LightGBM's, and homes a second in batch.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from models.valuer import Valuer
from serving.champion import key_path, pointer_path, read_key, read_pointer
from serving.layouts import Layouts, layouts_path
from tests.bench.homes import sold_homes
from tests.bench.peers.forest import MERGED

#: Homes of a batch.
BATCH, QUICK_BATCH = 100_000, 4_000


def main(place: Path, quick: bool) -> None:
    valuer = Layouts(layouts_path()).load(read_pointer(pointer_path()), read_key(key_path())).valuer
    forest = lgb.Booster(model_file=place / MERGED)
    homes = sold_homes(valuer)
    row = homes.rows[:1]
    each = 0.3 if quick else 2.0
    told: dict[str, Any] = {
        "predict": _in_turns(
            each, booster=lambda: forest.predict(row, num_threads=1), bag=lambda: valuer.bag.predict(row)
        ),
        "reasons": _in_turns(
            each,
            booster=lambda: forest.predict(row, num_threads=1, pred_contrib=True),
            bag=lambda: valuer.bag.contributions(row),
        ),
        "batch": _batch(valuer, forest, homes.many(QUICK_BATCH if quick else BATCH), homes.rows),
    }
    json.dump(told, sys.stdout)


def _in_turns(seconds: float, **ways: Callable[[], Any]) -> dict[str, list[float]]:
    """The median seconds of each way in each of five rounds, the ways taking turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            way()
            taken: list[float] = []
            until = time.perf_counter() + seconds / 5
            while not taken or time.perf_counter() < until:
                begin = time.perf_counter()
                way()
                taken.append(time.perf_counter() - begin)
            found[name].append(statistics.median(taken))
    return found


def _batch(valuer: Valuer, forest: lgb.Booster, homes: list[dict[str, Any]], rows: np.ndarray) -> dict[str, float]:
    """Homes a second: ours from facts to values and ranges, LightGBM's from ready features to bare numbers.

    Both use the threads that they choose; LightGBM's half comes before ours and half after.
    """
    matrix = np.resize(rows, (len(homes), rows.shape[1]))
    halves = np.array_split(matrix, 2)

    def ours() -> None:
        view = valuer.view(valuer.columns(homes), valuer.current_day)
        valuer.told(view)
        valuer.ranges(view)

    valuer.view(valuer.columns(homes[:500]), valuer.current_day)
    before = _taken(lambda: forest.predict(halves[0]))
    taken = _taken(ours)
    after = _taken(lambda: forest.predict(halves[1]))
    return {"homes": len(homes), "booster": len(homes) / (before + after), "ours": len(homes) / taken}


def _taken(way: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "quick")
