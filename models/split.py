"""Out of time: a model is judged on sales that came after everything it has seen.

The last months are the hold-out. Before it lie the rolling-origin folds: each validates on the
window after its origin and trains on all sales before the origin. Windows are whole calendar months.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from models.fault import Fault

#: No window takes more than this share of the history, so that a short history still has something to train on.
LARGEST_WINDOW = 1 / 5


@dataclass(frozen=True)
class Window:
    """Sales from `first` up to, not including, `end`."""

    first: pd.Timestamp
    end: pd.Timestamp

    def __str__(self) -> str:
        return f"{self.first:%Y-%m} to {self.end - pd.Timedelta(days=1):%Y-%m}"


@dataclass(frozen=True)
class Split:
    holdout: Window
    folds: tuple[Window, ...]

    @property
    def train_end(self) -> pd.Timestamp:
        """The first day that training must not see."""
        return self.holdout.first

    def to_dict(self) -> dict[str, object]:
        def both(window: Window) -> list[str]:
            return [f"{window.first:%Y-%m-%d}", f"{window.end:%Y-%m-%d}"]

        return {"holdout": both(self.holdout), "folds": [both(f) for f in self.folds]}

    @classmethod
    def from_dict(cls, raw: dict) -> Split:
        def window(pair: list[str]) -> Window:
            return Window(pd.Timestamp(pair[0]), pd.Timestamp(pair[1]))

        return cls(window(raw["holdout"]), tuple(window(f) for f in raw["folds"]))


def plan_split(dates: pd.Series, holdout_months: int, fold_count: int, fold_months: int) -> Split:
    """Windows counted back from the last month that has a sale.

    A window is shortened to a fifth of a short history, and of the folds only as many are left as leave the first
    one a window of months to train on.

    Raises:
        Fault: when fewer months stay for the first fold's training than a window has.
    """
    if dates.empty:
        raise Fault("there are no sales to split")
    first = dates.min().to_period("M")
    end = dates.max().to_period("M") + 1
    history = (end - first).n
    longest = max(1, int(history * LARGEST_WINDOW))
    holdout_months, fold_months = min(holdout_months, longest), min(fold_months, longest)
    start = end - holdout_months
    fold_count = min(fold_count, max(1, (history - holdout_months - fold_months) // fold_months))
    starts = [start - fold_months * (fold_count - i) for i in range(fold_count)]
    if (starts[0] - first).n < fold_months:
        raise Fault(
            f"a history of {history} months ({first} to {end - 1}) is too short for a hold-out of {holdout_months} "
            f"months and {fold_count} folds of {fold_months}; bring earlier sales"
        )
    folds = tuple(Window(s.to_timestamp(), (s + fold_months).to_timestamp()) for s in starts)
    return Split(Window(start.to_timestamp(), end.to_timestamp()), folds)


def before(sales: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    return sales[sales["sale_date"] < day]


def within(sales: pd.DataFrame, window: Window) -> pd.DataFrame:
    return sales[(sales["sale_date"] >= window.first) & (sales["sale_date"] < window.end)]
