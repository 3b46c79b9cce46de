"""What the training sales show of homes: how far each number goes, and a home in their middle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.market import Field, Market


def numeric_support(sales: pd.DataFrame, market: Market) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each numeric field that has any."""
    numeric = [f.name for f in market.fields if f.type in ("number", "integer") and sales[f.name].notna().any()]
    return {name: (float(sales[name].min()), float(sales[name].max())) for name in numeric}


def typical_home(sales: pd.DataFrame, market: Market) -> dict[str, Any]:
    """The home sold that is nearest to the middle of all: real, so that its facts fit each other.

    Nearest in the sum over fields of the distance to the median in standard deviations, with 1 for
    another category or flag than the commonest, or for a missing value.
    """
    distance = np.zeros(len(sales))
    for field in market.fields:
        distance += _distance(sales[field.name], field)
    home = sales.iloc[int(np.argmin(distance))]
    return {field.name: _told(home[field.name], field) for field in market.fields}


def _distance(values: pd.Series, field: Field) -> np.ndarray:
    if field.is_category or field.type == "flag":
        common = values.mode()
        return (values != common.iloc[0]).to_numpy("float64") if len(common) else np.ones(len(values))
    spread = values.std()
    if not spread > 0:  # all alike, or none
        return np.zeros(len(values))
    return ((values - values.median()).abs() / spread).fillna(1.0).to_numpy("float64")


def _told(value: Any, field: Field) -> str | bool | int | float | None:
    """The value as a caller of the API would send it."""
    if pd.isna(value):
        return None
    match field.type:
        case "category":
            return str(value)
        case "flag":
            return bool(value)
        case "integer":
            return int(value)
        case _:
            return float(value)
