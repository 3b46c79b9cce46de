"""Whether an appraisal keeps what every answer promises: figures that exist, ranges that nest, sums that are exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from models.appraisal import Appraisal, Range


def is_sound(appraisal: Appraisal) -> bool:
    shares = (appraisal.confidence, appraisal.deviation)
    return (
        math.isfinite(appraisal.value)
        and all(math.isfinite(share) and share >= 0 for share in shares)
        and appraisal.confidence <= 1
        and appraisal.level in {told.level for told in appraisal.ranges}
        and _nested(appraisal.value, appraisal.ranges)
        and _reasons_add_up(appraisal)
        and _comparables_add_up(appraisal)
    )


def _nested(value: float, ranges: Iterable[Range]) -> bool:
    """Each range lies around the value and within the one that is told with more certainty."""
    inward = [Range(0.0, value, value), *ranges]
    return all(
        narrow.level < wide.level and 0 < wide.low <= narrow.low <= narrow.high <= wide.high < math.inf
        for narrow, wide in pairwise(inward)
    )


def _reasons_add_up(appraisal: Appraisal) -> bool:
    groups = all(_adds_up(0.0, (line.amount for line in r.lines), r.amount) for r in appraisal.reasons)
    return groups and _adds_up(appraisal.base, (r.amount for r in appraisal.reasons), appraisal.value)


def _comparables_add_up(appraisal: Appraisal) -> bool:
    return all(
        _adds_up(sale.price, (line.amount for line in sale.adjustments), appraisal.value)
        for sale in appraisal.comparables
    )


def _adds_up(start: float, amounts: Iterable[float], end: float) -> bool:
    """To the cent; what is not finite adds up to nothing."""
    return abs(start + math.fsum(amounts) - end) < 0.005
