"""From homes to the forest's matrix: one implementation for training and for serving.

Every field of the declaration is a feature. Numbers and flags go in as they are; a category goes in
as the position of its value among the values the training sales showed, in sorted order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.market import Field, Market

_DIRECTION = {"up": 1, "down": -1, None: 0}


@dataclass(frozen=True)
class Features:
    """The columns of the matrix, in order, and the codes of the categories."""

    fields: tuple[Field, ...]
    categories: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> list[str]:
        return [f.name for f in self.fields]

    @property
    def directions(self) -> list[int]:
        """1 where more never lowers the value, -1 where more never raises it, 0 elsewhere."""
        return [_DIRECTION[f.direction] for f in self.fields]

    @property
    def categorical(self) -> list[int]:
        return [i for i, f in enumerate(self.fields) if f.is_category]

    def matrix(self, homes: pd.DataFrame | Mapping[str, Sequence[Any]]) -> np.ndarray:
        """Float64, shape (homes, fields); NaN for what is missing or a category never seen in training.

        Args:
            homes: columns by field name; a column that is absent is missing for every home.
        """
        rows = len(next(iter(homes.values()))) if isinstance(homes, Mapping) else len(homes)
        matrix = np.full((rows, len(self.fields)), np.nan)
        for i, field in enumerate(self.fields):
            if field.name in homes:
                matrix[:, i] = self._column(field, homes[field.name])
        return matrix

    def unseen(self, home: Mapping[str, Any]) -> list[Field]:
        """The fields whose category this home is the first to have."""
        return [
            f
            for f in self.fields
            if f.is_category and _present(home.get(f.name)) and home[f.name] not in self.categories[f.name]
        ]

    def _column(self, field: Field, values: Sequence[Any] | pd.Series) -> np.ndarray:
        if not field.is_category:
            return np.asarray([np.nan if v is None else v for v in values], dtype="float64")
        codes = {value: float(code) for code, value in enumerate(self.categories[field.name])}
        return np.asarray([codes.get(v, np.nan) if _present(v) else np.nan for v in values])


def fit_features(sales: pd.DataFrame, market: Market) -> Features:
    """The features of a market, with the categories that these sales show."""
    categories = {f.name: tuple(sorted(sales[f.name].dropna().unique())) for f in market.fields if f.is_category}
    return Features(market.fields, categories)


def _present(value: Any) -> bool:
    return value is not None and value == value  # NaN is the one value that differs from itself
