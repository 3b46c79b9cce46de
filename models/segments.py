"""The groups of sales that a model must be good in, each sale labelled once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from models.market import Market
from models.valuer import PROPERTY

PREFIX = "segment."  # of the columns that hold the labels
TIERS = 5  # groups by predicted value; groups by price paid would show a regressivity that isn't there
BANDS = 4  # groups by age, alike in number


def labelled(market: Market, holdout: pd.DataFrame, values: np.ndarray, train: pd.DataFrame) -> pd.DataFrame:
    """A column a way to group, a row a hold-out sale.

    Args:
        values: what the candidate says of each, shape (n,).
        train: the sales that were known when the training ended.
    """
    labels = dict(_labels(market, holdout, values, train))
    return pd.DataFrame(
        {PREFIX + name: np.asarray(of, dtype=object) for name, of in labels.items()}, index=holdout.index
    )


def groups(valued: pd.DataFrame) -> dict[str, pd.Series]:
    """Way to group -> the group of each sale, from columns that `labelled` made."""
    return {name.removeprefix(PREFIX): valued[name] for name in map(str, valued) if name.startswith(PREFIX)}


def _labels(
    market: Market, holdout: pd.DataFrame, values: np.ndarray, train: pd.DataFrame
) -> Iterator[tuple[str, pd.Series]]:
    for role in ("neighbourhood", "property_type"):
        if (field := market.role(role)) is not None:
            yield role, holdout[field.name].fillna("missing")
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    yield "price_tier", pd.Series([f"tier {1 + i}" for i in order * TIERS // max(len(values), 1)])
    age = next((f for f in market.fields if f.group == "age" and not f.is_category and f.type != "flag"), None)
    if age is not None:
        yield f"{age.name}_band", _banded(holdout[age.name])
    sold = holdout[PROPERTY].isin(train[PROPERTY])
    yield "history", sold.map({True: "sold before", False: "first sale"})


def _banded(figures: pd.Series) -> pd.Series:
    """Bands of about as many sales each, named by their ends; padded, so that names sort as the bands do."""
    known = figures.dropna().to_numpy("float64")
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1))) if len(known) else known
    if len(edges) < 2:
        return figures.map(lambda one: "missing" if pd.isna(one) else "all")
    width = len(f"{edges[-1]:.0f}")
    names = np.array([f"{low:0{width}.0f} to {high:0{width}.0f}" for low, high in pairwise(edges)], dtype=object)
    band = np.clip(np.searchsorted(edges, figures, side="left") - 1, 0, len(names) - 1)
    return pd.Series(np.where(figures.notna(), names[band], "missing"))
