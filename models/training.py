"""From sales to a model: what tuning and training do alike, fold by fold and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from models.conformal import residual_band
from models.fault import Fault
from models.features import Features, fit_features
from models.forest import fit_and_watch, fit_forest
from models.hedonic import fit_hedonic
from models.market import Market
from models.market_index import MarketIndex
from models.split import Window, before, within
from models.support import numeric_support, typical_home
from models.valuer import Valuer


@dataclass(frozen=True)
class TrainingSet:
    """Sales as the forest learns them; the index and the categories come from these sales alone."""

    features: Features
    index: MarketIndex
    matrix: np.ndarray
    target: np.ndarray

    def fit(self, searched: Mapping[str, Any], rounds: int, seed: int) -> lgb.Booster:
        return fit_forest(self.matrix, self.target, self.features, searched, rounds, seed)


@dataclass(frozen=True)
class Fold:
    """One origin: what was known before it, and the sales of the window after it."""

    window: Window
    known: TrainingSet
    matrix: np.ndarray
    target: np.ndarray

    def search(self, searched: Mapping[str, Any], max_rounds: int, patience: int, seed: int) -> tuple[int, float]:
        """The best number of rounds and the error there, as `fit_and_watch` gives them."""
        known = self.known
        return fit_and_watch(
            (known.matrix, known.target),
            (self.matrix, self.target),
            known.features,
            searched,
            max_rounds,
            patience,
            seed,
        )

    def residuals(self, searched: Mapping[str, Any], rounds: int, seed: int) -> np.ndarray:
        """log(price / value) of the window's sales, valued with what was known before it."""
        forest = self.known.fit(searched, rounds, seed)
        return np.asarray(self.target - forest.predict(self.matrix, num_threads=1))


def training_set(sales: pd.DataFrame, market: Market) -> TrainingSet:
    index = fit_hedonic(sales, market).index
    features = fit_features(sales, market)
    return TrainingSet(features, index, features.matrix(sales), _target(sales, index))


def make_fold(sales: pd.DataFrame, window: Window, market: Market) -> Fold:
    """Raises Fault when there is no sale before the window or none in it."""
    known_sales, later = before(sales, window.first), within(sales, window)
    if known_sales.empty or later.empty:
        raise Fault(
            f"the fold {window} has {len(known_sales)} sales before it and {len(later)} in it; both need some: "
            f"lower split.fold_count or split.fold_months"
        )
    known = training_set(known_sales, market)
    return Fold(window, known, known.features.matrix(later), _target(later, known.index))


def fit_valuer(
    sales: pd.DataFrame,
    market: Market,
    folds: Sequence[Fold],
    searched: Mapping[str, Any],
    rounds: int,
    seed: int,
    level: float,
    horizon_days: int,
) -> Valuer:
    """The model of all `sales`, its range calibrated on the out-of-time residuals of `folds`."""
    known = training_set(sales, market)
    residuals = np.concatenate([fold.residuals(searched, rounds, seed) for fold in folds])
    return Valuer(
        market=market,
        features=known.features,
        index=known.index,
        forest=known.fit(searched, rounds, seed),
        band=residual_band(residuals, level),
        level=level,
        memory_end=sales["sale_date"].max().date(),
        horizon_days=horizon_days,
        support=numeric_support(sales, market),
        typical=typical_home(sales, market),
    )


def _target(sales: pd.DataFrame, index: MarketIndex) -> np.ndarray:
    return np.log(sales["price"].to_numpy("float64")) - index.level(sales["sale_date"])
