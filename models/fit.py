"""The whole model from its sales: forests, the spread of their errors, and the track that ranges are read from.

Every fold is valued by forests that ended before it, in the live regime. The last fold calibrates the
ranges; the earlier ones teach how large an error to expect of which home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.comparables import NO_LEAF, leaves_of
from models.conformal import Spread, fit_spread
from models.features import Features, fit_features
from models.memory import month_number
from models.support import numeric_support, typical_home
from models.track import empty_track, places_of, starting_track
from models.training import Fold, Learnt, fit
from models.valuer import Valuer

#: Forests that value a fold: a few tell the errors of many closely enough, and there are many folds.
FOLD_BAGS = 4
#: Columns of the evidence that say how thin it is.
THIN = ("sales.near_distance", "sales.alike_distance")


@dataclass(frozen=True)
class Settings:
    """What the search and the parameters decide of a model."""

    searched: Mapping[str, Any]
    rounds: int
    bags: int
    seed: int


@dataclass(frozen=True)
class Judged:
    """A fold and log(price / value) of its sales, without drift."""

    fold: Fold
    errors: np.ndarray

    @property
    def month(self) -> np.ndarray:
        return month_number(self.fold.later.sales["sale_date"])

    @property
    def standing(self) -> np.ndarray:
        """Of the values: log value less the level of the market, shape (n,)."""
        later = self.fold.later
        return self.fold.log_prices - self.errors - later.memory.level(later.sales["sale_date"])

    @property
    def place(self) -> np.ndarray:
        area = self.fold.features.market.role("neighbourhood")
        return places_of(self.fold.later.sales, area.name if area else None)


def judge_folds(
    folds: Sequence[Fold], settings: Settings, progress: Callable[[Iterable[Fold]], Iterable[Fold]] = iter
) -> list[Judged]:
    return [
        Judged(fold, fold.errors(settings.searched, settings.rounds, min(settings.bags, FOLD_BAGS), settings.seed))
        for fold in progress(folds)
    ]


def fit_valuer(learnt: Learnt, judged: Sequence[Judged], settings: Settings, level: float, horizon_days: int) -> Valuer:
    """The model of these sales, at least one fold of them judged.

    Args:
        learnt: of a memory that ends where the training ends.
        judged: in the order of time.
        level: the probability of the range told first.
    """
    market, sales = learnt.memory.market, learnt.memory.sales
    features = fit_features(sales, market)
    spread = spread_of(features, judged[:-1] or judged)
    last = judged[-1]
    trained = learnt.memory.end_month
    told = spread.of(last.fold.later.matrix(features))
    track = starting_track(trained, last.month, last.place, last.errors, told, last.standing)
    bag = fit(learnt, features, settings.searched, settings.rounds, settings.bags, settings.seed)
    taught = leaves_of(bag, learnt.matrix(features))
    opening = np.full((len(taught), len(sales) - taught.shape[1]), NO_LEAF, dtype=np.uint16)
    return Valuer(
        features=features,
        bag=bag,
        spread=spread,
        memory=learnt.memory,
        track=track,
        leaves=np.hstack([opening, taught]),
        level=level,
        horizon_days=horizon_days,
        support=numeric_support(sales, market),
        typical=typical_home(sales, market),
    )


def spread_of(features: Features, judged: Sequence[Judged]) -> Spread:
    matrix = np.vstack([one.fold.later.matrix(features) for one in judged])
    errors = np.concatenate([errors_with_drift(one) for one in judged])
    names = features.names
    return fit_spread(matrix, errors, names, features.categorical, [names.index(n) for n in THIN if n in names])


def backtest(judged: Sequence[Judged]) -> pd.DataFrame:
    """One row a sale of a fold: `sale_id`, `fold` (its first month) and `value` as it would have been told live."""
    rows = [
        pd.DataFrame(
            {
                "sale_id": one.fold.later.sales["sale_id"],
                "fold": f"{one.fold.window.first:%Y-%m}",
                "value": one.fold.later.sales["price"] * np.exp(-errors_with_drift(one)),
            }
        )
        for one in judged
    ]
    return pd.concat(rows, ignore_index=True)


def errors_with_drift(one: Judged) -> np.ndarray:
    """The errors that remain once each month is corrected by those before it."""
    track = empty_track(int(one.month.min()))
    remaining = np.empty(len(one.errors))
    for month in np.unique(one.month):
        rows = one.month == month
        remaining[rows] = one.errors[rows] - track.drift(int(month)).of(one.place[rows], one.standing[rows])
        track = track.longer(
            int(month), one.place[rows], one.errors[rows], np.ones(int(rows.sum())), one.standing[rows]
        )
    return remaining
