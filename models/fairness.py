"""Whether homes of one area are treated as those of another, and how much the facts tell of the area.

The sales hold no fact about people. So these figures show whether *places* are valued alike; whether people are,
they can't show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.interval import median_interval, wilson

OVER, UNDER = 1.10, 1 / 1.10  # value / price beyond which a home is called over- or under-valued
FEW = 30  # sales below which an area is told, but not compared with others


def treatment(rows: pd.DataFrame) -> dict[str, Any]:
    """How one group of homes is treated; intervals are of 95 %, under the figure's name with ` low` and ` high`.

    Args:
        rows: at least one, with `price`, `value`, `low`, `high`, `in_support`.
    """
    ratio = (rows["value"] / rows["price"]).to_numpy("float64")
    error, n = np.log(ratio), len(rows)
    found: dict[str, Any] = {"n": n, "signed error": float(np.median(error))}
    found |= ends("signed error", median_interval(error))
    counts = {
        "over-valued": (ratio > OVER).sum(),
        "under-valued": (ratio < UNDER).sum(),
        "hit rate": rows["in_support"].sum(),
    }
    for name, count in counts.items():
        found |= share(name, int(count), n)
    return found | {"median width": float(((rows["high"] - rows["low"]) / rows["value"]).median())}


def gaps(areas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How far the areas are apart, of those with `FEW` sales or more; as `treatment` tells each."""
    judged = [area for area in areas.values() if area["n"] >= FEW]
    found: dict[str, Any] = {"areas compared": len(judged)}
    for name in ("signed error", "over-valued", "under-valued", "hit rate", "median width"):
        told = [area[name] for area in judged]
        found[f"gap of {name}"] = max(told) - min(told) if told else None
    apart = sum(area["signed error low"] > 0 or area["signed error high"] < 0 for area in judged)
    return found | {"areas valued high or low beyond chance": apart, "of them expected by chance": 0.05 * len(judged)}


def share_explained(fact: pd.Series, area: pd.Series) -> float | None:
    """How much of a fact's variance lies between the areas: 0 where it tells nothing of them, 1 where all.

    Of a number it is the correlation ratio; of a category, whose values count as a 0 or 1 each, Goodman and
    Kruskal's tau. None where the fact doesn't vary. Rows without the fact are left out.
    """
    known = fact.notna()
    fact, area = fact[known], area[known]
    columns = pd.get_dummies(fact).astype("float64") if not pd.api.types.is_numeric_dtype(fact) else fact.to_frame()
    total = float(((columns - columns.mean()) ** 2).to_numpy().sum())
    if total <= 0:
        return None
    within = columns - columns.groupby(area).transform("mean")
    return 1 - float((within**2).to_numpy().sum()) / total


def share(name: str, count: int, n: int) -> dict[str, Any]:
    """A share of `n` rows with its interval."""
    return {name: count / n} | ends(name, wilson(count / n, n))


def ends(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name} low": low, f"{name} high": high}
