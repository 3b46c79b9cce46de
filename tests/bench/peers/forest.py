"""The champion's forests as others would serve them: LightGBM's Boosters, each asked where the bag asks it, averaged.

So every peer gives the number that ours gives for the same row. For batches and reasons, which peers don't serve, all
trees in one Booster are LightGBM's fastest form.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import lightgbm as lgb
import numpy as np

from models.forest import aside

MERGED, SPREAD, REACH = "merged.txt", "spread.txt", "reach.txt"
#: Names the folder that holds the forests, the spread and how far aside a forest is asked.
PLACE = "BENCH_FORESTS"
#: How many spreads a range reaches, as a plain service would fix it.
SPREADS = 1.6


class Forest:
    """Read from a folder, as the bench lays it."""

    def __init__(self, place: Path) -> None:
        self.forests = [lgb.Booster(model_file=path) for path in sorted(place.glob("forest_*.txt"))]
        self.spread = lgb.Booster(model_file=place / SPREAD)
        self.aside = aside(len(self.forests), np.loadtxt(place / REACH))

    def value(self, features: Sequence[float | None]) -> float:
        return math.exp(self._log_value(_row(features)))

    def range(self, features: Sequence[float | None]) -> tuple[float, float, float]:
        """Value, low and high."""
        row = _row(features)
        log_value = self._log_value(row)
        reach = SPREADS * float(self.spread.predict(row, num_threads=1)[0])
        return math.exp(log_value), math.exp(log_value - reach), math.exp(log_value + reach)

    def _log_value(self, row: np.ndarray) -> float:
        asked = zip(self.forests, self.aside, strict=True)
        return float(np.mean([forest.predict(row + away, num_threads=1)[0] for forest, away in asked]))


def served() -> Forest:
    """The forests of the folder that `BENCH_FORESTS` names."""
    return Forest(Path(os.environ[PLACE]))


def _row(features: Sequence[float | None]) -> np.ndarray:
    return np.array([features], dtype="float64")  # None becomes NaN


def merged(models: Sequence[str]) -> str:
    """One LightGBM model file with the trees of all, each leaf divided by their number."""
    parts = [re.split(r"^Tree=\d+\n|^end of trees\n", model, flags=re.MULTILINE) for model in models]
    head, *_, tail = parts[0]
    head = re.sub(r"^tree_sizes=.*\n", "", head, flags=re.MULTILINE)  # in bytes, which change
    trees = [tree for _, *trees, _ in parts for tree in trees]
    body = "".join(f"Tree={number}\n{tree}" for number, tree in enumerate(trees))

    def divided(line: re.Match[str]) -> str:
        return "leaf_value=" + " ".join(repr(float(leaf) / len(models)) for leaf in line[1].split())

    return head + re.sub(r"^leaf_value=(.*)$", divided, body, flags=re.MULTILINE) + "end of trees\n" + tail
