"""A valuation: index, hedonic share, forests and drift, added up in log price on what was known that month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from models.comparables import leaves_of
from models.conformal import LEVELS, Spread
from models.evidence import Evidence
from models.fault import Fault
from models.features import Features, homes_frame
from models.forest import Bag
from models.grid import Grid
from models.hedonic import Homes
from models.market import Market
from models.memory import SaleMemory, by_month, month_period
from models.reasons import Kinds, group_by_group, kinds_of
from models.start import starting_point
from models.track import Track, places_of
from models.training import learn
from models.view import View

#: A year: the market's move over it is a reason of its own.
YEAR = timedelta(days=365)
PROPERTY = "property_id"


class AsOfError(Fault):
    """A valuation date that the model can't speak for."""

    def __init__(self, as_of: date, earliest: date, latest: date) -> None:
        self.as_of, self.earliest, self.latest = as_of, earliest, latest
        super().__init__(f"as_of is {as_of}; allowed: {earliest} to {latest}")


@dataclass(frozen=True)
class Valuer:
    """A trained model with its memory of sales: what a bundle holds and what is served.

    The forests stay as they were trained; memory and track grow (`refreshed`). A value for a day rests on
    the sales before that day's month, so it is told again when later sales have come in.

    Attributes:
        leaves: of the memory's sales, as `comparables.leaves_of` gives them.
        level: the probability of the range that is told first.
        horizon_days: how far past the last sale a valuation date may lie.
        support: least and greatest value of each numeric field in the training sales.
        typical: a home in the middle of the training sales, as a caller would send it.
        grid: of the memory's last month, where it was laid out.
    """

    features: Features
    bag: Bag
    spread: Spread
    memory: SaleMemory
    track: Track
    leaves: np.ndarray
    level: float
    horizon_days: int
    support: Mapping[str, tuple[float, float]]
    typical: Mapping[str, Any]
    grid: Grid | None = None

    @property
    def market(self) -> Market:
        return self.features.market

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.memory)

    @cached_property
    def memory_end(self) -> date:
        """The last sale that is known."""
        return self.memory.last_sale

    @cached_property
    def trained_day(self) -> date:
        """The first day whose sales the forests have not learnt from."""
        return month_period(self.track.trained).start_time.date()

    @cached_property
    def first_day(self) -> date:
        return self.memory.first_day

    @cached_property
    def current_day(self) -> date:
        """The first day for which every known sale counts: what is meant where no date is given."""
        return month_period(self.memory.end_month).start_time.date()

    @cached_property
    def last_day(self) -> date:
        return max(self.memory_end + timedelta(days=self.horizon_days), self.current_day)

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The probabilities of the ranges that are told, ascending."""
        return tuple(sorted({*LEVELS, self.level}))

    def value(self, homes: Homes, as_of: Sequence[date] | pd.Series | date) -> np.ndarray:
        """In the market's currency, rounded to its `price_digits`; shape (homes,).

        Args:
            homes: columns by field name; absent ones are missing. A column `property_id` finds a home's own sales.

        Raises:
            AsOfError: when a date lies before the memory can value or past the horizon.
        """
        return self.told(self.view(homes, as_of))

    def told(self, view: View) -> np.ndarray:
        """Values as they are told, shape (n,)."""
        return self._rounded(np.exp(view.log_value))

    def view(self, homes: Homes, as_of: Sequence[date] | pd.Series | date, explain: bool = False) -> View:
        """Raises AsOfError as `value` does.

        Args:
            explain: whether `parts` will be asked for; the forests are then walked but once.
        """
        columns = homes_frame(homes, self.market)
        count = len(next(iter(columns.values())))
        days = np.asarray([as_of] * count if isinstance(as_of, date) else as_of, dtype="datetime64[D]")
        self._check(days)
        known = homes[PROPERTY] if PROPERTY in homes else [None] * count
        raw, months = self.memory.terms.raw(columns), self.memory.months(days)
        matrix = np.hstack([self.features.facts(columns), self.evidence.of(columns, raw, known, days)])
        begun = self.bag.begin(matrix) if explain else None  # by another thread, while this one works the rest out
        level, facts = starting_point(self.memory, raw, days)
        drift, local_drift, steepness = self._drift(columns, months)
        spread = self.spread.of(matrix)
        explained = None if begun is None else begun()
        forests = self.bag.predict(matrix) if explained is None else explained.predictions
        return View(days, months, matrix, level, facts, forests, drift, local_drift, steepness, spread, explained)

    def with_facts(self, view: View, homes: Homes) -> View:
        """The same homes on the same days with other facts that have no say in the evidence: those with a direction."""
        columns = homes_frame(homes, self.market)
        evidence = view.matrix[:, len(self.market.fields) :]
        matrix = np.hstack([self.features.facts(columns), evidence])
        _, facts = starting_point(self.memory, self.memory.terms.raw(columns), view.days)
        forests, spread = self.bag.predict(matrix), self.spread.of(matrix)
        return replace(view, matrix=matrix, facts=facts, forests=forests, spread=spread, explained=None)

    def columns(self, homes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """Homes as a caller sends them, as the columns that `value` and `view` take."""
        return {name: [home.get(name) for home in homes] for name in (*self.market.field_names, PROPERTY)}

    def ranges(self, view: View) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        """For each of `levels`, low and high of every home, rounded as values are."""
        reach = np.empty((len(view.months), len(self.levels), 2))
        for month, rows in by_month(view.months):
            reach[rows] = self.track.calibration(month).bounds(self.levels, view.standing[rows])
        log_price = view.log_value[:, None, None] + reach * view.spread[:, None, None]
        told = self._rounded(np.exp(log_price))
        return {level: (told[:, i, 0], told[:, i, 1]) for i, level in enumerate(self.levels)}

    def certainty(self, view: View, share: float) -> tuple[np.ndarray, np.ndarray]:
        """FSD, and the chance that the value is off by at most `share` of the price; both of shape (n,)."""
        told = np.empty((2, len(view.months)))
        for month, rows in by_month(view.months):
            calibration, spread, standing = self.track.calibration(month), view.spread[rows], view.standing[rows]
            told[0, rows] = calibration.deviation(spread, standing)
            told[1, rows] = calibration.chance_within(share, spread, standing)
        return told[0], told[1]

    def parts(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """For each home the log of its base, shape (n,), and the parts that lead from there to its log value, in the
        order of `kinds`, shape (n, parts).

        The base is the typical home a year before the day, as the day's month knows it.
        """
        base, amounts = self.amounts(view)
        first = [self.base_day(day) for day in view.days.tolist()]
        level, days = np.empty(len(first)), np.array(first, dtype="datetime64[D]")
        for month, rows in by_month(view.months):
            level[rows] = self.memory.index(month).level(days[rows])
        return level + base, np.column_stack([view.level - level, amounts])

    def kinds(self, as_of: date) -> Kinds:
        """What the parts of values told for that day are called."""
        since = self.base_day(as_of)
        return self._kinds if since == self.base_day(self.current_day) else self._kinds_since(since)

    def amounts(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """As the view has them, explained now if it was not."""
        return (view if view.explained else replace(view, explained=self.bag.explained(view.matrix))).amounts

    def base_day(self, as_of: date) -> date:
        """The day of the base of a value told for that day."""
        return max(as_of - YEAR, self.first_day)

    def refreshed(self, sales: pd.DataFrame) -> Valuer:
        """The same model with the sales that came in since, and what they tell of its errors.

        Args:
            sales: canonical sales, in their order; of those that are known already, as many as one likes.
        """
        kept = self.memory.undisturbed(sales)
        held = self.memory.sales.iloc[len(kept.sales) :]
        held = held[~held["sale_id"].isin(sales["sale_id"])]
        if len(held):
            sales = pd.concat([held, sales[list(held.columns)]]).sort_values(["sale_date", "sale_id"], kind="stable")
        memory = kept.grown(sales)
        if memory is self.memory:
            return self
        stayed = replace(
            self,
            memory=memory,
            leaves=self.leaves[:, : len(kept.sales)],
            track=self.track.until(kept.end_month),
            grid=None,
        )
        return stayed._caught_up(kept.end_month)

    def _caught_up(self, first: int) -> Valuer:
        """With leaves and track of the memory's sales from that month on."""
        fresh = learn(self.memory, first=first)
        matrix = fresh.matrix(self.features)
        leaves = np.hstack([self.leaves, leaves_of(self.bag, matrix)])
        predicted = self.bag.predict(matrix)
        error, standing = fresh.target - predicted, fresh.start - fresh.level + predicted
        spread, months = self.spread.of(matrix), self.memory.months(fresh.sales["sale_date"])
        places, track = places_of(fresh.sales, self._neighbourhood), self.track
        for month in range(max(first, track.trained), self.memory.end_month):
            rows = months == month
            track = track.longer(month, places[rows], error[rows], spread[rows], standing[rows])
        return replace(self, leaves=leaves, track=track)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """What parts are told under, in the order of the parts after the index."""
        return tuple(dict.fromkeys(self._kinds.groups[1:-1]))

    @cached_property
    def parts_by_group(self) -> tuple[np.ndarray, np.ndarray]:
        """The parts but the index in the order of their `groups`, and where among them each group begins."""
        return group_by_group(np.array([self.groups.index(name) for name in self._kinds.groups[1:-1]]))

    @cached_property
    def _kinds(self) -> Kinds:
        """Those of the day that nearly everybody asks for."""
        return self._kinds_since(self.base_day(self.current_day))

    def _kinds_since(self, day: date) -> Kinds:
        told = {
            "index": (f"Market since {day}", "market"),
            "drift": ("What sales since the training say of the level", "market"),
            "local_drift": ("What they say of the neighbourhood", "comparables"),
            "steepness": ("What they say of better homes there", "comparables"),
        }
        (labels, groups), of = zip(*told.values(), strict=True), self.features
        return kinds_of((*told, *of.names), (*labels, *of.labels), (*groups, *of.groups))

    @property
    def _neighbourhood(self) -> str | None:
        field = self.market.role("neighbourhood")
        return None if field is None else field.name

    def _drift(self, columns: Mapping[str, Any], months: np.ndarray) -> np.ndarray:
        """Level, the neighbourhood's own and steepness, shape (3, n)."""
        places = np.asarray(columns[self._neighbourhood] if self._neighbourhood else [""] * len(months), dtype=object)
        told = np.empty((3, len(months)))
        for month, rows in by_month(months):
            drift, there = self.track.drift(month), places[rows]
            told[0, rows], told[1, rows], told[2, rows] = drift.level, drift.of_places(there), drift.steepness_of(there)
        return told

    def _check(self, days: np.ndarray) -> None:
        for day in (days.min(), days.max()) if len(days) else ():
            if not self.first_day <= day.item() <= self.last_day:
                raise AsOfError(day.item(), self.first_day, self.last_day)

    def _rounded(self, money: np.ndarray) -> np.ndarray:
        return np.asarray(np.round(money, self.market.price_digits))
