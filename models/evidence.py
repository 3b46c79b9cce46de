"""What past sales say of a home: levels paid near by and for alike homes, its own last sale, its surroundings.

Every column rests on `Known`, the sales before the month of valuation. A level is a weighted mean of what
sales fetched above (or below) the hedonic regression, so it means the same from month to month. Which
sales count, and how much, is decided by place, kind and the facts without a declared direction alone: no
column changes when a home gets more of something good, so none can turn a declared direction round.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from models.hedonic import Homes, Term
from models.market import Field, Market
from models.memory import Known, SaleMemory

#: Sales on the map: how many, and in how many years the weight of one falls to 1/e.
NEAREST = (
    *((5, 2.5), (15, 2.5), (50, 2.5), (150, 2.5)),
    *((50, 0.8), (150, 0.8), (150, 0.4), (50, 0.25)),
)
ALIKE = ((5, 2.5), (12, 2.5), (30, 2.5), (60, 0.8), (120, 0.4))  # sales of alike homes near by
RECENT, RECENT_MONTHS = ((15, 2.5), (60, 0.4), (150, 0.25)), 9  # of the last months alone
NTH_NEAR, NTH_ALIKE = 15, 12  # the sale whose distance says how thin the evidence is
AROUND = 30  # sales whose homes are the surroundings
CLOSEST = 0.3  # distance units below which nearer is not heavier
HAIR = 1e-9  # distance units that each later sale lets an older one at the same spot stand back
SHRINK = 10.0  # sales: what holds the level of a rare category back
LEAF = 32  # points of a tree's leaf: hundreds are asked for at once
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
        terms = {t.field.name: t for t in memory.terms.terms}
        self._numbers = [terms[f.name] for f in _numbers(memory.market)]
        self._categories = _categories(memory.market)
        self._facts = _facts(memory.sales, self._numbers)
        self._width = len(evidence_columns(memory.market))
        self._laid: OrderedDict[int, _Laid] = OrderedDict()
        self._lock = Lock()

    def of(self, homes: Homes, property_id: Sequence[str | None], days: Any, until: int | None = None) -> np.ndarray:
        """What was known of each home before the month of its day; shape (homes, columns).

        Args:
            days: valuation dates, shape (homes,).
            until: a month; of it and later ones nothing is known either.
        """
        at = np.asarray(days, dtype="datetime64[D]").astype("float64")
        near = self.memory.places.near(homes, at / 365.25)
        alike = self.memory.places.alike(homes, near)
        categories = [np.asarray(homes[f.name], dtype=object) for f in self._categories]
        months = self.memory.months(days)
        told = np.empty((len(at), self._width))
        for month in np.unique(months):
            rows = np.flatnonzero(months == month)
            laid = self.laid(int(month) if until is None else min(int(month), until))
            parts = []
            if self.memory.market.says_where:
                parts += [_near(laid, near[rows]), _alike(laid, alike[rows]), self._around(laid, near[rows])]
            parts += [laid.levels(f.name, told_[rows]) for f, told_ in zip(self._categories, categories, strict=True)]
            parts.append(laid.last_sales([property_id[int(row)] for row in rows], at[rows]))
            parts.append(np.full((len(rows), 1), float(month - laid.known.month)))
            told[rows] = np.hstack(parts)
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

    def _around(self, laid: _Laid, points: np.ndarray) -> np.ndarray:
        _, position = _query(laid.around, points, AROUND)
        at = np.maximum(position, 0)
        told = np.column_stack([laid.known.standing[at].mean(axis=1), self._facts[at].mean(axis=1)])
        told[position[:, 0] < 0] = np.nan
        return told


Asked = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _Sold:
    """Believed sales as points in a tree, with the residual of each and its age in years; shape (n,)."""

    tree: cKDTree
    residual: np.ndarray
    years: np.ndarray

    @cached_property
    def fresh(self) -> dict[float, np.ndarray]:
        """What each counts for its age, by the years in which that falls to 1/e."""
        fadings = {fading for _, fading in (*NEAREST, *RECENT, *ALIKE)}
        return {fading: np.exp(-self.years / fading) for fading in fadings}

    def query(self, points: np.ndarray, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
        """As `_query`, for the most sales that are asked for."""
        return _query(self.tree, points, max(k for k, _ in asked))

    def levels(self, distance: np.ndarray, position: np.ndarray, asked: Asked) -> np.ndarray:
        """Mean residuals of the first so many of what was found, the nearer and the newer counting more.

        One pass for each fading: a home's nearest sales are a part of its many nearest.
        """
        nearness, residual = 1 / (distance + CLOSEST), self.residual[position]
        told = np.empty((len(distance), len(asked)))
        for fading, columns, counts in _by_fading(asked):
            last = np.minimum(counts, distance.shape[1]) - 1
            first = slice(last[-1] + 1)
            weight = nearness[:, first] * self.fresh[fading][position[:, first]]
            sums = (weight * residual[:, first]).cumsum(axis=1)
            told[:, columns] = sums[:, last] / weight.cumsum(axis=1)[:, last]
        return told


@cache
def _by_fading(asked: Asked) -> tuple[tuple[float, np.ndarray, np.ndarray], ...]:
    """For each fading the columns that ask for it and how many sales each counts, the most last."""
    told = []
    for fading in dict.fromkeys(years for _, years in asked):
        columns = sorted((i for i, (_, years) in enumerate(asked) if years == fading), key=lambda i: asked[i][0])
        told.append((fading, np.array(columns), np.array([asked[i][0] for i in columns])))
    return tuple(told)


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
    near: _Sold
    recent: _Sold
    alike: _Sold
    around: cKDTree
    sold: dict[str, tuple[int, ...]]
    by_category: dict[str, dict[str, float]]

    def levels(self, name: str, values: np.ndarray) -> np.ndarray:
        """What sales of each category fetched; a category never sold tells nothing."""
        known = self.by_category[name]
        return np.array([known.get(value, 0.0) for value in values], dtype="float64")[:, None]

    def last_sales(self, property_id: Sequence[str | None], day: np.ndarray) -> np.ndarray:
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


def _near(laid: _Laid, points: np.ndarray) -> np.ndarray:
    distance, position = laid.near.query(points, NEAREST)
    levels = laid.near.levels(distance, position, NEAREST)
    recent = laid.recent.levels(*laid.recent.query(points, RECENT), RECENT)
    nth = min(NTH_NEAR, distance.shape[1])
    return np.hstack([levels, recent, distance[:, nth - 1 : nth]])


def _alike(laid: _Laid, points: np.ndarray) -> np.ndarray:
    distance, position = laid.alike.query(points, ALIKE)
    apart = distance[:, :NTH_ALIKE].mean(axis=1, keepdims=True)
    return np.hstack([laid.alike.levels(distance, position, ALIKE), apart])


def _lay(memory: SaleMemory, known: Known, categories: Sequence[Field]) -> _Laid:
    trusted = known.trusted
    recent_at = trusted[memory.month[trusted] >= known.month - RECENT_MONTHS]
    if len(recent_at) < (enough := 2 * max(k for k, _ in RECENT)):
        recent_at = trusted[-enough:]

    def sold(points: np.ndarray, at: np.ndarray) -> _Sold:
        return _Sold(_tree(points[at]), known.residual[at], (known.month - memory.month[at]) / 12)

    homes: dict[str, list[int]] = {}
    for i, name in enumerate(memory.sales["property_id"].iloc[: known.count].tolist()):
        homes.setdefault(name, []).append(i)
    return _Laid(
        known=known,
        day=memory.day[: known.count],
        near=sold(memory.near, trusted),
        recent=sold(memory.near, recent_at),
        alike=sold(memory.alike, trusted),
        around=_tree(memory.near[: known.count]),
        sold={name: tuple(sales) for name, sales in homes.items()},  # which the garbage collector need not walk
        by_category={f.name: _by_category(memory, known, f) for f in categories},
    )


def _by_category(memory: SaleMemory, known: Known, category: Field) -> dict[str, float]:
    told = memory.sales[category.name].iloc[known.trusted]
    levels = known.residual[known.trusted]
    grouped = told.groupby(told, sort=True).indices  # without the missing ones
    return {str(name): float(levels[rows].sum() / (len(rows) + SHRINK)) for name, rows in grouped.items()}


def _tree(points: np.ndarray) -> cKDTree:
    """The points that have a place, in the order of time; the others are put where nobody looks.

    Of two at the same spot the newer is nearer by a hair: else the tree's layout, and with it any other sale,
    would decide which of them counts.
    """
    older = np.arange(len(points), 0, -1)[:, None]
    return cKDTree(np.where(np.isfinite(points), points + HAIR * older, 1e9), leafsize=LEAF)


def _query(tree: cKDTree, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and positions of the k nearest, fewer where there are fewer; NaN and -1 for a point without place."""
    k = min(k, tree.n)
    distance, position = np.full((len(points), k), np.nan), np.full((len(points), k), -1)
    placed = np.isfinite(points).all(axis=1)
    if placed.any():
        found = tree.query(points[placed], k=k if k > 1 else [1])  # a list, for one alone, keeps the shape
        distance[placed], position[placed] = found
    return distance, position


def _numbers(market: Market) -> list[Field]:
    return [f for f in market.fields if not f.is_category and f.role not in ("latitude", "longitude")]


def _categories(market: Market) -> list[Field]:
    return [f for f in market.fields if f.is_category]


def _facts(sales: pd.DataFrame, terms: Sequence[Term]) -> np.ndarray:
    """Standard scores of numbers, flags as 0 or 1; shape (n, terms)."""
    parts = [
        t.columns(sales[t.field.name])[:, 0] if t.field.type == "flag" else t.score(sales[t.field.name]) for t in terms
    ]
    return np.column_stack(parts) if parts else np.zeros((len(sales), 0))


def _name(what: str, k: int, fading: float) -> str:
    return f"{what}_{k}" if fading >= 2 else f"{what}_{k}_in_{round(12 * fading)}_months"


def _memory(fading: float) -> str:
    return "" if fading >= 2 else f", fading in {round(12 * fading)} months"
