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
from models.kernel.alike import LANES, Alike, Choices
from models.reasons import GROUP_LABELS, ROUNDING, Lines, cents_of_parts

if TYPE_CHECKING:
    from models.valuer import Valuer
    from models.view import View

#: Sales whose parts are worked out at once: it bounds the memory that laying a grid takes.
AT_ONCE = 2000


@dataclass(frozen=True)
class Beside:
    """Sales chosen for homes, home by home, each as a home never sold on the day of the valuation.

    Attributes:
        numbers: how many for each home, shape (homes,).
        chosen: positions in the memory, shape (n,).
        alike: the share of trees that can't tell the sale from the home, shape (n,).
        apart: log value less the level of the market, shape (n,).
        groups: what each group of parts adds to it, the index left out, shape (n, groups).
    """

    numbers: np.ndarray
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

    def choices(self, homes: np.ndarray, own: Sequence[Sequence[int]], count: int) -> Choices:
        """The sales that weigh most beside each home: those of `most_comparable` among all believed but its own.

        Args:
            homes: of each its leaf in each tree, uint16, shape (homes, trees).
            own: of each the positions of the sales that don't count.
        """
        leaves = np.full((len(homes), self.by_sale.shape[1]), NO_LEAF, dtype=np.uint16)
        leaves[:, : homes.shape[1]] = homes
        return Choices(self.alike, leaves, own, count)

    def beside(self, choices: Choices) -> Beside:
        numbers, positions, shared = choices.made()
        return Beside(numbers, positions, shared, self.apart[positions], self.groups[positions])


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


def sought(valuer: Valuer, homes: Sequence[Mapping[str, Any]], view: View, count: int) -> Choices | Beside:
    """The sales that weigh most beside each home, chosen or to be chosen; for a home alone the kernel's second thread
    begins, and works on while the caller does something else.

    Args:
        view: of these homes on one day.
    """
    month, grid = int(view.months[0]), valuer.grid
    leaves = leaves_of(valuer.bag, view.matrix).T if view.explained is None else view.explained.leaves
    known = valuer.evidence.laid(month)
    own = [known.sales_of(home.get("property_id")) for home in homes]
    if grid is None or grid.month != month:
        return _chosen(valuer, leaves, known.known.trusted, own, view, count)
    choices = grid.choices(leaves, own, count)
    if len(homes) == 1:
        choices.begin()
    return choices


def comparables(
    valuer: Valuer, homes: Sequence[Mapping[str, Any]], view: View, sought: Choices | Beside
) -> list[tuple[Comparable, ...]]:
    """For each home its comparable sales, and what tells each from the home.

    Args:
        view: of these homes on one day, which the sales are valued for too.
        sought: what `sought` tells of them.
    """
    memory, level = valuer.memory, float(view.level[0])
    value, log_value, ours = valuer.told(view), view.log_value, _by_group(valuer, valuer.amounts(view)[1])
    found = valuer.grid.beside(sought) if isinstance(sought, Choices) and valuer.grid else sought
    assert isinstance(found, Beside)
    chosen, whose = found.chosen, np.repeat(np.arange(len(homes)), found.numbers)
    moved = level - memory.index(int(view.months[0])).level(memory.sale_day[chosen])
    differs = ours[whose] - found.groups
    differs[:, valuer.groups.index("market")] += moved
    explained = level + found.apart - moved
    day, price, alike, since, theirs = (
        column.tolist() for column in (memory.sale_day[chosen], memory.price[chosen], found.alike, moved, explained)
    )
    unexplained = [log - math.log(paid) for log, paid in zip(theirs, price, strict=True)]
    ends = value[whose].tolist(), [math.exp(log) for log in log_value[whose].tolist()]
    told = map(
        Comparable,
        map(str, memory.sale_id[chosen].tolist()),
        map(str, memory.property_id[chosen].tolist()),
        day,
        price,
        [round(paid * math.exp(later), 2) for paid, later in zip(price, since, strict=True)],
        _kilometres(valuer, homes, whose, chosen),
        [round(share, 4) for share in alike],
        _adjustments(valuer.groups, price, *ends, np.column_stack([differs, unexplained])),
    )
    return [tuple(islice(told, number)) for number in found.numbers.tolist()]


def _chosen(
    valuer: Valuer, leaves: np.ndarray, among: np.ndarray, own: Sequence[Sequence[int]], view: View, count: int
) -> Beside:
    """Of a month that is not laid out; `among` are the believed sales."""
    years = (_first_day(int(view.months[0])) - valuer.memory.day) / 365.25
    told = [
        most_comparable(valuer.leaves, home.astype(np.uint16), years, among[~np.isin(among, sales)], count)
        for home, sales in zip(leaves, own, strict=True)
    ]
    chosen, alike = (np.concatenate(column) for column in zip(*told, strict=True))
    numbers = np.array([len(positions) for positions, _ in told])
    if not len(chosen):
        return Beside(numbers, chosen, alike, np.empty(0), np.empty((0, len(valuer.groups))))
    return Beside(numbers, chosen, alike, *_as_never_sold(valuer, chosen, view.days[0].item()))


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
