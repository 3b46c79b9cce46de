"""The memory of sales: what was known before each month, and nothing that came after.

A valuation in month m rests on the sales before the first day of m and on the hedonic regression of
just these sales: the vintage of m. Training, judging and serving all go through it, so a sale of the
future can't reach a value, and the memory of a champion grows without the forest being trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from models.fault import Fault
from models.hedonic import DISBELIEVED, Hedonic, Terms, fit_terms, fit_worth
from models.market import Market
from models.market_index import MarketIndex
from models.place import Places, fit_places

#: The first sales only teach: so many months and so many sales before anything can be valued.
FIRST_MONTHS, FIRST_SALES = 6, 200
CLIPPED = 3.0  # robust standard deviations of the hedonic residual, beyond which it counts as no more

Progress = Callable[[Iterable[int]], Iterable[int]]


def month_number(days: Any) -> np.ndarray:
    """Months since the year 0, shape (n,)."""
    months = np.asarray(days, dtype="datetime64[D]").astype("datetime64[M]").astype("int64")
    return months + 1970 * 12


def by_month(months: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Each month there is, and the rows it has: all at once where it is the only one, as in nearly every question."""
    if len(months) and (months == months[0]).all():
        yield int(months[0]), slice(None)
        return
    for month in np.unique(months):
        yield int(month), months == month


