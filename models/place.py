"""Where a home stands and what it is like, as points: near in space is near on the map, or alike.

What has a declared direction stays out of both: a home that grows keeps its neighbours, so that more
living area can't lower a value by changing whom the home is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from models.field import Field
from models.hedonic import Homes, Terms, read_numbers
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

    def points(self, homes: Homes, raw: np.ndarray, years: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points near on the map, shape (n, d), and alike, shape (n, d'); NaN where the place of a home is not known.

        What homes are like is place, kind and the numbers without a direction.

        Args:
            raw: of the homes, as `Terms.raw` gives it.
            years: date of sale or valuation in years, shape (n,).
        """
        near = self._near(homes, raw, years)
        columns, weights = self._likeness
        return near, np.hstack([near, raw[:, columns] * weights])

    def _near(self, homes: Homes, raw: np.ndarray, years: np.ndarray) -> np.ndarray:
        """In distance units."""
        if self.middle is not None:
            return self.kilometres(homes) / self.unit
        area = self.market.role("neighbourhood")
        if area is None:
            return np.full((len(years), 1), np.nan)
        own = raw[:, self._columns(area)]
        own[own.sum(axis=1) == 0] = np.nan
        return np.column_stack([own, years * YEAR_APART])

    def kilometres(self, homes: Homes) -> np.ndarray:
        """East and north of the middle, shape (n, 2); only where the market has coordinates."""
        names, middle, scale = self._map
        return (read_numbers(homes, names).T - middle) * scale

    @cached_property
    def _map(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Names of longitude and latitude, their middle, and kilometres to a degree of each."""
        assert self.middle is not None
        scale = np.array([KM_PER_DEGREE * np.cos(np.radians(self.middle[0])), KM_PER_DEGREE])
        return [field.name for field in reversed(self.market.placing_fields)], np.array(self.middle[::-1]), scale

    @cached_property
    def _likeness(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns that tell alike homes from others, and what each counts."""
        kind, weights = self.market.role("property_type"), dict[int, float]()
        for field in self.market.fields:
            if field == kind:
                weights |= dict.fromkeys(self._columns(field).tolist(), TYPE_APART / np.sqrt(2))
            elif field.is_number and not field.direction and not self._is_coordinate(field):
                weights[int(self._columns(field)[0])] = NUMBER_WEIGHT
        return np.array(list(weights), dtype=int), np.array(list(weights.values()))

    def _columns(self, field: Field) -> np.ndarray:
        return np.flatnonzero(self.terms.term_of_column == self.market.fields.index(field))

    def _is_coordinate(self, field: Field) -> bool:
        return self.middle is not None and field.role in ("latitude", "longitude")


def fit_places(sales: pd.DataFrame, market: Market, terms: Terms) -> Places:
    """Places measured on these sales, the first that a memory holds."""
    latitude, longitude = market.role("latitude"), market.role("longitude")
    if latitude is None or longitude is None:
        return Places(market, terms, None, 1.0)
    middle = float(sales[latitude.name].median()), float(sales[longitude.name].median())
    points = Places(market, terms, middle, 1.0).kilometres(sales)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) <= CROWD:
        return Places(market, terms, None, 1.0)
    distance, _ = cKDTree(points).query(points, k=[CROWD + 1])
    return Places(market, terms, middle, float(np.median(distance)) or 1.0)
