"""The candidate against the champion: sale by sale on what the champion has never seen, and what the change costs.

A candidate takes the champion's place where it is not worse beyond a margin, and where what it moves is
little or paid for by accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models.gate.bounds import Bounds
from models.gate.check import CANNOT_TELL, FAIL, PASS, Check, at_most, finite, share

CHAMPION, STABILITY = "champion", "stability"
DRAWS = 2000  # of the bootstrap
#: Clusters below which drawing among them tells nothing of chance.
FEWEST_CLUSTERS = 8


@dataclass(frozen=True)
class Comparison:
    """Candidate against champion, over sales that the champion has never seen.

    Attributes:
        champion: what the champion is called.
        n: the sales compared.
        mean, low, high: mean of |log(value / price)| of the candidate less that of the champion, with its
            95 % interval; below zero the candidate is better.
        by: what the interval draws: sales, or clusters of them.
        width: the candidate's median range over the champion's.
        moved, moved_most: how far values of the reference portfolio move from the champion's, the market's
            level taken out: median and 95th percentile.
        problem: why the two could not be compared; empty if they could.
        outdated: the champion is of a format that can be read and served no more.
    """

    champion: str
    n: int = 0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    by: str = "sales"
    width: float = math.nan
    moved: float = math.nan
    moved_most: float = math.nan
    problem: str = ""
    outdated: bool = False

    @property
    def gain(self) -> float:
        """By how much the mean error is lower, where that is more than chance; else 0."""
        return -self.mean if self.high < 0 else 0.0


def differences(prices: np.ndarray, candidate: np.ndarray, champion: np.ndarray) -> np.ndarray:
    """|log(value / price)| of the candidate less that of the champion, shape (n,); below 0 the candidate is better."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(np.log(candidate / prices)) - np.abs(np.log(champion / prices)))


def compare(champion: str, difference: np.ndarray, clusters: Mapping[str, np.ndarray], seed: int) -> Comparison:
    """The paired difference of errors with the widest of its intervals.

    Errors of one neighbourhood or month go together, so single sales tell less than their number says: beside
    the normal interval over sales stand percentile bootstraps that draw whole clusters (Cameron, Gelbach and
    Miller 2008), and the widest counts.

    Args:
        difference: as `differences` gives it, shape (n,).
        clusters: what sales may go together by -> the cluster of each sale, shape (n,).
    """
    n = len(difference)
    if n < 2:
        return Comparison(champion, n)
    mean, error = float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(n)
    intervals = {"sales": (mean - 1.96 * error, mean + 1.96 * error)}
    if math.isfinite(mean):
        draw = np.random.default_rng(seed)
        for name, labels in clusters.items():
            if (drawn := _drawn(difference, labels, draw)) is not None:
                intervals[name] = drawn
    by, (low, high) = max(intervals.items(), key=lambda one: one[1][1] - one[1][0])
    return Comparison(champion, n, mean, low, high, by)


def champion_checks(comparison: Comparison | None, bounds: Bounds) -> Iterator[Check]:
    yield _not_worse(comparison, bounds)
    yield from _stable(comparison, bounds)


def with_rival(comparison: Comparison | None) -> Comparison | None:
    """The comparison, where there is a champion that the candidate can be held against."""
    return None if comparison is None or comparison.outdated else comparison


def _alone(comparison: Comparison | None) -> str:
    """Why there is none, in a sentence."""
    if comparison is None:
        return "There is no champion yet: this would be the first champion."
    return (
        f"{comparison.champion} is of a format that this version can neither compare with nor serve: the candidate "
        f"would take its place on its own figures."
    )


def _drawn(difference: np.ndarray, labels: np.ndarray, draw: np.random.Generator) -> tuple[float, float] | None:
    _, cluster = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    size = np.bincount(cluster)
    if len(size) < FEWEST_CLUSTERS:
        return None
    times = draw.multinomial(len(size), np.full(len(size), 1 / len(size)), DRAWS)
    means = (times @ np.bincount(cluster, difference)) / (times @ size)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _not_worse(comparison: Comparison | None, bounds: Bounds) -> Check:
    """Not worse than the champion by more than the margin, beyond what chance explains.

    Passes when the whole interval lies at or below the margin, fails when the whole interval lies
    above it; in between the sales are too few to tell.
    """
    margin = bounds.champion_margin
    bound = f"at most {points(margin)} worse"

    def told(outcome: str, reason: str) -> Check:
        return Check("champion", CHAMPION, outcome, None, "none", bound, reason)

    if (found := with_rival(comparison)) is None:
        return told(PASS, _alone(comparison))
    who = found.champion
    if found.problem:
        return told(CANNOT_TELL, f"It could not be compared with {who}: {found.problem}.")
    if found.n < bounds.champion_min_rows:
        reason = (
            f"Only {found.n:,} of the hold-out sales came after {who}'s training; "
            f"a comparison needs {bounds.champion_min_rows:,}."
        )
        return told(CANNOT_TELL, reason)
    if finite(found.mean) is None:
        return told(CANNOT_TELL, f"The comparison with {who} gave no usable number.")
    mean = found.mean
    side = "lower than" if mean < 0 else "higher than" if mean > 0 else "equal to"
    drawn = "" if found.by == "sales" else f", drawn by {found.by}"
    reason = (
        f"Over {found.n:,} sales that {who} has never seen, the candidate's mean error is "
        f"{points(abs(mean))} {side} {who}'s (95 % interval {_signed(found.low)} to {_signed(found.high)}"
        f"{drawn}); it may be {bound}."
    )
    if found.high <= margin:
        outcome = PASS
    elif found.low > margin:
        outcome = FAIL
    else:
        outcome, reason = CANNOT_TELL, f"{reason} The interval reaches past that on both sides."
    figures = (found.low, found.high, found.n)
    return Check("champion", CHAMPION, outcome, mean, f"{_signed(mean)} points", bound, reason, *figures)


def _stable(comparison: Comparison | None, bounds: Bounds) -> Iterator[Check]:
    """The churn budget: values may move a little for nothing, and more where accuracy pays for it."""
    free, rate = bounds.stability.free, bounds.stability.rate
    if (found := with_rival(comparison)) is None:
        bound = f"at most {share(free)}"
        yield Check("churn", STABILITY, PASS, None, "none", bound, "There are no values that it could move.")
        return
    who, paid = found.champion, found.gain / rate
    what = (
        f"Median move of a value from {who}'s, the market's level aside ({share(free)} is free, and "
        f"{points(found.gain)} less error beyond chance pay for {share(paid)} more)"
    )
    yield at_most("churn", STABILITY, found.moved, free + paid, what)
    most = bounds.stability.most
    what = f"What nineteen values in twenty move at most from {who}'s, the market's level aside"
    yield at_most("churn_p95", STABILITY, found.moved_most, most, what)


def points(error: float) -> str:
    return f"{100 * error:.2f} points"


def _signed(error: float) -> str:
    return f"{100 * error:+.2f}"
