"""Level and equity, decided as assessors decide them: by whether the whole interval lies outside the band.

IAAO Standard on Ratio Studies: a figure fails its band only where chance does not explain it. Where the
interval is as wide as what is allowed, the sales can't tell, and what can't be told does not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.gate.accuracy import count_of
from models.gate.bounds import Bounds
from models.gate.check import CANNOT_TELL, FAIL, MEANINGS, PASS, Check, allowed, ends, finite, mapping, shown

EQUITY = "equity"


def equity_checks(evaluation: Mapping[str, Any], bounds: Bounds) -> Iterator[Check]:
    figures, intervals = mapping(evaluation.get("figures")), mapping(evaluation.get("intervals"))
    for name, (low, high) in bounds.equity.items():
        yield _in_band(name, finite(figures.get(name)), ends(intervals.get(name)), (low, high), count_of(figures))


def _in_band(
    name: str,
    figure: float | None,
    interval: tuple[float | None, float | None],
    band: tuple[float | None, float | None],
    n: int | None,
) -> Check:
    bound, what = allowed(name, *band), MEANINGS[name]
    (low, high), (least, most) = interval, band
    if figure is None or low is None or high is None:
        reason = f"The {what} or its interval could not be worked out; it must be {bound}."
        return Check(name, EQUITY, CANNOT_TELL, figure, shown(name, figure), bound, reason, low, high, n)
    told = f"The {what} is {shown(name, figure)} (95 % interval {shown(name, low)} to {shown(name, high)})"
    if (least is not None and high < least) or (most is not None and low > most):
        outcome, reason = FAIL, f"{told}: all of it outside what is allowed, {bound}."
    elif high - low >= _width(least, most):
        outcome, reason = CANNOT_TELL, f"{told}: too wide to tell whether it is within {bound}."
    else:
        outcome, reason = PASS, f"{told}; allowed: {bound}."
    return Check(name, EQUITY, outcome, figure, shown(name, figure), bound, reason, low, high, n)


def _width(least: float | None, most: float | None) -> float:
    """Of a band; one that is open on a side is as wide as its bound is far from nothing."""
    if least is None or most is None:
        return abs(most or least or 0.0)
    return most - least
