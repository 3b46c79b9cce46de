"""Ranges that hold what they promise: conformal prediction on out-of-time errors, scaled home by home.

A forest foretells how large the error of a value will be (the spread); errors of sales that came after
the training, each divided by its spread, then say how many spreads a range must reach down and up for the
next sale to fall inside with the promised probability. The two sides are set apart, and so are cheap and
dear homes: a range is as lopsided as the market, and the promise holds on every floor of it. Normalised
split conformal prediction: Papadopoulos, Gammerman and Vovk (2008); Lei et al. (2018),
doi:10.1080/01621459.2017.1307116.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from models.fault import Fault
from models.kernel.walk import Walk

if TYPE_CHECKING:  # as in models/forest.py
    import lightgbm as lgb

#: The probabilities that ranges are told for.
LEVELS = (0.5, 0.8, 0.9)
#: Months of sales that say how far a range must reach.
WINDOW_MONTHS = 6
#: Tiers of value that are calibrated apart, and the sales that each needs.
MOST_TIERS, FEW_IN_TIER = 5, 300
#: The forest of the spread: few leaves of many sales, for errors are noise and only their size is foretold.
SPREAD: dict[str, Any] = {
    "objective": "huber",
    "alpha": 0.2,
    "learning_rate": 0.05,
    "num_leaves": 12,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.3,
    "lambda_l2": 20.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
SPREAD_ROUNDS = 150
#: No home is foretold an error below this share of the typical one.
LEAST_SPREAD = 0.3
#: As how remote a home counts whose place is not known.
UNPLACED = 1.5
#: An error farther out than this counts as this far: one mislabelled sale must not widen its neighbours' ranges.
LARGEST_ERROR = 0.75


@dataclass(frozen=True)
class Calibration:
    """How far ranges reach, in spreads, told apart by what a home is worth (Mondrian calibration; Vovk et al. 2005).

    Attributes:
        edges: standings at which the next tier begins, ascending, shape (tiers - 1,).
        scores: for each tier log(price / value) over spread of the sales that decide, ascending.
    """

    edges: np.ndarray
    scores: tuple[np.ndarray, ...]
    _bounds: dict[tuple[float, ...], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def bounds(self, levels: tuple[float, ...], standing: np.ndarray) -> np.ndarray:
        """How many spreads down and up the range of each level reaches, shape (n, levels, 2).

        Args:
            standing: log value less the level of the market, shape (n,).
        """
        if levels not in self._bounds:
            self._bounds[levels] = np.array([[score_bounds(s, level) for level in levels] for s in self.scores])
        return self._bounds[levels][self._tier(standing)]

    def chance_within(self, share: float, spread: np.ndarray, standing: np.ndarray) -> np.ndarray:
        """The probability that value / price is off by at most `share`, shape (n,)."""
        low, high = math.log(1 / (1 + share)), math.log(1 / (1 - share))
        chance, tier = np.empty(len(spread)), self._tier(standing)
        for number in set(tier.tolist()):
            scores, rows = self.scores[number], tier == number
            own = spread[rows]
            inside = np.searchsorted(scores, high / own, "right") - np.searchsorted(scores, low / own)
            chance[rows] = inside / len(scores)
        return chance

    def deviation(self, spread: np.ndarray, standing: np.ndarray) -> np.ndarray:
        """FSD, the forecast standard deviation of the error as a share of the value: half of what holds the middle
        68.27 % of scores, as a standard deviation would of a normal error; shape (n,)."""
        low, high = np.exp(self._middles[self._tier(standing)].T * spread)
        return np.asarray((high - low) / 2)

    @cached_property
    def _middles(self) -> np.ndarray:
        """What holds the middle 68.27 % of each tier's scores, shape (tiers, 2)."""
        return np.array([np.quantile(scores, [0.15865, 0.84135]) for scores in self.scores])

    def _tier(self, standing: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.edges, standing, "right")


