"""An appraisal: a value with its ranges, its certainty, its reasons and its comparable sales, told in money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from models.comparables import Comparable
from models.features import present
from models.grid import comparables as comparables_of
from models.grid import sought
from models.reasons import Reasons, reasons_in_money
from models.valuer import Valuer

#: A value is called right when it is off by at most this share of the price; the confidence is the chance of it.
RIGHT_WITHIN = 0.10


class Range(NamedTuple):
    """Where the price falls with probability `level`."""

    level: float
    low: float
    high: float


@dataclass(frozen=True)
class Appraisal:
    """What one home is worth and why; money in the market's currency.

    Where reasons were asked for, `base` plus their amounts is `value` to the cent.

    Attributes:
        ranges: by ascending level.
        confidence: the chance that the value is within `RIGHT_WITHIN` of the price.
        deviation: FSD, the forecast standard deviation, as a share of the value.
        in_support: whether sales like it have been seen.
        base, reasons, comparables: 0 and empty where they were not asked for.
        features: what the forests were asked, to tell the value again.
    """

    value: float
    ranges: tuple[Range, ...]
    level: float
    confidence: float
    deviation: float
    in_support: bool
    base: float
    base_meaning: str
    reasons: Reasons
    comparables: tuple[Comparable, ...]
    warnings: tuple[str, ...]
    features: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def range(self) -> Range:
        """The one that is told first."""
        return next(r for r in self.ranges if r.level == self.level)


def appraise(
    valuer: Valuer,
    homes: Sequence[Mapping[str, Any]],
    as_of: date,
    comparables: int = 0,
    reasons: bool = True,
    warnings: bool = True,
) -> list[Appraisal]:
    """One appraisal a home, in order; the same for a home alone and in any batch.

    Args:
        homes: facts by field name, and `property_id` where it is known.
        comparables: how many comparable sales to tell of each home.
        reasons: whether to tell what the value is made of; most of an appraisal's time goes there.
        warnings: whether to look for what is unusual about each home.

    Raises:
        AsOfError: as `Valuer.value` does.
    """
    if not homes:
        return []
    explain = reasons or comparables > 0
    view = valuer.view(valuer.columns(homes), as_of, explain)
    sales = sought(valuer, homes, view, comparables) if comparables else None  # the rest is worked out meanwhile
    values, features = valuer.told(view).tolist(), view.matrix.tolist()
    ranges = [(level, low.tolist(), high.tolist()) for level, (low, high) in valuer.ranges(view).items()]
    deviation, chance = (told.tolist() for told in valuer.certainty(view, RIGHT_WITHIN))
    far = valuer.spread.remoteness(view.matrix).tolist()
    why = [(0.0, Reasons())] * len(homes)
    if reasons:
        log_bases, parts = valuer.parts(view)
        why = reasons_in_money(values, log_bases.tolist(), parts, valuer.kinds(as_of))
    warned = [tuple(_warnings(valuer, home, as_of, far[i])) if warnings else () for i, home in enumerate(homes)]
    beside = [()] * len(homes) if sales is None else comparables_of(valuer, homes, view, sales)
    base_meaning = f"the typical home of {valuer.market.label} on {valuer.base_day(as_of)}"
    return [
        Appraisal(
            value=values[i],
            ranges=tuple([Range(level, low[i], high[i]) for level, low, high in ranges]),
            level=valuer.level,
            confidence=round(chance[i], 4),
            deviation=round(deviation[i], 4),
            in_support=far[i] <= 1,
            base=why[i][0],
            base_meaning=base_meaning,
            reasons=why[i][1],
            comparables=beside[i],
            warnings=warned[i],
            features=tuple(features[i]),
        )
        for i in range(len(homes))
    ]


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
    for fact in valuer.market.fields:
        given: Any = home.get(fact.name)
        if not present(given):
            warnings.append(f"{fact.label} is missing; the value does without it")
        elif fact in unseen:
            warnings.append(
                f"{fact.label} {given!r} is not among the sales the model has seen; the value does without it"
            )
        elif (seen := valuer.support.get(fact.name)) is not None and not seen[0] <= given <= seen[1]:
            warnings.append(
                f"{fact.label} {given:g} is outside the sales the model has seen ({seen[0]:g} to {seen[1]:g})"
            )
    return warnings
