"""An appraisal: a value with its ranges, its certainty, its reasons and its comparable sales, told in money."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from models.comparables import Comparable, leaves_of, most_comparable
from models.features import present
from models.reasons import GROUP_LABELS, Line, Part, Reason, cents_of_parts, reasons_in_money
from models.valuer import PROPERTY, Valuer, View

#: A value is called right when it is off by at most this share of the price; the confidence is the chance of it.
RIGHT_WITHIN = 0.10


@dataclass(frozen=True)
class Range:
    """Where the price falls with probability `level`."""

    level: float
    low: float
    high: float


@dataclass(frozen=True)
class Appraisal:
    """What one home is worth and why; money in the market's currency.

    `base` plus the amounts of `reasons` is `value` to the cent.

    Attributes:
        ranges: by ascending level.
        confidence: the chance that the value is within `RIGHT_WITHIN` of the price.
        deviation: FSD, the forecast standard deviation, as a share of the value.
        in_support: whether sales like it have been seen.
        comparables: empty where none were asked for.
    """

    value: float
    ranges: tuple[Range, ...]
    level: float
    confidence: float
    deviation: float
    in_support: bool
    base: float
    base_meaning: str
    reasons: tuple[Reason, ...]
    comparables: tuple[Comparable, ...]
    warnings: tuple[str, ...]

    @property
    def range(self) -> Range:
        """The one that is told first."""
        return next(r for r in self.ranges if r.level == self.level)


def appraise(valuer: Valuer, homes: Sequence[Mapping[str, Any]], as_of: date, comparables: int = 0) -> list[Appraisal]:
    """One appraisal a home, in order; the same for a home alone and in any batch.

    Args:
        homes: facts by field name, and `property_id` where it is known.
        comparables: how many comparable sales to tell of each home.

    Raises:
        AsOfError: as `Valuer.value` does.
    """
    if not homes:
        return []
    view = valuer.view(valuer.columns(homes), as_of)
    values, ranges = valuer.told(view), valuer.ranges(view)
    deviation, chance = valuer.certainty(view, RIGHT_WITHIN)
    far = valuer.spread.remoteness(view.matrix)
    log_bases, parts = valuer.parts(view)
    told = []
    for i, home in enumerate(homes):
        base, reasons = reasons_in_money(float(values[i]), float(log_bases[i]), parts[i])
        told.append(
            Appraisal(
                value=float(values[i]),
                ranges=tuple(Range(level, float(low[i]), float(high[i])) for level, (low, high) in ranges.items()),
                level=valuer.level,
                confidence=round(float(chance[i]), 4),
                deviation=round(float(deviation[i]), 4),
                in_support=bool(far[i] <= 1),
                base=base,
                base_meaning=f"the typical home of {valuer.market.label} on {valuer.base_day(as_of)}",
                reasons=reasons,
                comparables=_comparables(valuer, home, view, i, parts[i], comparables) if comparables else (),
                warnings=tuple(_warnings(valuer, home, as_of, far[i])),
            )
        )
    return told


def _comparables(
    valuer: Valuer, home: Mapping[str, Any], view: View, i: int, parts: Sequence[Part], count: int
) -> tuple[Comparable, ...]:
    """The sales that weigh most, valued for the same day as homes never sold, and what tells each from the home."""
    memory, month = valuer.memory, int(view.months[i])
    known = valuer.evidence.laid(month).known
    own = memory.sales[PROPERTY].iloc[known.trusted].to_numpy(dtype=object) == home.get(PROPERTY)
    leaves = leaves_of(valuer.bag, view.matrix[[i]])[:, 0]
    years = (view.days[i].astype("float64") - memory.day) / 365.25
    chosen, alike = most_comparable(valuer.leaves, leaves, years, known.trusted[~own], count)
    if not len(chosen):
        return ()
    sold = memory.sales.iloc[chosen]
    seen = valuer.view(sold[list(valuer.market.field_names)], view.days[i].item())
    _, their_parts = valuer.parts(seen)
    index = memory.index(month)
    moved = index.level(view.days[[i]])[0] - index.level(sold["sale_date"])
    distance = _kilometres(valuer, home, sold)
    value, log_value, theirs = float(valuer.told(view)[i]), float(view.log_value[i]), seen.log_value
    return tuple(
        Comparable(
            sale_id=str(sale["sale_id"]),
            property_id=str(sale["property_id"]),
            sale_date=sale["sale_date"].date(),
            price=float(sale["price"]),
            time_adjusted=round(float(sale["price"]) * math.exp(moved[j]), 2),
            distance_km=None if distance is None or np.isnan(distance[j]) else round(float(distance[j]), 3),
            alike=round(float(alike[j]), 4),
            adjustments=_adjustments(
                float(sale["price"]),
                float(moved[j]),
                float(theirs[j]),
                log_value,
                value,
                parts,
                their_parts[j],
            ),
        )
        for j, sale in enumerate(sold.to_dict("records"))
    )


def _adjustments(
    price: float,
    moved: float,
    their_log_value: float,
    log_value: float,
    value: float,
    ours: Sequence[Part],
    theirs: Sequence[Part],
) -> tuple[Line, ...]:
    """From the price to the home's value: the market since, group by group what differs, what was never explained."""
    differs: dict[str, float] = {}
    for mine, other in zip(ours, theirs, strict=True):
        differs[mine.group] = differs.get(mine.group, 0.0) + mine.amount - other.amount
    differs["market"] += moved
    differs["unexplained"] = their_log_value - moved - math.log(price)
    cents, rest = cents_of_parts(price, math.exp(log_value), list(differs.values()), (price, value))
    lines = [Line(name, GROUP_LABELS[name], c / 100) for name, c in zip(differs, cents, strict=True)]
    return (*lines, Line("rounding", GROUP_LABELS["rounding"], rest / 100))


def _kilometres(valuer: Valuer, home: Mapping[str, Any], sold: Any) -> np.ndarray | None:
    places = valuer.memory.places
    if places.middle is None:
        return None
    here = places.kilometres(valuer.columns([home]))
    return np.asarray(np.hypot(*(places.kilometres(sold) - here).T))


def _warnings(valuer: Valuer, home: Mapping[str, Any], as_of: date, far: float) -> list[str]:
    warnings = []
    if as_of > valuer.current_day:
        warnings.append(
            f"as_of is {(as_of - valuer.memory_end).days} days after the last sale the model knows "
            f"({valuer.memory_end}); the market's trend was carried on"
        )
    elif as_of < valuer.trained_day:
        warnings.append(
            f"as_of is in the past: the comparison is with sales before that month, but the model has learnt "
            f"from sales before {valuer.trained_day}"
        )
    if far > 1 and not all(present(home.get(f.name)) for f in valuer.market.placing_fields):
        warnings.append("the place of the home is not known; the ranges are wider for it")
    elif far > 1:
        warnings.append(
            f"few homes like this one have been sold near by: the evidence is {far:.1f} times as far away as for "
            "the loneliest hundredth of sales; the ranges are wider for it"
        )
    unseen = valuer.features.unseen(home)
    for field in valuer.market.fields:
        given = home.get(field.name)
        if given is None or not present(given):
            warnings.append(f"{field.label} is missing; the value does without it")
        elif field in unseen:
            warnings.append(
                f"{field.label} {given!r} is not among the sales the model has seen; the value does without it"
            )
        elif (seen := valuer.support.get(field.name)) is not None and not seen[0] <= float(given) <= seen[1]:
            warnings.append(
                f"{field.label} {given:g} is outside the sales the model has seen ({seen[0]:g} to {seen[1]:g})"
            )
    return warnings
