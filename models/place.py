"""Where a home stands and what it is like, as points: near in space is near on the map, or alike.

What has a declared direction stays out of both: a home that grows keeps its neighbours, so that more
living area can't lower a value by changing whom the home is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from models.hedonic import Homes, Terms
from models.market import Market

KM_PER_DEGREE = 111.2
CROWD = 5  # a distance unit is how far the n-th nearest of the first sales is, at the median
NUMBER_WEIGHT = 1.5  # what a standard score of a number counts against a distance unit
TYPE_APART = 3.0  # distance units between two property types
#: Without coordinates, sales of one neighbourhood are told apart by their date: so many units a year.
YEAR_APART = 0.2


@dataclass(frozen=True)
class Places:
    """How a market's homes become points.

    Attributes:
        middle: latitude and longitude in degrees; None where the market has no coordinates.
        unit: kilometres (or, without coordinates, neighbourhoods) that count as one.
    """

    market: Market
    terms: Terms
    middle: tuple[float, float] | None
    unit: float

    def near(self, homes: Homes, years: np.ndarray) -> np.ndarray:
        """Points in distance units, shape (n, d); NaN where the place of a home is not known.

        Args:
            years: date of sale or valuation in years, shape (n,).
        """
        if self.middle is not None:
            return self.kilometres(homes) / self.unit
        area = self.market.role("neighbourhood")
        if area is None:
            return np.full((len(years), 1), np.nan)
        own = next(t for t in self.terms.terms if t.field == area).columns(homes[area.name])
        own[own.sum(axis=1) == 0] = np.nan
        return np.column_stack([own, years * YEAR_APART])

    def alike(self, homes: Homes, near: np.ndarray) -> np.ndarray:
        """Points of place, kind and the numbers without a direction, shape (n, d')."""
        kind = self.market.role("property_type")
        parts = [near]
        for term in self.terms.terms:
            if term.field == kind:
                parts.append(term.columns(homes[term.field.name]) * (TYPE_APART / np.sqrt(2)))
            elif term.field.is_number and not term.field.direction and not self._is_coordinate(term.field.name):
                parts.append(np.clip(term.score(homes[term.field.name]), -5, 5)[:, None] * NUMBER_WEIGHT)
        return np.column_stack(parts)

    def _is_coordinate(self, name: str) -> bool:
        return self.middle is not None and self.market[name].role in ("latitude", "longitude")

    def kilometres(self, homes: Homes) -> np.ndarray:
        """East and north of the middle, shape (n, 2); only where the market has coordinates."""
        assert self.middle is not None
        latitude, longitude = (self._degrees(homes, role) for role in ("latitude", "longitude"))
        east = (longitude - self.middle[1]) * (KM_PER_DEGREE * np.cos(np.radians(self.middle[0])))
        return np.column_stack([east, (latitude - self.middle[0]) * KM_PER_DEGREE])

    def _degrees(self, homes: Homes, role: str) -> np.ndarray:
        field = self.market.role(role)
        assert field is not None
        values: Sequence[Any] | pd.Series = homes[field.name]
        if isinstance(values, pd.Series):
            return values.to_numpy("float64")
        return np.asarray([np.nan if v is None else v for v in values], dtype="float64")


def fit_places(sales: pd.DataFrame, market: Market, terms: Terms) -> Places:
    """Places measured on these sales, the first that a memory holds."""
    latitude, longitude = market.role("latitude"), market.role("longitude")
    if latitude is None or longitude is None:
        return Places(market, terms, None, 1.0)
    middle = float(sales[latitude.name].median()), float(sales[longitude.name].median())
    points = Places(market, terms, middle, 1.0).near(sales, np.zeros(len(sales)))
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) <= CROWD:
        return Places(market, terms, None, 1.0)
    distance, _ = cKDTree(points).query(points, k=[CROWD + 1])
    return Places(market, terms, middle, float(np.median(distance)) or 1.0)
