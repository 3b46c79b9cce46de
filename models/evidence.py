"""What past sales say of a home: levels paid near by and for alike homes, its own last sale, its surroundings.

Every column rests on `Known`, the sales before the month of valuation. A level is a weighted mean of what
sales fetched above (or below) the hedonic regression, so it means the same from month to month. Which
sales count, and how much, is decided by place, kind and the facts without a declared direction alone: no
column changes when a home gets more of something good, so none can turn a declared direction round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    *((50, 0.8), (150, 0.8), (150, 0.4), (400, 0.4), (50, 0.25), (1000, 0.25)),
)
ALIKE = ((5, 2.5), (12, 2.5), (30, 2.5), (60, 0.8), (120, 0.4))  # sales of alike homes near by
RECENT, RECENT_MONTHS = (15, 60), 9
NTH_NEAR, NTH_ALIKE = 15, 12  # the sale whose distance says how thin the evidence is
AROUND = 30  # sales whose homes are the surroundings
CLOSEST = 0.3  # distance units below which nearer is not heavier
HAIR = 1e-9  # distance units that each later sale lets an older one at the same spot stand back
SHRINK = 10.0  # sales: what holds the level of a rare category back
KEPT = 3  # months laid out at a time: each holds trees over all sales before it


@dataclass(frozen=True)
class Column:
    """A column of the evidence, for people: `group` is the reason it is told under."""

    name: str
    label: str
    group: str


def evidence_columns(market: Market) -> tuple[Column, ...]:
    """The columns of a market, in order; a market that doesn't say where homes are has fewer."""
    levels = [Column(f"level_{f.name}", f"Level of sales by {f.label.lower()}", f.group) for f in _categories(market)]
    behind = Column("months_behind", "Months since the last that is known", "market")
    own = [
        Column("last_sale", "Level of the home's own last sale", "history"),
        Column("last_sale_age", "Years since the home's last sale", "history"),
    ]
    if not market.says_where:
        return (*levels, *own, behind)
    near = [
        *(Column(_name("near", k, fading), f"Level of the {k} nearest sales{_memory(fading)}", "comparables")
          for k, fading in NEAREST),
        *(Column(f"recent_{k}", f"Level of the {k} nearest sales of {RECENT_MONTHS} months", "comparables")
          for k in RECENT),
        Column("near_distance", f"Distance of the {NTH_NEAR}th nearest sale", "location"),
    ]  # fmt: skip
    alike = [
        Column(_name("alike", k, fading), f"Level of the {k} most alike sales near by{_memory(fading)}", "comparables")
        for k, fading in ALIKE
    ]
    alike.append(Column("alike_distance", f"Distance of the {NTH_ALIKE} most alike sales", "location"))
    around = [Column("around_standing", "Standing of the homes around", "location")]
    around += [Column(f"around_{f.name}", f"{f.label} of the homes around", "location") for f in _numbers(market)]
    return (*near, *alike, *around, *levels, *own, behind)


class Evidence:
    """The evidence of one memory; what a month needs is laid out once and kept, for the last months asked for."""

    def __init__(self, memory: SaleMemory) -> None:
        self.memory = memory
        terms = {t.field.name: t for t in memory.terms.terms}
        self._numbers = [terms[f.name] for f in _numbers(memory.market)]
        self._categories = _categories(memory.market)
        self._facts = _facts(memory.sales, self._numbers)
        self._laid = lru_cache(KEPT)(self._lay)  # safe from several threads

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
        told = np.empty((len(at), len(evidence_columns(self.memory.market))))
        for month in np.unique(months):
            rows = np.flatnonzero(months == month)
            laid = self.laid(int(month) if until is None else min(int(month), until))
            parts = []
            if self.memory.market.says_where:
                parts += [*self._near(laid, near[rows], int(month)), self._alike(laid, alike[rows], int(month))]
                parts += [self._around(laid, near[rows])]
            parts += [laid.levels(f.name, told_[rows]) for f, told_ in zip(self._categories, categories, strict=True)]
            parts.append(laid.last_sales([property_id[int(row)] for row in rows], at[rows]))
            parts.append(np.full((len(rows), 1), float(month - laid.known.month)))
            told[rows] = np.hstack(parts)
        return told

    def laid(self, month: int) -> _Laid:
        """What is laid out for a month."""
        return self._laid(self.memory.vintage_month(month))

    def _lay(self, vintage: int) -> _Laid:
        return _lay(self.memory, self.memory.known(vintage), self._categories)

    def _near(self, laid: _Laid, points: np.ndarray, month: int) -> tuple[np.ndarray, ...]:
        distance, position = _query(laid.near, points, max(k for k, _ in NEAREST))
        residual, age = laid.residual(position), laid.years_before(position, month)
        levels = [_level(residual[:, :k], age[:, :k], distance[:, :k], fading) for k, fading in NEAREST]
        _, recent = _query(laid.recent, points, max(RECENT))
        of_recent = laid.residual(recent, laid.recent_at)
        levels += [of_recent[:, :k].mean(axis=1) for k in RECENT]
        return np.column_stack(levels), distance[:, [min(NTH_NEAR, distance.shape[1]) - 1]]

    def _alike(self, laid: _Laid, points: np.ndarray, month: int) -> np.ndarray:
        distance, position = _query(laid.alike, points, max(k for k, _ in ALIKE))
        residual, age = laid.residual(position), laid.years_before(position, month)
        levels = [_level(residual[:, :k], age[:, :k], distance[:, :k], fading) for k, fading in ALIKE]
        return np.column_stack([*levels, distance[:, :NTH_ALIKE].mean(axis=1)])

    def _around(self, laid: _Laid, points: np.ndarray) -> np.ndarray:
        _, position = _query(laid.around, points, AROUND)
        at = np.maximum(position, 0)
        told = np.column_stack([laid.known.standing[at].mean(axis=1), self._facts[at].mean(axis=1)])
        told[position[:, 0] < 0] = np.nan
        return told


