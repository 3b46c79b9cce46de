"""Segments: a model that is good on average and bad somewhere is refused, with the table that shows where.

Every question to a group is a count: how many of its sales lie beyond a bound that at most a given share may
pass. The exact binomial test says how surprising that count would be in a group that is as it should be, and
Holm's correction (1979) keeps the chance of refusing a sound model by any of the many questions at 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.gate.bounds import Bounds, SegmentBounds
from models.gate.champion import points
from models.gate.check import CANNOT_TELL, FAIL, PASS, Check, share

SEGMENTS = "segments"
CHANCE = 0.05  # of refusing a sound model
TOO_FEW = "too few to judge"
NAMED = 5  # groups that the sentence names; the table has all


@dataclass(frozen=True)
class Finding:
    """One question to one group: how surprising its answer is, and what it says."""

    row: int
    p: float
    says: str


def segment_check(
    valued: pd.DataFrame, groups: Mapping[str, pd.Series], difference: np.ndarray, level: float, bounds: Bounds
) -> Check:
    """Every group of at least `segments.min_rows` sales, in its error, its level, its ranges and against the champion.

    Args:
        valued: `price`, `value`, `low`, `high` of each hold-out sale.
        groups: way to group -> the group of each sale, row for row with `valued`.
        difference: error less the champion's of each sale, NaN where there is no fair comparison; shape (n,).
        level: the probability of the range.
    """
    allowed = bounds.segments
    rows: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for segment, labels in groups.items():
        names = labels.to_numpy(dtype=str)
        for group in sorted(set(names)):
            chosen = names == group
            row = {"segment": segment, "group": str(group)} | _figures(valued[chosen], difference[chosen])
            if row["n"] >= allowed.min_rows:
                findings += _asked(len(rows), valued[chosen], difference[chosen], level, allowed)
            rows.append(row | {"says": "" if row["n"] >= allowed.min_rows else TOO_FEW})
    bound = f"no group of {allowed.min_rows:,} sales or more that is bad beyond chance"
    n = len({f.row for f in findings})
    if not n:
        reason = f"No group has the {allowed.min_rows:,} sales that it takes to judge it."
        return Check("segments", SEGMENTS, CANNOT_TELL, None, "none", bound, reason, n=0, rows=tuple(rows))
    bad = [f for f, p in zip(findings, holm([f.p for f in findings]), strict=True) if p < CHANCE]
    for finding in bad:
        rows[finding.row]["says"] = "; ".join(filter(None, [rows[finding.row]["says"], finding.says]))
    worst = [row for row in rows if row["says"] not in ("", TOO_FEW)]
    reason = f"None of {n} groups is bad beyond chance."
    if worst:
        named = "; ".join(f"{r['segment']} {r['group']}: {r['says']}" for r in worst[:NAMED])
        more = f"; and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        reason = f"{len(worst)} of {n} groups are bad beyond chance: {named}{more}."
    outcome, count = FAIL if worst else PASS, f"{len(worst)} of {n}"
    return Check("segments", SEGMENTS, outcome, float(len(worst)), count, bound, reason, n=n, rows=tuple(rows))


def holm(chances: list[float]) -> np.ndarray:
    """p-values corrected for their number (Holm 1979), in their order; NaN stays surprising, as 0."""
    p = np.nan_to_num(np.asarray(chances, dtype="float64"), nan=0.0)
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1.0)
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return corrected


def _figures(sales: pd.DataFrame, difference: np.ndarray) -> dict[str, Any]:
    ratio, fair = sales["value"] / sales["price"], difference[np.isfinite(difference)]
    inside = (sales["price"] >= sales["low"]) & (sales["price"] <= sales["high"])
    return {
        "n": len(sales),
        "mdape": float((ratio - 1).abs().median()),
        "median_ratio": float(ratio.median()),
        "coverage": float(inside.mean()),
        "against_champion": float(fair.mean()) if len(fair) else None,
    }


def _asked(
    row: int, sales: pd.DataFrame, difference: np.ndarray, level: float, allowed: SegmentBounds
) -> Iterator[Finding]:
    n, ratio = len(sales), (sales["value"] / sales["price"]).to_numpy()
    error, middle = np.abs(ratio - 1), float(np.median(ratio))
    outside = ~((sales["price"] >= sales["low"]) & (sales["price"] <= sales["high"])).to_numpy()

    def beyond(wrong: np.ndarray, may: float) -> float:
        """The chance of so many or more where each sale is wrong with the probability that may be."""
        return float(stats.binom.sf(int(wrong.sum()) - 1, n, may))

    typical = f"typical error {share(float(np.median(error)))}, allowed {share(allowed.mdape)}"
    yield Finding(row, beyond(~(error <= allowed.mdape), 0.5), typical)
    low, high = allowed.median_ratio
    says = f"median value / price {middle:.3f}, allowed {low:.3f} to {high:.3f}"
    yield Finding(row, beyond(ratio < low, 0.5), says)
    yield Finding(row, beyond(ratio > high, 0.5), says)
    least = level - allowed.coverage_within
    says = f"{100 * (1 - outside.mean()):.1f} % within the {100 * level:.0f} % range, allowed {100 * least:.1f} %"
    yield Finding(row, beyond(outside, 1 - least), says)
    fair = difference[np.isfinite(difference)]
    if len(fair) >= allowed.min_rows:
        says = f"error {points(float(fair.mean()))} above the champion's, allowed {points(allowed.margin)}"
        test = stats.ttest_1samp(fair, allowed.margin, alternative="greater") if fair.std() > 0 else None
        yield Finding(row, float(test.pvalue) if test else float(fair.mean() <= allowed.margin), says)
