"""The market index: what the same typical home costs from month to month, in log price.

Trees can't extrapolate time, so the forest never sees it: its target is the log price less the
index on the day of sale, and a valuation adds the index back on the valuation date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

#: Months whose trend carries the index past its last month: enough to see past the seasons.
TREND_MONTHS = 18


@dataclass(frozen=True)
class MarketIndex:
    """`levels[i]` is the log price of the typical home in the middle of the i-th month from `first_month`."""

    first_month: pd.Period
    levels: np.ndarray

    @property
    def first_day(self) -> date:
        return self.first_month.start_time.date()

    @cached_property
    def monthly_trend(self) -> float:
        """Change of log price a month: least squares over the last `TREND_MONTHS` months."""
        recent = self.levels[-TREND_MONTHS:]
        if len(recent) < 2:
            return 0.0
        months = np.arange(len(recent)) - (len(recent) - 1) / 2
        return float((months * recent).sum() / (months**2).sum())

    def level(self, days: Sequence[date] | pd.Series | np.ndarray) -> np.ndarray:
        """Log price of the typical home on each day, shape (n,).

        Linear between the middles of months; flat before the first; past the last, the trend goes on.
        """
        at = np.asarray(days, dtype="datetime64[D]").astype("int64").astype("float64")
        days_past = np.maximum(at - self._middles[-1], 0.0)
        return np.interp(at, self._middles, self.levels) + self.monthly_trend * 12 / 365.25 * days_past

    @cached_property
    def _middles(self) -> np.ndarray:
        """Days since 1970 of the middles of the months."""
        first = np.datetime64(self.first_month.start_time.date(), "M")
        edges = (first + np.arange(len(self.levels) + 1)).astype("datetime64[D]").astype("int64")
        return (edges[:-1] + edges[1:]) / 2

    def to_frame(self) -> pd.DataFrame:
        """Columns `month` (text, 2015-12) and `level`."""
        months = pd.period_range(self.first_month, periods=len(self.levels), freq="M")
        return pd.DataFrame({"month": months.astype("str"), "level": self.levels})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> MarketIndex:
        return cls(pd.Period(frame["month"].iloc[0], "M"), frame["level"].to_numpy("float64"))


def month_numbers(days: pd.Series, first_month: pd.Period) -> np.ndarray:
    """Whole months since `first_month`, shape (n,)."""
    return np.asarray(days.dt.year * 12 + days.dt.month - first_month.year * 12 - first_month.month, dtype="int64")
