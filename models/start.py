"""What a value starts from: the market index, and a share of what the hedonic regression says of the home."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.hedonic import Homes
from models.memory import SaleMemory

#: The share of the hedonic regression that a value starts from; the forests learn the rest. All of it would
#: force the regression's slopes on every home, none would leave dear homes to few leaves.
HEDONIC_SHARE = 0.65


def starting_point(memory: SaleMemory, homes: Homes, days: Any) -> tuple[np.ndarray, np.ndarray]:
    """The index, shape (n,), and each field's share, shape (n, fields), in log price, as foreseen before the month.

    Args:
        days: valuation dates, shape (n,).
    """
    design, months = memory.terms.design(homes), memory.months(days)
    by_field = np.empty((len(months), len(memory.terms.terms)))
    for month in np.unique(months):
        rows = months == month
        worth = memory.vintages[memory.vintage_month(int(month))].worth
        by_field[rows] = HEDONIC_SHARE * memory.terms.by_field(design[rows], worth)
    return memory.level(days), by_field
