"""A candidate judged on its hold-out: figures, reference models on the same rows, and segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from models.hedonic import fit_hedonic
from models.market import Market
from models.ratio_study import study
from models.references import last_sale_indexed, median_per_area
from models.training import training_set
from models.valuer import Valuer

TIERS = 5  # groups by predicted value; groups by price paid would show a regressivity that isn't there


def valued_holdout(valuer: Valuer, holdout: pd.DataFrame) -> pd.DataFrame:
    """One row a hold-out sale, valued for its sale date: what is known of the sale, `value`, `low`, `high`."""
    value = valuer.value(holdout, holdout["sale_date"])
    low, high = valuer.interval(value)
    told = holdout[["sale_id", "property_id", "sale_date", "price"]]
    return told.assign(value=value, low=low, high=high)


def reference_values(
    train: pd.DataFrame, holdout: pd.DataFrame, market: Market, searched: Mapping[str, Any], rounds: int, seed: int
) -> dict[str, np.ndarray]:
    """What each reference model says of every hold-out home.

    `shuffled_target` is the floor: the same forest, taught prices that belong to other homes.
    """
    hedonic = fit_hedonic(train, market)
    known = training_set(train, market)
    shuffled = np.random.default_rng(seed).permutation(known.target)
    floor = replace(known, target=shuffled).fit(searched, rounds, seed)
    days = holdout["sale_date"]
    return {
        "last_sale_indexed": last_sale_indexed(train, holdout, market, hedonic),
        "median_per_area": median_per_area(train, holdout, market),
        "hedonic": hedonic.value(holdout, days),
        "shuffled_target": np.exp(
            np.asarray(floor.predict(known.features.matrix(holdout), num_threads=1)) + known.index.level(days)
        ),
    }


def evaluation(
    valuer: Valuer,
    holdout: pd.DataFrame,
    valued: pd.DataFrame,
    references: Mapping[str, np.ndarray],
    train: pd.DataFrame,
) -> dict[str, Any]:
    """All figures of the candidate, ready for JSON; `valued` is row for row with `holdout`."""
    prices, values = valued["price"].to_numpy(), valued["value"].to_numpy()
    covered = (prices >= valued["low"]) & (prices <= valued["high"])
    return {
        "holdout": {
            "rows": len(valued),
            "first": f"{valued['sale_date'].min():%Y-%m-%d}" if len(valued) else None,
            "last": f"{valued['sale_date'].max():%Y-%m-%d}" if len(valued) else None,
        },
        "figures": study(values, prices),
        "range": {
            "level": valuer.level,
            "coverage": float(covered.mean()) if len(valued) else None,
            "median_width": float(((valued["high"] - valued["low"]) / values).median()) if len(valued) else None,
        },
        "references": {name: study(told, prices) for name, told in references.items()},
        "segments": {
            name: {str(group): study(values[rows], prices[rows]) for group, rows in groups.items()}
            for name, groups in _segments(valuer.market, holdout, values, train).items()
        },
    }


def _segments(
    market: Market, holdout: pd.DataFrame, values: np.ndarray, train: pd.DataFrame
) -> dict[str, dict[str, np.ndarray]]:
    """For each way to group the hold-out, the row positions of each group."""
    labels: dict[str, pd.Series] = {}
    for role in ("neighbourhood", "property_type"):
        if (field := market.role(role)) is not None:
            labels[role] = holdout[field.name].fillna("missing")
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    labels["price_tier"] = pd.Series(
        [f"tier {1 + i}" for i in order * TIERS // max(len(values), 1)], index=holdout.index
    )
    labels["history"] = (
        holdout["property_id"].isin(train["property_id"]).map({True: "sold before", False: "first sale"})
    )
    return {name: {g: np.flatnonzero(label == g) for g in sorted(label.unique())} for name, label in labels.items()}
