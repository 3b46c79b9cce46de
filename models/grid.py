"""The sales comparison grid: the sales that a value rests on, set beside the home, and what tells each from it.

For the month that all known sales count for, the grid can be laid out once: what every believed sale would be worth
as a home never sold, part by part, and which sales lie in which leaf. Setting a home beside it then costs little.
Any other month is worked out when it is asked for, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from models.comparables import FADING, NO_LEAF, Comparable, leaves_of, most_comparable
from models.kernel.alike import LANES, Alike, Choice
from models.reasons import GROUP_LABELS, ROUNDING, Lines, cents_of_parts

if TYPE_CHECKING:
    from models.valuer import Valuer, View

#: Sales whose parts are worked out at once: it bounds the memory that laying a grid takes.
AT_ONCE = 2000


@dataclass(frozen=True)
class Beside:
    """Sales chosen for a home, each as a home never sold on the day of its valuation.

    Attributes:
        chosen: positions in the memory, shape (n,).
        alike: the share of trees that can't tell the sale from the home, shape (n,).
        apart: log value less the level of the market, shape (n,).
        groups: what each group of parts adds to it, the index left out, shape (n, groups).
    """

    chosen: np.ndarray
    alike: np.ndarray
    apart: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Grid:
    """One month's grid, laid out.

    Attributes:
        starts, order: for each tree the believed sales leaf by leaf: where each leaf begins, int32 of shape
            (trees, leaves + 1), and their positions, uint32 of shape (trees, sales).
        by_sale: of each sale of the memory its leaf in every tree, then `NO_LEAF` up to a multiple of `LANES`, uint16
            of shape (all sales, trees or a few more).
        fading: what each sale of the memory counts for its age, shape (all sales,).
        apart, groups: as `Beside` has them, of all sales; NaN for those that are not believed.
    """

    month: int
    starts: np.ndarray
    order: np.ndarray
    by_sale: np.ndarray
    fading: np.ndarray
    apart: np.ndarray
    groups: np.ndarray

    @cached_property
    def alike(self) -> Alike:
        return Alike(self.starts, self.order, self.by_sale, self.fading)

    def choice(self, home: np.ndarray, own: np.ndarray, count: int) -> Choice:
        """Of the sales that weigh most beside a home; equal to `most_comparable` over all believed sales but `own`.

        Args:
            home: its leaf in each tree, uint16, shape (trees,).
        """
        leaves = np.full(self.by_sale.shape[1], NO_LEAF, dtype=np.uint16)
        leaves[: len(home)] = home
        return Choice(self.alike, leaves, own, count)

    def beside(self, choice: Choice) -> Beside:
        positions, shared = choice.made()
        return Beside(positions, shared, self.apart[positions], self.groups[positions])


def lay_grid(valuer: Valuer) -> Grid:
    """The grid of the month that all known sales count for."""
    memory, month = valuer.memory, valuer.memory.end_month
    believed = valuer.evidence.laid(month).known.trusted
    seen = believed[valuer.leaves[0, believed] != NO_LEAF]
    most = int(valuer.leaves[:, seen].max(initial=0)) + 1
    starts, order = np.zeros((len(valuer.leaves), most + 1), np.int32), []
    for tree, leaves in enumerate(valuer.leaves[:, seen]):
        order.append(seen[np.argsort(leaves, kind="stable")].astype(np.uint32))
        starts[tree, 1:] = np.cumsum(np.bincount(leaves, minlength=most))
    apart = np.full(len(memory.sales), np.nan)
    groups = np.full((len(memory.sales), len(valuer.groups)), np.nan)
    for start in range(0, len(seen), AT_ONCE):
        some = seen[start : start + AT_ONCE]
        apart[some], groups[some] = _as_never_sold(valuer, some, valuer.current_day)
    trees = len(valuer.leaves)
    by_sale = np.full((len(memory.sales), trees + -trees % LANES), NO_LEAF, dtype=np.uint16)
    by_sale[:, :trees] = valuer.leaves.T
    return Grid(month, starts, np.array(order), by_sale, _fading(valuer, month), apart, groups)


def sought(valuer: Valuer, homes: Sequence[Mapping[str, Any]], view: View, count: int) -> list[Choice | Beside]:
    """For each home the sales that weigh most beside it, chosen or to be chosen; for a home alone the kernel's second
    thread begins, and works on while the caller does something else.

    Args:
        view: of these homes on one day.
    """
    found = [_sought(valuer, home, view, i, count) for i, home in enumerate(homes)]
    if len(found) == 1 and isinstance(found[0], Choice):
        found[0].begin()
    return found


def comparables(
    valuer: Valuer, homes: Sequence[Mapping[str, Any]], view: View, sought: Sequence[Choice | Beside]
) -> list[tuple[Comparable, ...]]:
    """For each home its comparable sales, and what tells each from the home.

    Args:
        view: of these homes on one day, which the sales are valued for too.
        sought: what `sought` tells of them.
    """
    memory, level = valuer.memory, float(view.level[0])
    value, log_value, ours = valuer.told(view), view.log_value, _by_group(valuer, valuer.amounts(view)[1])
    found = [valuer.grid.beside(one) if isinstance(one, Choice) and valuer.grid else one for one in sought]
    chosen, alike, log_apart, groups = (
        np.concatenate([getattr(beside, name) for beside in found]) for name in ("chosen", "alike", "apart", "groups")
    )
    numbers = [len(beside.chosen) for beside in found]
    whose = np.repeat(np.arange(len(homes)), numbers)
    moved = level - memory.index(int(view.months[0])).level(memory.sale_day[chosen])
    differs = ours[whose] - groups
    differs[:, valuer.groups.index("market")] += moved
    explained = level + log_apart - moved
    day, price, alike, since, theirs = (
        column.tolist() for column in (memory.sale_day[chosen], memory.price[chosen], alike, moved, explained)
    )
    unexplained = [log - math.log(paid) for log, paid in zip(theirs, price, strict=True)]
    ends = value[whose].tolist(), [math.exp(log) for log in log_value[whose].tolist()]
    lines = _adjustments(valuer.groups, price, *ends, np.column_stack([differs, unexplained]))
    away = _kilometres(valuer, homes, whose, chosen)
    told = (
        Comparable(
            sale_id=str(memory.sale_id[position]),
            property_id=str(memory.property_id[position]),
            sale_date=day[j],
            price=price[j],
            time_adjusted=round(price[j] * math.exp(since[j]), 2),
            distance_km=away[j],
            alike=round(alike[j], 4),
            adjustments=lines[j],
        )
        for j, position in enumerate(chosen.tolist())
    )
    return [tuple(islice(told, number)) for number in numbers]


def _sought(valuer: Valuer, home: Mapping[str, Any], view: View, i: int, count: int) -> Choice | Beside:
    month, day = int(view.months[i]), view.days[i]
    if view.explained is None:
        leaves = leaves_of(valuer.bag, view.matrix[[i]])[:, 0]
    else:
        leaves = view.explained.leaves[i].astype(np.uint16)
    grid, known = valuer.grid, valuer.evidence.laid(month)
    own = np.array(known.sales_of(home.get("property_id")), dtype=np.int64)
    if grid is not None and grid.month == month:
        return grid.choice(leaves, own, count)
    among = known.known.trusted
    among = among[~np.isin(among, own)]
    years = (_first_day(month) - valuer.memory.day) / 365.25
    chosen, alike = most_comparable(valuer.leaves, leaves, years, among, count)
    if not len(chosen):
        return Beside(chosen, alike, np.empty(0), np.empty((0, len(valuer.groups))))
    return Beside(chosen, alike, *_as_never_sold(valuer, chosen, day.item()))


def _as_never_sold(valuer: Valuer, sales: np.ndarray, day: date) -> tuple[np.ndarray, np.ndarray]:
    """`apart` and `groups` of the memory's sales at these positions."""
    sold = valuer.memory.sales.iloc[sales]
    view = valuer.view(sold[list(valuer.market.field_names)], day, explain=True)
    return view.log_value - view.level, _by_group(valuer, valuer.amounts(view)[1])


