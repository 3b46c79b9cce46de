"""95 % intervals by formula, without a draw: whoever has the rows gets the same ends."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

Z = 1.959964  # of a normal distribution, what leaves 2.5 % above


def wilson(share: float, n: int) -> tuple[float, float]:
    """The interval of a share of `n` rows (Wilson 1927); holds also for few rows and near 0 and 1.

    Raises:
        ValueError: when there are no rows.
    """
    if n < 1:
        raise ValueError(f"a share of {n} rows has no interval")
    middle, reach = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (middle - reach) / (1 + Z**2 / n), (middle + reach) / (1 + Z**2 / n)


def median_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Between two of the values, by rank, whatever their distribution; None below six, which give none.

    The chance that so few values lie on one side of the true median is at most 2.5 % on either side, exactly.

    Args:
        values: shape (n,), finite.
    """
    rank = int(binom.ppf(0.025, len(values), 0.5)) if len(values) else 0
    if rank < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[-rank])


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Of the straight line through (x, y) by least squares, and its interval.

    Args:
        x, y: shape (n,), finite, at least three.

    Raises:
        ValueError: when a line can't be told from so few, or all x are alike.
    """
    away = x - x.mean()
    spread = float((away**2).sum())
    if len(x) < 3 or spread <= 0:
        raise ValueError(f"{len(x)} points with spread {spread} have no slope")
    found = float((away * (y - y.mean())).sum()) / spread
    left = y - y.mean() - found * away
    reach = Z * math.sqrt(float((left**2).sum()) / (len(x) - 2) / spread)
    return found, found - reach, found + reach