@dataclass(frozen=True)
class _Laid:
    """One vintage, laid out for looking things up; `recent_at` are the positions that `recent` holds.

    A sale that is taken for an error is in `around` alone: its price is not believed, its facts are.
    """

    known: Known
    month: np.ndarray
    day: np.ndarray
    near: cKDTree
    recent: cKDTree
    recent_at: np.ndarray
    alike: cKDTree
    around: cKDTree
    last_sale: dict[str, int]
    by_category: dict[str, dict[str, float]]

    def at(self, position: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        """Positions in the memory of what a tree found."""
        return (self.known.trusted if among is None else among)[np.maximum(position, 0)]

    def residual(self, position: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        return np.where(position < 0, np.nan, self.known.residual[self.at(position, among)])

    def years_before(self, position: np.ndarray, month: int) -> np.ndarray:
        return (month - self.month[self.at(position)]) / 12

    def levels(self, name: str, values: np.ndarray) -> np.ndarray:
        """What sales of each category fetched; a category never sold tells nothing."""
        known = self.by_category[name]
        return np.array([known.get(value, 0.0) for value in values], dtype="float64")[:, None]

    def last_sales(self, property_id: Sequence[str | None], day: np.ndarray) -> np.ndarray:
        """Level of each home's own last sale and its age in years; NaN for a home not known to have been sold."""
        told = np.full((len(day), 2), np.nan)
        for i, name in enumerate(property_id):
            if name is not None and (sale := self.last_sale.get(name)) is not None:
                told[i] = self.known.residual[sale], (day[i] - self.day[sale]) / 365.25
        return told


def _lay(memory: SaleMemory, known: Known, categories: Sequence[Field]) -> _Laid:
    trusted = known.trusted
    recent_at = trusted[memory.month[trusted] >= known.month - RECENT_MONTHS]
    if len(recent_at) < 2 * max(RECENT):
        recent_at = trusted[-2 * max(RECENT) :]
    property_id = memory.sales["property_id"].to_numpy(dtype=object)[: known.count]
    return _Laid(
        known=known,
        month=memory.month[: known.count],
        day=memory.day[: known.count],
        near=_tree(memory.near[trusted]),
        recent=_tree(memory.near[recent_at]),
        recent_at=recent_at,
        alike=_tree(memory.alike[trusted]),
        around=_tree(memory.near[: known.count]),
        last_sale={name: i for i, name in enumerate(property_id)},  # the last of a home's sales stays
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
    return cKDTree(np.where(np.isfinite(points), points + HAIR * older, 1e9))


def _query(tree: cKDTree, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and positions of the k nearest, fewer where there are fewer; NaN and -1 for a point without place."""
    k = min(k, tree.n)
    distance, position = np.full((len(points), k), np.nan), np.full((len(points), k), -1)
    placed = np.isfinite(points).all(axis=1)
    if placed.any():
        found = tree.query(points[placed], k=range(1, k + 1))
        distance[placed], position[placed] = found
    return distance, position


def _level(residual: np.ndarray, years: np.ndarray, distance: np.ndarray, fading: float) -> np.ndarray:
    weight = np.exp(-years / fading) / (distance + CLOSEST)
    return (weight * residual).sum(axis=1) / weight.sum(axis=1)


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