def calibrate(scores: np.ndarray, standing: np.ndarray) -> Calibration:
    """Tiers of equally many sales, as many as there are enough sales for; both of shape (n,).

    Sales that stand alike are of one tier, so there may be fewer.
    """
    tiers = max(1, min(MOST_TIERS, len(scores) // FEW_IN_TIER))
    ordered = np.sort(standing)
    starts, edges = [0], []
    for wanted in (len(scores) * np.arange(1, tiers)) // tiers:
        edge = ordered[wanted]
        start = int(np.searchsorted(ordered, edge))
        if start - starts[-1] >= FEW_IN_TIER and len(scores) - start >= FEW_IN_TIER:
            starts.append(start)
            edges.append(edge)
    told = Calibration(np.array(edges), (scores,))
    tier = told._tier(standing)
    return Calibration(told.edges, tuple(np.sort(scores[tier == number]) for number in range(len(starts))))


def score_bounds(scores: np.ndarray, level: float) -> tuple[float, float]:
    """The bounds that the next score falls into with probability `level`, each tail with half of what is left.

    With n scores the order statistics floor((n+1)a/2) and ceil((n+1)(1-a/2)), a = 1 - level, make the
    promise finite-sample valid (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005),
    if the next score is exchangeable with these. Ours come from earlier months: that the promise holds
    out of time is measured, not proven.

    Args:
        scores: ascending, shape (n,).

    Raises:
        Fault: when there are too few scores for that level, or one is not finite.
    """
    if not np.isfinite(scores).all():
        raise Fault("a residual is not finite; every calibration sale needs a value and a price")
    tail = (1 - level) / 2  # rounded in every product: 57, not 56.99…, or the order statistics slip by one
    needed = math.ceil(round(1 / tail, 9)) - 1
    if len(scores) < needed:
        raise Fault(f"{len(scores)} residuals are too few for a {level:.0%} range; at least {needed} are needed")
    k = math.floor(round((len(scores) + 1) * tail, 9))
    return min(float(scores[k - 1]), 0.0), max(float(scores[-k]), 0.0)


@dataclass(frozen=True)
class Spread:
    """Foretells the size of a value's error, in log price.

    Attributes:
        forest: LightGBM's or flat; None where there were too few earlier errors to learn from, and every home has the
            typical spread.
        typical: the mean size of the errors that it learnt from.
        farthest: for each number that says how thin the evidence is, its 99th percentile in training; a home
            beyond is out of support, and its spread grows in proportion.
    """

    forest: lgb.Booster | Walk | None
    typical: float
    farthest: Mapping[int, float]

    def of(self, matrix: np.ndarray) -> np.ndarray:
        """Shape (n,)."""
        return np.maximum(self._foretold(matrix), LEAST_SPREAD * self.typical) * self.remoteness(matrix)

    def _foretold(self, matrix: np.ndarray) -> np.ndarray:
        if self.forest is None:
            return np.full(len(matrix), self.typical)
        if isinstance(self.forest, Walk):
            return self.forest.predict(matrix)
        return np.asarray(self.forest.predict(matrix, num_threads=1))

    def remoteness(self, matrix: np.ndarray) -> np.ndarray:
        """1 for a home like those sold; above, how many times farther from them than the farthest hundredth."""
        columns, limits = self._thin
        far = matrix[:, columns] / limits
        return np.where(np.isnan(far), UNPLACED, far).max(axis=1, initial=1.0)

    @cached_property
    def _thin(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns of `farthest` and their limits."""
        return np.array(list(self.farthest), dtype=int), np.array(list(self.farthest.values()))


def fit_spread(
    matrix: np.ndarray, errors: np.ndarray, names: Sequence[str], categorical: Sequence[int], thin: Sequence[int]
) -> Spread:
    """The spread learnt from out-of-time errors.

    Args:
        matrix: shape (n, features).
        errors: log(price / value), shape (n,).
        thin: the columns that say how thin the evidence is (distances of sales).
    """
    import lightgbm as lgb

    size = np.minimum(np.abs(errors), LARGEST_ERROR)
    forest = None
    if len(errors) >= 10 * SPREAD["min_data_in_leaf"]:
        data = lgb.Dataset(matrix, size, feature_name=list(names), categorical_feature=list(categorical), params=SPREAD)
        forest = lgb.train(SPREAD, data, SPREAD_ROUNDS)
    limits = {c: float(np.nanquantile(matrix[:, c], 0.99)) for c in thin if np.isfinite(matrix[:, c]).any()}
    return Spread(forest, float(size.mean()), {c: limit for c, limit in limits.items() if limit > 0})
