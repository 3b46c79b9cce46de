"""The sales comparison grid: the sales that a value rests on, set beside the home, and what tells each from it.

For the month that all known sales count for, the grid can be laid out once: what every believed sale would be worth
as a home never sold, part by part, and which sales lie in which leaf. Setting a home beside it then costs little.
Any other month is worked out when it is asked for, with the same result.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from models.comparables import FADING, NO_LEAF, Comparable, leaves_of, most_comparable
from models.kernel.walk import at, kernel
from models.reasons import GROUP_LABELS, Line, Part, cents_of_parts

if TYPE_CHECKING:
    from models.valuer import Valuer, View

#: Sales whose parts are worked out at once: it bounds the memory that laying a grid takes.
AT_ONCE = 2000
LANES = 32  # trees that the kernel weighs at once


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
    _room: local = field(default_factory=local, init=False, repr=False, compare=False)

    def beside(self, home: np.ndarray, own: np.ndarray, count: int) -> Beside:
        """The sales that weigh most beside a home; equal to `most_comparable` over all believed sales but `own`.

        Args:
            home: its leaf in each tree, uint16, shape (trees,).
        """
        (trees, known), (_, wide) = self.order.shape, self.by_sale.shape
        leaves = np.full(wide, NO_LEAF, dtype=np.uint16)
        leaves[:trees] = home
        own = np.ascontiguousarray(own, dtype=np.uint32)
        chosen, alike = np.empty(count, np.uint32), np.empty(count)
        found = kernel().weightiest(
            *(trees, wide, known, self.starts.shape[1] - 1),
            *(at(a) for a in (self.by_sale, self.starts, self.order, leaves, own)),
            len(own),
            at(self.fading),
            ctypes.c_double(self.newest),
            count,
            *(at(a) for a in (*self._rooms(), chosen, alike)),
        )
        positions = chosen[:found].astype(np.int64)
        return Beside(positions, alike[:found], self.apart[positions], self.groups[positions])

    @cached_property
    def newest(self) -> float:
        """What the sale counts that counts most for its age."""
        return float(self.fading.max())

    def _rooms(self) -> tuple[np.ndarray, ...]:
        """Working space of this thread: the kernel leaves the first of it zero."""
        if not hasattr(self._room, "kept"):
            (sales, wide), trees = self.by_sale.shape, len(self.order)
            weight, touched = np.zeros(sales, np.float32), np.empty(sales + 1, np.uint32)
            self._room.kept = weight, touched, np.empty((2 * trees, 3)), np.empty(wide, np.float32)
        kept: tuple[np.ndarray, ...] = self._room.kept
        return kept


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


def comparables(
    valuer: Valuer, home: Mapping[str, Any], view: View, i: int, parts: Sequence[Part], count: int
) -> tuple[Comparable, ...]:
    """The sales that weigh most beside home `i` of the view, valued for its day, and what tells each from the home.

    Args:
        parts: the home's own, as `Valuer.parts` gives them.
    """
    memory, day = valuer.memory, view.days[i]
    beside = _beside(valuer, home, view, i, count)
    if not len(beside.chosen):
        return ()
    index = memory.index(int(view.months[i]))
    level = float(index.level([day])[0])
    moved = (level - index.level(memory.sale_day[beside.chosen])).tolist()
    distance = _kilometres(valuer, home, beside.chosen)
    value, log_value = float(valuer.told(view)[i]), float(view.log_value[i])
    differs = (_by_group(valuer, parts) - beside.groups).tolist()
    told = []
    for j, position in enumerate(beside.chosen.tolist()):
        price = memory.price[position].item()
        apart = dict(zip(valuer.groups, differs[j], strict=True))
        told.append(
            Comparable(
                sale_id=str(memory.sale_id[position]),
                property_id=str(memory.property_id[position]),
                sale_date=memory.sale_day[position].item(),
                price=price,
                time_adjusted=round(price * math.exp(moved[j]), 2),
                distance_km=distance[j],
                alike=round(float(beside.alike[j]), 4),
                adjustments=_adjustments(price, moved[j], level + float(beside.apart[j]), log_value, value, apart),
            )
        )
    return tuple(told)


def _beside(valuer: Valuer, home: Mapping[str, Any], view: View, i: int, count: int) -> Beside:
    month, day = int(view.months[i]), view.days[i]
    if view.explained is None:
        leaves = leaves_of(valuer.bag, view.matrix[[i]])[:, 0]
    else:
        leaves = view.explained.leaves[i].astype(np.uint16)
    grid, known = valuer.grid, valuer.evidence.laid(month)
    own = np.array(known.sales_of(home.get("property_id")), dtype=np.int64)
    if grid is not None and grid.month == month:
        return grid.beside(leaves, own, count)
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
    _, amounts = valuer.amounts(view)
    groups = np.zeros((len(sales), len(valuer.groups)))
    for amount, group in zip(amounts.T, valuer.group_of_part, strict=True):  # in this order, alone or with others
        groups[:, group] += amount
    return view.log_value - view.level, groups


def _by_group(valuer: Valuer, parts: Sequence[Part]) -> np.ndarray:
    """What each group adds, the index left out, shape (groups,)."""
    groups = [0.0] * len(valuer.groups)
    for part, group in zip(parts[1:], valuer.group_of_part, strict=True):
        groups[group] += part.amount
    return np.array(groups)


def _fading(valuer: Valuer, month: int) -> np.ndarray:
    return np.exp(-(_first_day(month) - valuer.memory.day) / 365.25 / FADING)


def _first_day(month: int) -> float:
    """Days since 1970 of the first of a month: within it, sales don't age against each other."""
    return float(np.datetime64(month - 1970 * 12, "M").astype("datetime64[D]").astype("float64"))


def _adjustments(
    price: float, moved: float, their_log_value: float, log_value: float, value: float, differs: dict[str, float]
) -> tuple[Line, ...]:
    """From the price to the home's value: the market since, group by group what differs, what was never explained."""
    differs["market"] += moved
    differs["unexplained"] = their_log_value - moved - math.log(price)
    cents, rest = cents_of_parts(price, math.exp(log_value), list(differs.values()), (price, value))
    lines = [Line(name, GROUP_LABELS[name], c / 100) for name, c in zip(differs, cents, strict=True)]
    return (*lines, Line("rounding", GROUP_LABELS["rounding"], rest / 100))


def _kilometres(valuer: Valuer, home: Mapping[str, Any], sales: np.ndarray) -> list[float | None]:
    """How far each sale is, in kilometres to the metre; None where one of the two has no place."""
    memory = valuer.memory
    if memory.places.middle is None:
        return [None] * len(sales)
    away = memory.kilometres[sales] - memory.places.kilometres(valuer.columns([home]))
    return [None if far != far else round(far, 3) for far in np.hypot(*away.T).tolist()]