def _by_group(valuer: Valuer, amounts: np.ndarray) -> np.ndarray:
    """What each group adds, the index left out, shape (n, groups)."""
    order, starts = valuer.parts_by_group
    return np.add.reduceat(amounts.take(order, axis=1), starts, axis=1)


def _fading(valuer: Valuer, month: int) -> np.ndarray:
    return np.exp(-(_first_day(month) - valuer.memory.day) / 365.25 / FADING)


def _first_day(month: int) -> float:
    """Days since 1970 of the first of a month: within it, sales don't age against each other."""
    return float(np.datetime64(month - 1970 * 12, "M").astype("datetime64[D]").astype("float64"))


def _adjustments(
    groups: Sequence[str], price: Sequence[float], told: Sequence[float], value: Sequence[float], apart: np.ndarray
) -> list[Lines]:
    """For each sale the lines from its price to the home's value.

    Args:
        told, value: the home's, as it is told and before rounding.
        apart: group by group what differs, with the market since; last what was never explained; shape (sales, parts).
    """
    cents = cents_of_parts(price, value, apart, (price, told)) / 100
    names = (*groups, "unexplained", ROUNDING)
    labels = tuple(GROUP_LABELS[name] for name in names)
    return [Lines(names, labels, own) for own in cents.tolist()]


def _kilometres(
    valuer: Valuer, homes: Sequence[Mapping[str, Any]], whose: np.ndarray, sales: np.ndarray
) -> list[float | None]:
    """How far each sale is from its home, in kilometres to the metre; None where one of the two has no place.

    Args:
        whose: the home of each sale.
    """
    memory = valuer.memory
    if memory.places.middle is None:
        return [None] * len(sales)
    away = memory.kilometres[sales] - memory.places.kilometres(valuer.columns(homes))[whose]
    return [None if far != far else round(far, 3) for far in np.hypot(*away.T).tolist()]
