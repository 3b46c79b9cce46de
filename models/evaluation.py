"""A candidate judged on its hold-out: figures in both regimes, ranges, reference models, segments, backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.appraisal import RIGHT_WITHIN
from models.ratio_study import intervals, study
from models.segments import groups, labelled
from models.valuer import Valuer


def range_columns(level: float) -> tuple[str, str]:
    return f"low_{100 * level:.0f}", f"high_{100 * level:.0f}"


def valued_holdout(frozen: Valuer, live: Valuer, holdout: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """One row a hold-out sale, valued for its sale date: what is known of the sale and what would have been told.

    `value` and the ranges are live (the memory has the sales before the month), `value_frozen` is by the model
    and memory as they were when the training ended; `fsd`, `chance` (of being within `RIGHT_WITHIN`); `segment.*`,
    the groups it is in.
    """
    view = live.view(holdout, holdout["sale_date"])
    deviation, chance = live.certainty(view, RIGHT_WITHIN)
    told = holdout[["sale_id", "property_id", "sale_date", "price"]].assign(
        value=live.told(view), value_frozen=frozen.value(holdout, holdout["sale_date"])
    )
    for level, (low, high) in live.ranges(view).items():
        names = range_columns(level)
        told[names[0]], told[names[1]] = low, high
    told = told.assign(fsd=deviation, chance=chance, in_support=live.spread.remoteness(view.matrix) <= 1)
    return pd.concat([told, labelled(live.market, holdout, told["value"].to_numpy(), train)], axis=1)


def evaluation(
    live: Valuer,
    valued: pd.DataFrame,
    references: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    """All figures of the candidate, ready for JSON; `valued` is as `valued_holdout` gives it."""
    prices, values = valued["price"].to_numpy(), valued["value"].to_numpy()
    return {
        "holdout": {
            "rows": len(valued),
            "first": f"{valued['sale_date'].min():%Y-%m-%d}" if len(valued) else None,
            "last": f"{valued['sale_date'].max():%Y-%m-%d}" if len(valued) else None,
        },
        "figures": study(values, prices),
        "intervals": intervals(values, prices, seed),
        "frozen": study(valued["value_frozen"].to_numpy(), prices),
        "range": range_figures(valued, live.level),
        "ranges": {f"{level:g}": range_figures(valued, level) for level in live.levels},
        "confidence": confidence_bands(valued),
        "references": {name: study(told, prices) for name, told in references.items()},
        "segments": {
            name: {
                str(group): study(values[rows], prices[rows])
                | {"coverage": range_figures(valued[rows], live.level)["coverage"]}
                for group in sorted(labels.unique())
                for rows in [(labels == group).to_numpy()]
            }
            for name, labels in groups(valued).items()
        },
    }


def range_figures(valued: pd.DataFrame, level: float) -> dict[str, Any]:
    """Share of prices inside the range, its median width as a share of the value, and beside it the width of one
    range for all homes (split conformal prediction on log price) that covers the same share of these sales."""
    if valued.empty:
        return {"level": level, "coverage": None, "median_width": None, "global_width": None}
    low, high = (valued[name] for name in range_columns(level))
    inside = (valued["price"] >= low) & (valued["price"] <= high)
    reach = float(np.quantile(np.abs(np.log(valued["price"] / valued["value"])), inside.mean()))
    return {
        "level": level,
        "coverage": float(inside.mean()),
        "median_width": float(((high - low) / valued["value"]).median()),
        "global_width": float(np.exp(reach) - np.exp(-reach)),
    }


def confidence_bands(valued: pd.DataFrame) -> dict[str, Any]:
    """By tenths of the promised chance: how many sales, what was promised, what came of it."""
    band = (10 * valued["chance"]).clip(upper=9).astype("int64")
    right = (valued["value"] / valued["price"] - 1).abs() <= RIGHT_WITHIN
    return {
        f"{10 * b} to {10 * b + 10} %": {
            "n": int((band == b).sum()),
            "promised": float(valued["chance"][band == b].mean()),
            "kept": float(right[band == b].mean()),
        }
        for b in sorted(band.unique())
    }


def backtest_figures(backtest: pd.DataFrame, references: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """For each fold the figures of the candidate and of every reference model on the fold's sales.

    Args:
        backtest: `fold`, `value` and `price`, one row a sale, in the order of time.
        references: by fold, as `reference_values` gives them.
    """
    told: dict[str, Any] = {}
    for fold, rows in backtest.groupby("fold", sort=True):
        prices = rows["price"].to_numpy()
        others = {name: study(values, prices) for name, values in references[str(fold)].items()}
        told[str(fold)] = {"candidate": study(rows["value"].to_numpy(), prices), **others}
    return told
