"""Which way a figure gets better, said once for whoever compares two models."""

from __future__ import annotations

LOWER = ("mdape", "rmse_log", "cod")
HIGHER = ("ppe5", "ppe10", "ppe20", "r2")
#: Figures that should be near a value, and that value.
NEAR = {"median_ratio": 1.0, "prd": 1.0, "prb": 0.0, "mki": 1.0, "vei": 0.0}
CHURN = "churn_"  # how far values move without a reason: lower is better


def gain(name: str, old: float, new: float, level: float) -> float | None:
    """By how much the new figure is better than the old, negative where it is worse; None for what has no better.

    Args:
        level: what the coverage should be near to.
    """
    near = NEAR | {"coverage": level}
    if name in near:
        return abs(old - near[name]) - abs(new - near[name])
    if name in LOWER or name.startswith(CHURN):
        return old - new
    return new - old if name in HIGHER else None
