"""What was measured of the candidate alone: its ranges, its behaviour under question, what it costs to serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.gate.accuracy import count_of
from models.gate.bounds import Bounds
from models.gate.champion import Comparison, with_rival
from models.gate.check import CANNOT_TELL, FAIL, PASS, Check, at_most, finite, mapping
from models.interval import wilson

CALIBRATION, BEHAVIOUR, COST = "calibration", "behaviour", "cost"
#: Ranges that must hold what they promise, beside the one that is told first.
PROMISED = (0.8,)


def calibration_checks(evaluation: Mapping[str, Any], comparison: Comparison | None, bounds: Bounds) -> Iterator[Check]:
    first, n = mapping(evaluation.get("range")), count_of(mapping(evaluation.get("figures")))
    ranges = mapping(evaluation.get("ranges"))
    yield _coverage("coverage", first, n, bounds)
    for level in PROMISED:
        yield _coverage(f"coverage_{100 * level:.0f}", mapping(ranges.get(f"{level:g}")), n, bounds)
    if (found := with_rival(comparison)) is not None:
        what = f"Median width of the range over {found.champion}'s, on the same sales"
        most = bounds.calibration.width
        yield at_most("width", CALIBRATION, found.width, most, what, lambda times: f"{times:.2f} times")


def behaviour_checks(evaluation: Mapping[str, Any], bounds: Bounds) -> Iterator[Check]:
    """What `models.behaviour.behaviour` found."""
    found = mapping(evaluation.get("behaviour"))
    yield _directions(mapping(found.get("what_ifs")), bounds.behaviour.what_ifs)
    cliff = mapping(found.get("cliff"))
    if cliff.get("asked") != 0:  # a market without a living area has no such step
        what = "The most that 1 % of living area moves a value"
        yield at_most("cliff", BEHAVIOUR, cliff.get("largest"), bounds.behaviour.cliff, what, n=_count(cliff))
    twins = mapping(found.get("twins"))
    what = "Homes valued otherwise alone than among others, or than their twin"
    yield at_most("twins", BEHAVIOUR, twins.get("differing"), 0, what, _whole, _count(twins))
    poison = mapping(found.get("poison"))
    what = "The most that one sale at ten million moves the value of another home"
    yield at_most("poison", BEHAVIOUR, poison.get("largest"), bounds.behaviour.poisoned, what, n=_count(poison))


def cost_checks(cost: Mapping[str, Any], comparison: Comparison | None, bounds: Bounds) -> Iterator[Check]:
    """What serving it costs.

    Args:
        cost: `milliseconds` of one whole answer, `times` the champion's in the same run, `megabytes` of the
            bundle, `load_seconds`.
    """
    allowed = bounds.cost
    for name, most, what, unit in (
        ("milliseconds", allowed.milliseconds, "One home valued, with range, reasons and comparables", "ms"),
        ("megabytes", allowed.megabytes, "The bundle on disk", "MB"),
        ("load_seconds", allowed.load_seconds, "The bundle read, checked and ready", "s"),
    ):
        yield at_most(name, COST, cost.get(name), most, what, lambda figure, unit=unit: f"{figure:,.1f} {unit}")
    if (found := with_rival(comparison)) is not None and not found.problem:
        what = f"One home valued, against {found.champion} in the same run"
        yield at_most("slower", COST, cost.get("times"), allowed.times, what, lambda times: f"{times:.1f} times")


def _coverage(name: str, interval: Mapping[str, Any], n: int | None, bounds: Bounds) -> Check:
    level, covered = finite(interval.get("level")), finite(interval.get("coverage"))
    if level is None or covered is None or not n:
        reason = "The share of prices inside the stated range could not be worked out."
        return Check(name, CALIBRATION, CANNOT_TELL, covered, "none", "near the stated level", reason)
    within = bounds.calibration.coverage_within
    bound = f"{100 * (level - within):.1f} % to {100 * min(level + within, 1):.1f} %"
    told = f"{100 * covered:.1f} %"
    reason = f"{told} of the prices lie inside the {100 * level:.0f} % range; allowed: {bound}."
    outcome = PASS if abs(covered - level) <= within else FAIL
    return Check(name, CALIBRATION, outcome, covered, told, bound, reason, *wilson(covered, n), n)


def _directions(found: Mapping[str, Any], least: int) -> Check:
    """More of what is better never lowers a value; a market that declares no direction has nothing to hold."""
    asked, wrong, directed = (finite(found.get(name)) for name in ("asked", "wrong", "directed"))
    bound = f"none wrong of at least {least:,} asked"
    if directed == 0:
        reason = "The market declares no fact with a direction, so none could be held against it."
        return Check("directions", BEHAVIOUR, PASS, None, "none", bound, reason)
    if asked is None or wrong is None or asked < least:
        reason = f"Only {asked or 0:,.0f} what-ifs were asked; a verdict on directions needs {least:,}."
        return Check("directions", BEHAVIOUR, CANNOT_TELL, wrong, "none", bound, reason, n=int(asked or 0))
    reason = f"{asked:,.0f} times one fact was moved; {wrong:,.0f} times the value went against its direction."
    outcome = PASS if wrong == 0 else FAIL
    return Check("directions", BEHAVIOUR, outcome, wrong, f"{wrong:,.0f} wrong", bound, reason, n=int(asked))


def _count(found: Mapping[str, Any]) -> int | None:
    asked = finite(found.get("asked"))
    return None if asked is None else int(asked)


def _whole(figure: float) -> str:
    return f"{figure:,.0f}"
