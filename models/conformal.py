"""Ranges that hold what they promise: split conformal prediction on out-of-time residuals."""

from __future__ import annotations

import math

import numpy as np

from models.fault import Fault


def residual_band(residuals: np.ndarray, level: float) -> tuple[float, float]:
    """The band of log(price / value) that the next sale falls into with probability `level`.

    Each tail gets half of what is left, so the band is as lopsided as the market. With n residuals
    the order statistics floor((n+1)a/2) and ceil((n+1)(1-a/2)), a = 1 - level, make the promise
    finite-sample valid (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005).

    Raises:
        Fault: when there are too few residuals for that level, or one is not finite.
    """
    residuals = np.sort(np.asarray(residuals, dtype="float64"))
    if not np.isfinite(residuals).all():
        raise Fault("a residual is not finite; every calibration sale needs a value and a price")
    tail = round((1 - level) / 2, 12)  # 0.05, not 0.04999…, or the order statistics slip by one
    needed = math.ceil(1 / tail) - 1
    if len(residuals) < needed:
        raise Fault(f"{len(residuals)} residuals are too few for a {level:.0%} range; at least {needed} are needed")
    low = residuals[math.floor((len(residuals) + 1) * tail) - 1]
    high = residuals[math.ceil((len(residuals) + 1) * (1 - tail)) - 1]
    return min(float(low), 0.0), max(float(high), 0.0)
