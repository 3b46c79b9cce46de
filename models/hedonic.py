"""Hedonic regression: log price as a sum of what each fact is worth, and of the month of sale.

It gives the market index its levels and every valuation its first approximation, and is itself a
reference model that a candidate must beat. It keeps the declared directions, whatever the sales say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from models.market import Field, Market
from models.market_index import MarketIndex, month_numbers

RIDGE = 1.0  # in sales: what holds a rare category back
SMOOTHNESS = 10.0  # on second differences of the monthly levels; fills months without a sale
RARE = 20  # a category with fewer sales has no term of its own
#: Robust standard deviations of the residual: Huber's bound; where a sale is taken for an error; where it is silent.
OUTLIER, DISBELIEVED, SILENT = 1.5, 4.0, 6.0
FADING = 3.0  # years before the last sale in which a sale's weight falls to 1/e: what a fact is worth changes
ROUNDS = 4  # of reweighting; the weights have settled by then
FARTHEST = 5.0  # standard scores beyond which a number counts as no farther; twice that where it has a direction
KNOTS = (0.1, 0.5, 0.9, 0.99)  # quantiles at which the line of a number with a direction may break
_SIGN = {"up": 1.0, "down": -1.0, None: 0.0}

Homes = pd.DataFrame | Mapping[str, Sequence[Any]]


class Piece(NamedTuple):
    """One column of a term: the score between two bounds, counted from `start`, and perhaps squared."""

    low: float = -np.inf
    high: float = np.inf
    start: float = 0.0
    squared: bool = False


@dataclass(frozen=True)
class Term:
    """How one field enters.

    A category by indicators, a flag as 0 or 1. A number by its (log) standard score: without a direction
    with the score's square; with one as a broken line over `knots`, whose every piece must rise (or fall).
    """

    field: Field
    categories: tuple[str, ...] = ()
    log: bool = False
    mean: float = 0.0
    spread: float = 1.0
    knots: tuple[float, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """A column each; of a category, which takes its position for its score, one that counts from each position."""
        if self.field.is_category:
            return tuple(Piece(start=float(position)) for position in range(len(self.categories)))
        if self.field.type == "flag":
            return (Piece(),)
        if not self.field.direction:
            return Piece(-FARTHEST, FARTHEST), Piece(-FARTHEST, FARTHEST, squared=True)
        return tuple(_between(low, high) for low, high in pairwise((-np.inf, *self.knots, np.inf)))


@dataclass(frozen=True)
class Terms:
    """All fields' terms; `centre` is their mean over the sales they were fitted on.

    What the terms say is kept as arrays over all of them: a home alone costs as many operations as a thousand.
    """

    terms: tuple[Term, ...]
    centre: np.ndarray

    @cached_property
    def signs(self) -> np.ndarray:
        """1 where a column's worth may not be negative, -1 where it may not be positive, else 0."""
        return np.array([_SIGN[self.terms[at].field.direction] for at in self.term_of_column])

    @cached_property
    def term_of_column(self) -> np.ndarray:
        """Positions, shape (columns,)."""
        return np.repeat(np.arange(len(self.terms)), [len(term.pieces) for term in self.terms])

    def scores(self, homes: Homes) -> np.ndarray:
        """One number a field, shape (n, fields); 0 where it is missing: such a home is a typical one.

        The standard score of a number, a flag as 0 or 1, the position of a category or -1 where it has no term.
        """
        names, at, log, mean, spread = self._numbers
        numbers = read_numbers(homes, names)
        numbers[log] = np.log1p(np.maximum(numbers[log], 0))
        told = np.empty((len(homes[self.terms[0].field.name]), len(self.terms)))
        told[:, at] = (numbers.T - mean) / spread
        told[np.isnan(told)] = 0.0
        for i, name, positions in self._categories:
            told[:, i] = [positions.get(value, -1) for value in homes[name]]
        return told

    def raw(self, homes: Homes) -> np.ndarray:
        """All columns, not centred, shape (n, columns)."""
        low, high, start, squares, indicators = self._pieces
        told = np.clip(self.scores(homes).take(self.term_of_column, axis=1), low, high) - start
        told[:, squares] **= 2
        told[:, indicators] = told[:, indicators] == 0  # the home's category less the column's
        return told

    def design(self, homes: Homes) -> np.ndarray:
        """Centred, shape (n, columns)."""
        return self.raw(homes) - self.centre

    def by_field(self, design: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """What each field adds to log price, shape (n, fields); a row's bits don't hang on the other rows."""
        places, starts = self._sums
        parts = np.zeros((len(design), len(places) + len(starts)))
        parts[:, places] = design * worth
        return np.add.reduceat(parts, starts, axis=1)

    @cached_property
    def _numbers(self) -> tuple[list[str], list[int], list[int], np.ndarray, np.ndarray]:
        """Of all terms but categories: names, positions, which of them are logs, means, spreads."""
        at = [i for i, term in enumerate(self.terms) if not term.field.is_category]
        terms = [self.terms[i] for i in at]
        logs = [i for i, term in enumerate(terms) if term.log]
        names, means, spreads = [t.field.name for t in terms], [t.mean for t in terms], [t.spread for t in terms]
        return names, at, logs, np.array(means), np.array(spreads)

    @cached_property
    def _categories(self) -> list[tuple[int, str, dict[str, int]]]:
        """Of each category's term its position, its name and the positions of its values."""
        categories = [(i, term) for i, term in enumerate(self.terms) if term.field.is_category]
        return [(i, t.field.name, {value: at for at, value in enumerate(t.categories)}) for i, t in categories]

    @cached_property
    def _pieces(self) -> tuple[np.ndarray, ...]:
        """Of all columns bounds and starts; the positions of squares and of indicators."""
        pieces = np.array([piece for term in self.terms for piece in term.pieces])
        indicators = [self.terms[i].field.is_category for i in self.term_of_column]
        return *pieces.T[:3], np.flatnonzero(pieces[:, 3]), np.flatnonzero(indicators)

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the columns lie and the fields begin when each field is led by a zero, which `reduceat` starts from."""
        widths = [len(term.pieces) + 1 for term in self.terms]
        return np.arange(len(self.term_of_column)) + self.term_of_column + 1, np.cumsum([0, *widths[:-1]])


@dataclass(frozen=True)
class Hedonic:
    """`log price = design(home) . worth + index(day)`."""

    terms: Terms
    worth: np.ndarray
    index: MarketIndex

    def standing(self, design: np.ndarray) -> np.ndarray:
        """Log price against a home in the middle of the terms' sales, on the same day; shape (n,)."""
        return self.terms.by_field(design, self.worth).sum(axis=1)

    def value(self, homes: pd.DataFrame, days: pd.Series) -> np.ndarray:
        """Prices in the market's currency, shape (n,)."""
        return np.exp(self.standing(self.terms.design(homes)) + self.index.level(days))


def fit_terms(sales: pd.DataFrame, market: Market) -> Terms:
    terms = tuple(_term(field, sales[field.name]) for field in market.fields)
    return Terms(terms, Terms(terms, np.empty(0)).raw(sales).mean(axis=0))


def read_numbers(homes: Homes, names: Sequence[str]) -> np.ndarray:
    """These fields of homes, NaN where one is missing, shape (names, n)."""
    return np.array([homes[name] for name in names], dtype="float64")


def fit_hedonic(sales: pd.DataFrame, market: Market) -> Hedonic:
    """The regression of these sales, at least one, in the order of `canonical_sales`."""
    terms = fit_terms(sales, market)
    log_price = np.log(sales["price"].to_numpy("float64"))
    first = sales["sale_date"].min().to_period("M")
    return fit_worth(terms, terms.design(sales), month_numbers(sales["sale_date"], first), log_price, first)


def fit_worth(
    terms: Terms, design: np.ndarray, month: np.ndarray, log_price: np.ndarray, first_month: pd.Period
) -> Hedonic:
    """Robust ridge regression with one smoothed level a month.

    Huber weights keep sales that are not of the market from moving the index, and those that are taken for
    errors fall silent by degrees (Hampel 1974, doi:10.1080/01621459.1974.10482962); a Whittaker penalty
    (Eilers 2003, doi:10.1021/ac034173t) smooths the levels and bridges months without a sale. A worth
    that goes against its field's direction is set to nothing, and the rest is fitted again. Older sales
    count less: a neighbourhood rises against the others, and a regression of all years would miss it.

    Args:
        design: shape (n, columns), as `Terms.design` gives it.
        month: whole months since `first_month`, shape (n,), ascending.
        log_price: shape (n,).
    """
    signs, months = terms.signs, int(month[-1]) + 1
    starts = np.flatnonzero(np.diff(month, prepend=-1))
    fading = np.exp((month - month[-1]) / (12 * FADING))
    weights = fading
    worth, levels = np.zeros(design.shape[1]), np.zeros(months)
    for _ in range(ROUNDS):
        system, right = _normal_equations(design, month, months, starts, log_price, weights)
        worth, levels = _solve(system, right, signs)
        residual = np.abs(log_price - design @ worth - levels[month])
        spread = max(1.4826 * float(np.median(residual)), 1e-9)
        weights = fading * np.minimum(1.0, OUTLIER * spread / np.maximum(residual, 1e-12))
        weights *= np.clip((SILENT - residual / spread) / (SILENT - DISBELIEVED), 0.0, 1.0)
    return Hedonic(terms, worth, MarketIndex(first_month, levels))


def _term(field: Field, values: pd.Series) -> Term:
    if field.is_category:
        counts = values.value_counts()
        return Term(field, categories=field.values or tuple(sorted(counts.index[counts >= RARE])))
    if field.type == "flag":
        return Term(field)
    number = values.dropna().to_numpy("float64")
    if not len(number):
        return Term(field)
    log = (
        bool(number.min() >= 0 and np.quantile(number, 0.99) > 4 * np.median(number) > 0) or field.role == "living_area"
    )
    number = np.log1p(np.maximum(number, 0)) if log else number
    mean, spread = float(number.mean()), float(number.std()) or 1.0
    knots = np.unique((np.quantile(number, KNOTS) - mean) / spread) if field.direction else ()
    return Term(field, log=log, mean=mean, spread=spread, knots=tuple(float(k) for k in knots))


def _between(low: float, high: float) -> Piece:
    """The piece of a broken line between two knots; a score counts as no farther than twice `FARTHEST`."""
    least, most = np.clip((-2 * FARTHEST, 2 * FARTHEST), low, high).tolist()
    return Piece(least, most, next(filter(np.isfinite, (low, high)), 0.0))


def _normal_equations(
    design: np.ndarray, month: np.ndarray, months: int, starts: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Penalised weighted least squares over the terms and the monthly levels together."""
    width = design.shape[1]
    weighted = design * weights[:, None]
    by_month = np.zeros((months, width))
    by_month[month[starts]] = np.add.reduceat(weighted, starts, axis=0)
    curvature = np.diff(np.eye(months), 2, axis=0)
    system = np.zeros((width + months, width + months))
    system[:width, :width] = weighted.T @ design + RIDGE * np.eye(width)
    system[width:, :width] = by_month
    system[:width, width:] = by_month.T
    system[width:, width:] = np.diag(np.bincount(month, weights, months)) + SMOOTHNESS * curvature.T @ curvature
    right = np.concatenate([weighted.T @ target, np.bincount(month, weights * target, months)])
    return system, right


def _solve(system: np.ndarray, right: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Worth and levels; what would go against its sign is left out, one round after the other."""
    width = len(signs)
    free = np.ones(len(right), dtype=bool)
    while True:
        solution = np.zeros(len(right))
        solution[free] = np.linalg.solve(system[np.ix_(free, free)], right[free])
        wrong = solution[:width] * signs < 0
        if not wrong.any():
            return solution[:width], solution[width:]
        free[:width] &= ~wrong