def month_period(month: int) -> pd.Period:
    return pd.Period(year=month // 12, month=month % 12 + 1, freq="M")


@dataclass(frozen=True)
class Known:
    """What is known before one month.

    Attributes:
        count: the sales before it are the memory's first `count`.
        hedonic: their regression.
        standing: of each such sale, as `Hedonic.standing`.
        residual: log price less standing and index, clipped.
        trusted: positions of the sales that are believed.
    """

    month: int
    count: int
    hedonic: Hedonic
    standing: np.ndarray
    residual: np.ndarray
    trusted: np.ndarray


@dataclass(frozen=True)
class SaleMemory:
    """Sales in the order of `canonical_sales`, and one vintage for each month that can be valued.

    Attributes:
        vintages: by month number; the last is of the month after the last sale.
    """

    market: Market
    sales: pd.DataFrame
    terms: Terms
    places: Places
    vintages: dict[int, Hedonic]

    @property
    def first_month(self) -> int:
        return min(self.vintages)

    @property
    def end_month(self) -> int:
        """The first month of which no sale is known."""
        return max(self.vintages)

    @cached_property
    def first_day(self) -> date:
        """The first day that can be valued."""
        return month_period(self.first_month).start_time.date()

    @cached_property
    def last_sale(self) -> date:
        day: date = self.sales["sale_date"].max().date()
        return day

    @cached_property
    def month(self) -> np.ndarray:
        return month_number(self.sales["sale_date"])

    @cached_property
    def sale_day(self) -> np.ndarray:
        return self.sales["sale_date"].to_numpy().astype("datetime64[D]")

    @cached_property
    def day(self) -> np.ndarray:
        """Days since 1970, as a number."""
        return self.sale_day.astype("float64")

    @cached_property
    def sale_id(self) -> np.ndarray:
        return self.sales["sale_id"].to_numpy(dtype=object)

    @cached_property
    def property_id(self) -> np.ndarray:
        return self.sales["property_id"].to_numpy(dtype=object)

    @cached_property
    def price(self) -> np.ndarray:
        return self.sales["price"].to_numpy("float64")

    @cached_property
    def log_price(self) -> np.ndarray:
        return np.log(self.price)

    @cached_property
    def design(self) -> np.ndarray:
        return self.terms.design(self.sales)

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the sales on the map and by what they are like, as `Places` gives them."""
        return self.places.points(self.sales, self.terms.raw(self.sales), self.day / 365.25)

    @cached_property
    def kilometres(self) -> np.ndarray:
        """East and north of the middle; only where the market has coordinates."""
        return self.places.kilometres(self.sales)

    def months(self, days: Any) -> np.ndarray:
        """Month numbers of valuation dates, shape (n,)."""
        return month_number(days)

    def vintage_month(self, month: int) -> int:
        """The vintage that speaks for a month: its own, or the last where the memory ends before."""
        return min(int(month), self.end_month)

    def index(self, month: int) -> MarketIndex:
        return self.vintages[self.vintage_month(month)].index

    def level(self, days: Any) -> np.ndarray:
        """Log price of the typical home on each day, as it was foreseen before the day's month began."""
        at = np.asarray(days, dtype="datetime64[D]")
        level = np.empty(len(at))
        for month, rows in by_month(month_number(at)):
            level[rows] = self.index(month).level(at[rows])
        return level

    def known(self, month: int) -> Known:
        """What speaks for a month."""
        return self._work_out(self.vintage_month(month))

    def before(self, day: pd.Timestamp) -> SaleMemory:
        """The memory as it was on the first day of that month: frozen there."""
        end = int(month_number([day])[0])
        if end < self.first_month:
            raise Fault(f"the memory can't be frozen at {day:%Y-%m-%d}: it can value from {self.first_day} on")
        return self._until(end)

    def undisturbed(self, sales: pd.DataFrame) -> SaleMemory:
        """What of the memory stays as it is beside these sales: all, or all but a last month that has more sales now.

        What was known before its last month is not touched, so a value told for an earlier day is told again.
        """
        last = self.end_month - 1
        then = set(sales["sale_id"][month_number(sales["sale_date"]) == last])
        finished = then <= set(self.sales["sale_id"][self.month == last])
        return self if finished or last < self.first_month else self._until(last)

    def grown(self, sales: pd.DataFrame) -> SaleMemory:
        """With what these canonical sales, in their order, have after its end; earlier ones are passed over."""
        fresh = sales[month_number(sales["sale_date"]) >= self.end_month]
        if fresh.empty:
            return self
        every = pd.concat([self.sales, fresh[list(self.sales.columns)]], ignore_index=True)
        grown = SaleMemory(self.market, every, self.terms, self.places, dict(self.vintages))
        grown._teach(range(self.end_month + 1, int(grown.month[-1]) + 2))
        return grown

    def _until(self, end: int) -> SaleMemory:
        sales = self.sales[self.month < end].reset_index(drop=True)
        vintages = {m: v for m, v in self.vintages.items() if m <= end}
        return SaleMemory(self.market, sales, self.terms, self.places, vintages)

    def _teach(self, months: Iterable[int]) -> None:
        """Works out the vintages of these months."""
        start = int(self.month[0])
        for month in months:
            count = int(np.searchsorted(self.month, month))
            self.vintages[month] = fit_worth(
                self.terms, self.design[:count], self.month[:count] - start, self.log_price[:count], month_period(start)
            )

    def _work_out(self, vintage: int) -> Known:
        count = int(np.searchsorted(self.month, vintage))
        hedonic = self.vintages[vintage]
        standing = hedonic.standing(self.design[:count])
        raw = self.log_price[:count] - standing - hedonic.index.level(self.sales["sale_date"].iloc[:count])
        spread = max(1.4826 * float(np.median(np.abs(raw))), 1e-9)
        trusted = np.flatnonzero(np.abs(raw) < DISBELIEVED * spread)
        return Known(vintage, count, hedonic, standing, np.clip(raw, -CLIPPED * spread, CLIPPED * spread), trusted)


def build_memory(sales: pd.DataFrame, market: Market, progress: Progress = iter) -> SaleMemory:
    """The memory of these sales.

    What is measured once (the terms' scores, the unit of distance) comes from the first sales alone, so
    that a memory that has grown says of an earlier month what it said then.

    Args:
        sales: canonical sales, in their order.
        progress: wraps the months that are worked through, to show how far they are.

    Raises:
        Fault: when the history is too short to value anything.
    """
    months = month_number(sales["sale_date"])
    first = _first_valued(months)
    opening = sales[months < first]
    terms = fit_terms(opening, market)
    memory = SaleMemory(market, sales.reset_index(drop=True), terms, fit_places(opening, market, terms), {})
    memory._teach(progress(range(first, int(months[-1]) + 2)))
    return memory


def _first_valued(months: np.ndarray) -> int:
    if len(months) < FIRST_SALES + 1:
        raise Fault(f"{len(months)} sales are too few to learn from; at least {FIRST_SALES + 1} are needed")
    first = max(int(months[0]) + FIRST_MONTHS, int(months[FIRST_SALES]) + 1)
    if first > int(months[-1]):
        raise Fault(
            f"the sales of {month_period(int(months[0]))} to {month_period(int(months[-1]))} are too short a history: "
            f"the first {FIRST_MONTHS} months and {FIRST_SALES} sales only teach"
        )
    return first
