"""What past sales say of a home: levels paid near by and for alike homes, its own last sale, its surroundings.

Every column rests on `Known`, the sales before the month of valuation. A level is a weighted mean of what
sales fetched above (or below) the hedonic regression, so it means the same from month to month. Which
sales count, and how much, is decided by place, kind and the facts without a declared direction alone: no
column changes when a home gets more of something good, so none can turn a declared direction round.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from models.hedonic import Homes
from models.market import Field, Market
from models.memory import Known, SaleMemory, by_month
from models.near import Asked, Placed, Sold

#: Sales on the map: how many, and in how many years the weight of one falls to 1/e.
NEAREST = (
    *((5, 2.5), (15, 2.5), (50, 2.5), (150, 2.5)),
    *((50, 0.8), (150, 0.8), (150, 0.4), (50, 0.25)),
)
ALIKE = ((5, 2.5), (12, 2.5), (30, 2.5), (60, 0.8), (120, 0.4))  # sales of alike homes near by
RECENT, RECENT_MONTHS = ((15, 2.5), (60, 0.4), (150, 0.25)), 9  # of the last months alone
NTH_NEAR, NTH_ALIKE = 15, 12  # the sale whose distance says how thin the evidence is
AROUND = 30  # sales whose homes are the surroundings
SHRINK = 10.0  # sales: what holds the level of a rare category back
OWN = 3  # the last columns: the home's own last sale, its age, months behind
KEPT = 3  # months laid out at a time: each holds trees over all sales before it


@dataclass(frozen=True)
class Column:
    """A column of the evidence.

    Attributes:
        group: the reason it is told under.
        counted: it counts something, so that none is another thing than hardly any; the others are measures.
    """

    name: str
    label: str
    group: str
    counted: bool = False


def evidence_columns(market: Market) -> tuple[Column, ...]:
    """The columns of a market, in order; a market that doesn't say where homes are has fewer."""
    levels = [Column(f"level_{f.name}", f"Level of sales by {f.label.lower()}", f.group) for f in _categories(market)]
    behind = Column("months_behind", "Months since the last that is known", "market", counted=True)
    own = [
        Column("last_sale", "Level of the home's own last sale", "history"),
        Column("last_sale_age", "Years since the home's last sale", "history"),
    ]
    if not market.says_where:
        return (*levels, *own, behind)
    near = [
        *(Column(_name("near", k, fading), f"Level of the {k} nearest sales{_memory(fading)}", "comparables")
          for k, fading in NEAREST),
        *(Column(_name("recent", k, fading),
                 f"Level of the {k} nearest sales of {RECENT_MONTHS} months{_memory(fading)}", "comparables")
          for k, fading in RECENT),
        Column("near_distance", f"Distance of the {NTH_NEAR}th nearest sale", "location"),
    ]  # fmt: skip
    alike = [
        Column(_name("alike", k, fading), f"Level of the {k} most alike sales near by{_memory(fading)}", "comparables")
        for k, fading in ALIKE
    ]
    alike.append(Column("alike_distance", f"Distance of the {NTH_ALIKE} most alike sales", "location"))
    around = [Column("around_standing", "Standing of the homes around", "location")]
    around += [
        Column(f"around_{f.name}", f"{f.label} of the homes around", "location", counted=f.type == "flag")
        for f in _numbers(market)
    ]
    return (*near, *alike, *around, *levels, *own, behind)


class Evidence:
    """The evidence of one memory; what a month needs is laid out once and kept, for the last months asked for."""

    def __init__(self, memory: SaleMemory) -> None:
        self.memory = memory
        self._categories = _categories(memory.market)
        numbers = [memory.market.fields.index(field) for field in _numbers(memory.market)]
        self._facts = memory.terms.scores(memory.sales)[:, numbers]
        self._width = len(evidence_columns(memory.market))
        self._there = self._width - len(self._categories) - OWN if memory.market.says_where else 0
        self._laid: OrderedDict[int, _Laid] = OrderedDict()
        self._lock = Lock()

    def of(self, homes: Homes, raw: np.ndarray, property_id: Any, days: Any, until: int | None = None) -> np.ndarray:
        """What was known of each home before the month of its day; shape (homes, columns).

        Args:
            raw: of the homes, as `Terms.raw` gives it.
            property_id: None for a home that is not known, shape (homes,).
            days: valuation dates, shape (homes,).
            until: a month; of it and later ones nothing is known either.
        """
        at = np.asarray(days, dtype="datetime64[D]").astype("float64")
        near, alike = self.memory.places.points(homes, raw, at / 365.25)
        names = np.asarray(property_id, dtype=object)
        categories = [np.asarray(homes[field.name], dtype=object) for field in self._categories]
        told = np.empty((len(at), self._width))
        for month, rows in by_month(self.memory.months(days)):
            laid = self.laid(month if until is None else min(month, until))
            if self._there:
                told[rows, : self._there] = self._of_place(laid, near[rows], alike[rows])
            for i, (field, values) in enumerate(zip(self._categories, categories, strict=True), self._there):
                told[rows, i] = laid.levels(field.name, values[rows])
            told[rows, -OWN:-1] = laid.last_sales(names[rows], at[rows])
            told[rows, -1] = month - laid.known.month
        return told

    def laid(self, month: int) -> _Laid:
        """What is laid out for a month."""
        vintage = self.memory.vintage_month(month)
        with self._lock:  # while one lays a month out, others who ask wait for it
            if vintage not in self._laid:
                self._laid[vintage] = _lay(self.memory, self.memory.known(vintage), self._categories)
            self._laid.move_to_end(vintage)
            while len(self._laid) > KEPT:
                self._laid.popitem(last=False)
            return self._laid[vintage]

    def _of_place(self, laid: _Laid, near: np.ndarray, alike: np.ndarray) -> np.ndarray:
        """What hangs on where the homes are; NaN for one whose place is not known."""
        placed = np.isfinite(near).all(axis=1)
        if not placed.all():
            told = np.full((len(near), self._there), np.nan)
            told[placed] = self._of_place(laid, near[placed], alike[placed])
            return told
        nearest, far = laid.near.levels(near)
        recent, _ = laid.recent.levels(near)
        like, unlike = laid.alike.levels(alike)
        _, around = laid.around.nearest(near, AROUND)
        return np.hstack(
            [
                *(nearest, recent, far[:, :NTH_NEAR][:, -1:]),
                *(like, unlike[:, :NTH_ALIKE].mean(axis=1, keepdims=True)),
                *(laid.known.standing[around].mean(axis=1, keepdims=True), self._facts[around].mean(axis=1)),
            ]
        )


