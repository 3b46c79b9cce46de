"""What a value starts from: the market index, and a share of what the hedonic regression says of the home."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.memory import SaleMemory, by_month

#: The share of the hedonic regression that a value starts from; the forests learn the rest. All of it would
#: force the regression's slopes on every home, none would leave dear homes to few leaves.
HEDONIC_SHARE = 0.65


def starting_point(memory: SaleMemory, raw: np.ndarray, days: Any) -> tuple[np.ndarray, np.ndarray]:
    """The index, shape (n,), and each field's share, shape (n, fields), in log price, as foreseen before the month.

    Args:
        raw: of the homes, as `Terms.raw` gives it.
        days: valuation dates, shape (n,).
    """
    design, by_field = raw - memory.terms.centre, np.empty((len(raw), len(memory.terms.terms)))
    for month, rows in by_month(memory.months(days)):
        worth = memory.vintages[memory.vintage_month(month)].worth
        by_field[rows] = HEDONIC_SHARE * memory.terms.by_field(design[rows], worth)
    return memory.level(days), by_field
