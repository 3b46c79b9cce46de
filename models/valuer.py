"""A valuation: the forest's view of the home, on the market's level of the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from models.fault import Fault
from models.features import Features
from models.market import Market
from models.market_index import MarketIndex
from models.reasons import Reason, reasons_in_money


class AsOfError(Fault):
    """A valuation date that the model can't speak for."""

    def __init__(self, as_of: date, earliest: date, latest: date) -> None:
        self.as_of, self.earliest, self.latest = as_of, earliest, latest
        super().__init__(f"as_of is {as_of}; allowed: {earliest} to {latest}")


@dataclass(frozen=True)
class Appraisal:
    """What one home is worth and why; money in the market's currency.

    `base` plus the amounts of `reasons` is `value` to the cent.
    """

    value: float
    low: float
    high: float
    level: float
    base: float
    base_meaning: str
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Valuer:
    """A trained model, complete: what a bundle holds and what is served.

    Attributes:
        band: bounds of log(price / value) that hold a sale with probability `level`.
        memory_end: the last day of sales that the model knows.
        horizon_days: how far past `memory_end` a valuation date may lie.
        support: least and greatest value of each numeric field in the training sales.
        typical: a home in the middle of the training sales, as a caller would send it.
    """

    market: Market
    features: Features
    index: MarketIndex
    forest: lgb.Booster
    band: tuple[float, float]
    level: float
    memory_end: date
    horizon_days: int
    support: Mapping[str, tuple[float, float]]
    typical: Mapping[str, Any]

    @property
    def first_day(self) -> date:
        return self.index.first_day

    @property
    def last_day(self) -> date:
        return self.memory_end + timedelta(days=self.horizon_days)

    def value(
        self, homes: pd.DataFrame | Mapping[str, Sequence[Any]], as_of: Sequence[date] | pd.Series | date
    ) -> np.ndarray:
        """In the market's currency, rounded to its `price_digits`; shape (homes,).

        Raises:
            AsOfError: when a date lies before the index begins or past the horizon.
        """
        matrix = self.features.matrix(homes)
        return self._values(matrix, [as_of] * len(matrix) if isinstance(as_of, date) else as_of)

    def interval(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The range at `level` around each value, rounded as values are."""
        low, high = self.band
        return self._rounded(values * np.exp(low)), self._rounded(values * np.exp(high))

    def appraise(self, homes: Sequence[Mapping[str, Any]], as_of: date) -> list[Appraisal]:
        """One appraisal a home, in order; the same for a home alone and in any batch.

        Raises:
            AsOfError: as `value` does.
        """
        if not homes:
            return []
        matrix = self.features.matrix({f.name: [home.get(f.name) for home in homes] for f in self.market.fields})
        values = self._values(matrix, [as_of] * len(homes))
        lows, highs = self.interval(values)
        contributions = np.asarray(self.forest.predict(matrix, pred_contrib=True, num_threads=1))
        level_now, level_then = self._index([as_of, self.memory_end])
        return [
            self._appraisal(
                home, as_of, values[i], lows[i], highs[i], contributions[i], level_now - level_then, level_then
            )
            for i, home in enumerate(homes)
        ]

    def _appraisal(
        self,
        home: Mapping[str, Any],
        as_of: date,
        value: float,
        low: float,
        high: float,
        contributions: np.ndarray,
        market_move: float,
        market_level: float,
    ) -> Appraisal:
        parts = [(f.name, f.label, float(c)) for f, c in zip(self.market.fields, contributions[:-1], strict=True)]
        parts.append(("market", f"Market from {self.memory_end} to {as_of}", float(market_move)))
        base, reasons = reasons_in_money(float(value), float(contributions[-1] + market_level), parts)
        return Appraisal(
            value=float(value),
            low=float(low),
            high=float(high),
            level=self.level,
            base=base,
            base_meaning=f"the typical home of {self.market.label} on {self.memory_end}",
            reasons=reasons,
            warnings=tuple(self._warnings(home, as_of)),
        )

    def _warnings(self, home: Mapping[str, Any], as_of: date) -> list[str]:
        warnings = []
        if as_of > self.memory_end:
            warnings.append(
                f"as_of is {(as_of - self.memory_end).days} days after the last sale the model knows "
                f"({self.memory_end}); the market's trend was carried on"
            )
        elif as_of < self.memory_end:
            warnings.append(f"as_of is in the past: sales up to {self.memory_end} have informed this value")
        unseen = self.features.unseen(home)
        for field in self.market.fields:
            given = home.get(field.name)
            if given is None or given != given:
                warnings.append(f"{field.label} is missing; the value does without it")
            elif field in unseen:
                warnings.append(
                    f"{field.label} {given!r} is not among the sales the model has seen; the value does without it"
                )
            elif field.name in self.support and not self.support[field.name][0] <= given <= self.support[field.name][1]:
                low, high = self.support[field.name]
                warnings.append(
                    f"{field.label} {given:g} is outside the sales the model has seen ({low:g} to {high:g})"
                )
        return warnings

    def _values(self, matrix: np.ndarray, days: Sequence[date] | pd.Series) -> np.ndarray:
        return self._rounded(np.exp(np.asarray(self.forest.predict(matrix, num_threads=1)) + self._index(days)))

    def _rounded(self, money: np.ndarray) -> np.ndarray:
        return np.round(money, self.market.price_digits)

    def _index(self, days: Sequence[date] | pd.Series) -> np.ndarray:
        at = np.asarray(days, dtype="datetime64[D]")
        for day in (at.min(), at.max()) if len(at) else ():
            if not self.first_day <= day.item() <= self.last_day:
                raise AsOfError(day.item(), self.first_day, self.last_day)
        return self.index.level(at)
