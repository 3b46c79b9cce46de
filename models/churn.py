"""Churn: how far values move when the model is trained again and nothing real has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from models.fit import Settings
from models.forest import Bag
from models.training import Learnt, fit
from models.valuer import Valuer
from models.view import View

#: Sales of so many months are held back to see what a quarter more of them changes.
QUARTER = 3


def seed_churn(valuer: Valuer, learnt: Learnt, settings: Settings, view: View) -> np.ndarray:
    """|value again / value - 1| with nothing but another seed, shape (homes,).

    Args:
        learnt, settings: what the valuer's forests were taught with.
        view: of homes on the day the training ended, without what later sales told.
    """
    return _moved(view, _fit(learnt, valuer, settings, settings.seed + 1).predict(view.matrix))


def data_churn(valuer: Valuer, learnt: Learnt, settings: Settings, view: View) -> np.ndarray:
    """What training again on a quarter of sales more moves, the market's level taken out.

    Both models value on the same memory, as they do when one takes the other's place; what the quarter's
    sales say through the memory, they say with either.
    """
    before = learnt.rows(None, (pd.Timestamp(valuer.trained_day).to_period("M") - QUARTER).to_timestamp())
    earlier = _fit(before, valuer, settings, settings.seed).predict(view.matrix)
    return _moved(view, earlier - np.median(earlier - view.forests))


def sales_churn(valuer: Valuer, homes: pd.DataFrame, view: View) -> np.ndarray:
    """What a quarter's sales move through the memory while the model stays, the market's level taken out.

    Args:
        view: of the homes, as `seed_churn` has it.
    """
    earlier = replace(
        valuer, memory=valuer.memory.before(pd.Timestamp(valuer.trained_day) - pd.DateOffset(months=QUARTER))
    )
    moved = earlier.view(homes, earlier.current_day).standing - view.standing
    return np.abs(np.expm1(moved - np.median(moved)))


def _moved(view: View, forests: np.ndarray) -> np.ndarray:
    return np.abs(np.expm1(forests - view.forests))


def churn_figures(moved: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """For each kind of churn `churn_<kind>_median`, `_p95`, `_p99` and `_max`."""
    told: dict[str, Any] = {}
    for kind, moves in moved.items():
        figures = np.quantile(moves, [0.5, 0.95, 0.99, 1.0]).tolist() if len(moves) else [None] * 4
        told |= {f"churn_{kind}_{what}": f for what, f in zip(("median", "p95", "p99", "max"), figures, strict=True)}
    return told


def _fit(learnt: Learnt, valuer: Valuer, settings: Settings, seed: int) -> Bag:
    return fit(learnt, valuer.features, settings.searched, settings.rounds, settings.bags, seed)