@dataclass(frozen=True)
class _Laid:
    """One vintage, laid out for looking things up.

    A sale that is taken for an error is in `around` alone: its price is not believed, its facts are.

    Attributes:
        sold: the sales of each home, in the order of time.
        near, recent, alike: the believed sales, those of the last months alone, and all again by what they are like.
    """

    known: Known
    day: np.ndarray
    near: Sold
    recent: Sold
    alike: Sold
    around: Placed
    sold: dict[str, tuple[int, ...]]
    by_category: dict[str, dict[str, float]]

    def levels(self, name: str, values: np.ndarray) -> list[float]:
        """What sales of each category fetched; a category never sold tells nothing."""
        known = self.by_category[name]
        return [known.get(value, 0.0) for value in values]

    def last_sales(self, property_id: Iterable[str | None], day: np.ndarray) -> np.ndarray:
        """Level of each home's own last sale and its age in years; NaN for a home not known to have been sold."""
        told = np.full((len(day), 2), np.nan)
        for i, name in enumerate(property_id):
            if sales := self.sales_of(name):
                sale = sales[-1]
                told[i] = self.known.residual[sale], (day[i] - self.day[sale]) / 365.25
        return told

    def sales_of(self, property_id: str | None) -> tuple[int, ...]:
        """Positions of the known sales of a home, the last at the end."""
        return () if property_id is None else self.sold.get(property_id, ())


def _lay(memory: SaleMemory, known: Known, categories: Sequence[Field]) -> _Laid:
    trusted = known.trusted
    recent_at = trusted[memory.month[trusted] >= known.month - RECENT_MONTHS]
    if len(recent_at) < (enough := 2 * max(k for k, _ in RECENT)):
        recent_at = trusted[-enough:]

    def sold(points: np.ndarray, at: np.ndarray, asked: Asked) -> Sold:
        return Sold(points[at], known.residual[at], (known.month - memory.month[at]) / 12, asked)

    near, alike = memory.points
    homes: dict[str, list[int]] = {}
    for i, name in enumerate(memory.sales["property_id"].iloc[: known.count].tolist()):
        homes.setdefault(name, []).append(i)
    return _Laid(
        known=known,
        day=memory.day[: known.count],
        near=sold(near, trusted, NEAREST),
        recent=sold(near, recent_at, RECENT),
        alike=sold(alike, trusted, ALIKE),
        around=Placed(near[: known.count]),
        sold={name: tuple(sales) for name, sales in homes.items()},  # which the garbage collector need not walk
        by_category={f.name: _by_category(memory, known, f) for f in categories},
    )


def _by_category(memory: SaleMemory, known: Known, category: Field) -> dict[str, float]:
    told = memory.sales[category.name].iloc[known.trusted]
    levels = known.residual[known.trusted]
    grouped = told.groupby(told, sort=True).indices  # without the missing ones
    return {str(name): float(levels[rows].sum() / (len(rows) + SHRINK)) for name, rows in grouped.items()}


def _numbers(market: Market) -> list[Field]:
    return [f for f in market.fields if not f.is_category and f.role not in ("latitude", "longitude")]


def _categories(market: Market) -> list[Field]:
    return [f for f in market.fields if f.is_category]


def _name(what: str, k: int, fading: float) -> str:
    return f"{what}_{k}" if fading >= 2 else f"{what}_{k}_in_{round(12 * fading)}_months"


def _memory(fading: float) -> str:
    return "" if fading >= 2 else f", fading in {round(12 * fading)} months"
