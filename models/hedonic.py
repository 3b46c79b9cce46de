"""Hedonic regression: log price as a sum of what each fact is worth, and of the month of sale.

It gives the market index its levels, and is itself a reference model that a candidate must beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.market import Field, Market
from models.market_index import MarketIndex, month_numbers

RIDGE = 1.0  # in sales: what holds a rare category back
SMOOTHNESS = 10.0  # on second differences of the monthly levels; fills months without a sale
RARE = 20  # a category with fewer sales has no term of its own
OUTLIER = 1.5  # Huber's bound, in robust standard deviations
ROUNDS = 4  # of reweighting; the weights have settled by then


@dataclass(frozen=True)
class Hedonic:
    """`log price = terms(home) . worth + index(day)`, the terms centred on the training sales."""

    terms: tuple[_Term, ...]
    centre: np.ndarray
    worth: np.ndarray
    index: MarketIndex

    def value(self, homes: pd.DataFrame, days: pd.Series) -> np.ndarray:
        """Prices in the market's currency, shape (n,)."""
        return np.exp((_design(self.terms, homes) - self.centre) @ self.worth + self.index.level(days))


@dataclass(frozen=True)
class _Term:
    """How one field enters: a category by indicators, a flag as 0 or 1, a number by its (log) standard score
    and the score's square."""

    field: Field
    categories: tuple[str, ...] = ()
    log: bool = False
    mean: float = 0.0
    spread: float = 1.0

    def columns(self, values: pd.Series) -> np.ndarray:
        if self.field.is_category:
            return (values.to_numpy()[:, None] == np.array(self.categories, dtype=object)[None, :]).astype("float64")
        number = values.to_numpy("float64")
        if self.field.type == "flag":
            return np.nan_to_num(number)[:, None]
        number = np.log1p(np.maximum(number, 0)) if self.log else number
        score = np.clip(np.nan_to_num((number - self.mean) / self.spread), -5, 5)  # a missing value is a typical one
        return np.column_stack([score, score**2])


def fit_hedonic(sales: pd.DataFrame, market: Market) -> Hedonic:
    """Robust ridge regression with one smoothed level a month.

    Huber weights keep sales that are not of the market from moving the index; a Whittaker penalty
    (Eilers 2003, doi:10.1021/ac034173t) smooths the levels and bridges months without a sale.

    Args:
        sales: canonical sales, at least one.
    """
    terms = tuple(_term(field, sales[field.name]) for field in market.fields)
    design = _design(terms, sales)
    centre = design.mean(axis=0)
    design = design - centre
    first = sales["sale_date"].min().to_period("M")
    month = month_numbers(sales["sale_date"], first)
    months = int(month.max()) + 1
    log_price = np.log(sales["price"].to_numpy("float64"))
    weights = np.ones(len(sales))
    worth, levels = np.zeros(design.shape[1]), np.zeros(months)
    for _ in range(ROUNDS):
        worth, levels = _solve(design, month, months, log_price, weights)
        residual = np.abs(log_price - design @ worth - levels[month])
        spread = max(1.4826 * float(np.median(residual)), 1e-9)
        weights = np.minimum(1.0, OUTLIER * spread / np.maximum(residual, 1e-12))
    return Hedonic(terms, centre, worth, MarketIndex(first, levels))


def _term(field: Field, values: pd.Series) -> _Term:
    if field.is_category:
        counts = values.value_counts()
        return _Term(field, categories=tuple(sorted(counts.index[counts >= RARE])))
    if field.type == "flag":
        return _Term(field)
    number = values.dropna().to_numpy("float64")
    if not len(number):
        return _Term(field)
    log = (
        bool(number.min() >= 0 and np.quantile(number, 0.99) > 4 * np.median(number) > 0) or field.role == "living_area"
    )
    number = np.log1p(np.maximum(number, 0)) if log else number
    return _Term(field, log=log, mean=float(number.mean()), spread=float(number.std()) or 1.0)


def _design(terms: tuple[_Term, ...], homes: pd.DataFrame | Mapping[str, Any]) -> np.ndarray:
    return np.hstack([term.columns(pd.Series(homes[term.field.name])) for term in terms])


def _solve(
    design: np.ndarray, month: np.ndarray, months: int, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Penalised weighted least squares over the terms and the monthly levels together."""
    width = design.shape[1]
    weighted = design * weights[:, None]
    by_month = np.zeros((months, width))
    np.add.at(by_month, month, weighted)
    curvature = np.diff(np.eye(months), 2, axis=0)
    system = np.zeros((width + months, width + months))
    system[:width, :width] = weighted.T @ design + RIDGE * np.eye(width)
    system[width:, :width] = by_month
    system[:width, width:] = by_month.T
    system[width:, width:] = np.diag(np.bincount(month, weights, months)) + SMOOTHNESS * curvature.T @ curvature
    right = np.concatenate([weighted.T @ target, np.bincount(month, weights * target, months)])
    solution = np.linalg.solve(system, right)
    return solution[:width], solution[width:]
