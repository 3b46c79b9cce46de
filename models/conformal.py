"""Ranges that hold what they promise: split conformal prediction on out-of-time residuals."""

from __future__ import annotations

import math

import numpy as np

from models.fault import Fault


def residual_band(residuals: np.ndarray, level: float) -> tuple[float, float]:
    """The band of log(price / value) that the next sale falls into with probability `level`.

    Each tail gets half of what is left, so the band is as lopsided as the market. With n residuals
    the order statistics floor((n+1)a/2) and ceil((n+1)(1-a/2)), a = 1 - level, make the promise
    finite-sample valid (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005),
    if the next residual is exchangeable with these. Ours come from earlier years, and from folds that
    also chose the model's parameters: that it holds is measured on the hold-out, not proven.

    Raises:
        Fault: when there are too few residuals for that level, or one is not finite.
    """
    residuals = np.sort(np.asarray(residuals, dtype="float64"))
    if not np.isfinite(residuals).all():
        raise Fault("a residual is not finite; every calibration sale needs a value and a price")
    tail = (1 - level) / 2  # rounded in every product: 57, not 56.99…, or the order statistics slip by one
    needed = math.ceil(round(1 / tail, 9)) - 1
    if len(residuals) < needed:
        raise Fault(f"{len(residuals)} residuals are too few for a {level:.0%} range; at least {needed} are needed")
    k = math.floor(round((len(residuals) + 1) * tail, 9))
    return min(float(residuals[k - 1]), 0.0), max(float(residuals[-k]), 0.0)
