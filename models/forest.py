"""The boosted forest: log price less the market index, from the features; the same bytes at every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from models.features import Features

#: One thread, fixed row order and LightGBM's own switch: what it needs to give the same trees twice.
FIXED = {
    "objective": "huber",  # on log price: a mislabelled sale pulls with bounded force
    "alpha": 0.15,  # 15 % is where the pull stops growing
    "metric": "none",  # `spread_about_median` watches instead
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "monotone_constraints_method": "basic",
    "verbosity": -1,
}


def fit_forest(
    matrix: np.ndarray, target: np.ndarray, features: Features, searched: Mapping[str, Any], rounds: int, seed: int
) -> lgb.Booster:
    """A forest of `rounds` trees that obeys the declared directions.

    Args:
        matrix: shape (n, fields), as `Features.matrix` gives it.
        target: shape (n,), log price less the index.
        searched: the LightGBM parameters that the search chose.
    """
    parameters = _parameters(searched, features, seed)
    return lgb.train(parameters, _dataset(matrix, target, features, parameters), rounds)


def fit_and_watch(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    features: Features,
    searched: Mapping[str, Any],
    max_rounds: int,
    patience: int,
    seed: int,
) -> tuple[int, float]:
    """The round with the least validation error, and that error (see `spread_about_median`).

    Boosting stops when `patience` rounds bring nothing better. Matrices and targets as in `fit_forest`.
    """
    parameters = _parameters(searched, features, seed)
    fitting = _dataset(*train, features, parameters)
    booster = lgb.train(
        parameters,
        fitting,
        max_rounds,
        valid_sets=[lgb.Dataset(*validation, reference=fitting, params=parameters)],
        feval=lambda predicted, data: ("spread", spread_about_median(predicted - data.get_label()), False),
        callbacks=[lgb.early_stopping(patience, verbose=False)],
    )
    return booster.best_iteration, float(booster.best_score["valid_0"]["spread"])


def spread_about_median(residuals: np.ndarray) -> float:
    """Mean absolute deviation from the median, in log price.

    The level of a later year is the market index's to foresee; the forest is judged by how well it
    tells homes apart.
    """
    return float(np.abs(residuals - np.median(residuals)).mean())


def _parameters(searched: Mapping[str, Any], features: Features, seed: int) -> dict[str, Any]:
    return {**searched, **FIXED, "seed": seed, "monotone_constraints": features.directions}


def _dataset(matrix: np.ndarray, target: np.ndarray, features: Features, parameters: dict[str, Any]) -> lgb.Dataset:
    return lgb.Dataset(
        matrix, target, feature_name=features.names, categorical_feature=features.categorical, params=parameters
    )
