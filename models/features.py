"""From homes to the forest's matrix: one implementation for training and for serving.

Every field of the declaration is a feature: numbers and flags as they are, a category as the position of
its value among the values the training sales showed. What past sales say of the home follows, column by
column, as `models/evidence.py` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from models.evidence import Column, evidence_columns
from models.hedonic import Homes, read_numbers
from models.market import Field, Market

_DIRECTION = {"up": 1, "down": -1, None: 0}


@dataclass(frozen=True)
class Features:
    """The columns of the matrix, in order, and the codes of the categories."""

    market: Market
    categories: Mapping[str, tuple[str, ...]]

    @property
    def evidence(self) -> tuple[Column, ...]:
        return evidence_columns(self.market)

    @property
    def names(self) -> list[str]:
        return [*self.market.field_names, *(f"sales.{c.name}" for c in self.evidence)]  # no field has a dot

    @property
    def labels(self) -> list[str]:
        return [*(f.label for f in self.market.fields), *(c.label for c in self.evidence)]

    @property
    def groups(self) -> list[str]:
        """What each column's part of a value is told under."""
        return [*(f.group for f in self.market.fields), *(c.group for c in self.evidence)]

    @property
    def directions(self) -> list[int]:
        """1 where more never lowers the value, -1 where more never raises it, 0 elsewhere."""
        return [*(_DIRECTION[f.direction] for f in self.market.fields), *(0 for _ in self.evidence)]

    @property
    def measures(self) -> list[bool]:
        """Whether a little more or less of it is nearly the same: so it is with evidence that counts nothing."""
        return [*(False for _ in self.market.fields), *(not c.counted for c in self.evidence)]

    @property
    def categorical(self) -> list[int]:
        return [i for i, f in enumerate(self.market.fields) if f.is_category]

    def facts(self, homes: Homes) -> np.ndarray:
        """Float64, shape (homes, fields); NaN for what is missing or a category never seen in training.

        Args:
            homes: columns by field name.
        """
        names, at = self._numbers
        told = np.empty((len(homes[self.market.fields[0].name]), len(self.market.fields)))
        told[:, at] = read_numbers(homes, names).T
        for i, name, codes in self._codes:
            told[:, i] = [codes.get(value, np.nan) for value in homes[name]]
        return told

    def unseen(self, home: Mapping[str, Any]) -> list[Field]:
        """The fields whose category this home is the first to have."""
        fields = self.market.fields
        return [fields[i] for i, name, codes in self._codes if present(home.get(name)) and home[name] not in codes]

    @cached_property
    def _numbers(self) -> tuple[list[str], list[int]]:
        """Names and positions of all fields but categories."""
        at = [i for i, field in enumerate(self.market.fields) if not field.is_category]
        return [self.market.fields[i].name for i in at], at

    @cached_property
    def _codes(self) -> list[tuple[int, str, dict[str, int]]]:
        """Of each category its position, its name and the codes of its values."""
        names = [(i, self.market.fields[i].name) for i in self.categorical]
        return [(i, name, {value: code for code, value in enumerate(self.categories[name])}) for i, name in names]


def fit_features(sales: pd.DataFrame, market: Market) -> Features:
    """The features of a market, with the categories that these sales show."""
    categories = {f.name: tuple(sorted(sales[f.name].dropna().unique())) for f in market.fields if f.is_category}
    return Features(market, categories)


def present(value: Any) -> bool:
    """Whether a fact is given; NaN is the one value that differs from itself."""
    return value is not None and value == value


def homes_frame(homes: Homes, market: Market) -> dict[str, Any]:
    """Every field as a column; one that is absent is missing for every home."""
    count = len(homes) if isinstance(homes, pd.DataFrame) else len(next(iter(homes.values())))
    return {f.name: homes[f.name] if f.name in homes else [None] * count for f in market.fields}
