"""Comparable sales by the model's own eyes: those that its trees put where they put the home.

Two homes that fall into the same leaf of a tree are the same to that tree. Over the first trees of every
forest, where the broad differences are settled, the shared leaves of a sale weigh what a leaf's mean gives
it: the smaller the leaf, the more (the weights of a forest; Lin and Jeon 2006, doi:10.1198/016214505000001230).
Sales count less as they age.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np

from models.forest import Bag
from models.reasons import Lines

#: Years in which the weight of a sale falls to 1/e.
FADING = 2.5
#: The leaf of a sale too early to be valued: no home falls there.
NO_LEAF = np.iinfo(np.uint16).max
TOLD = 5  # comparables of a valuation


class Comparable(NamedTuple):
    """A sale beside the home; money in the market's currency.

    `price`, the amounts of `adjustments` and nothing else make the home's value, to the cent.

    Attributes:
        distance_km: None where the market has no coordinates.
        alike: the share of trees that can't tell the two apart.
        time_adjusted: the price at the market level of the valuation date.
    """

    sale_id: str
    property_id: str
    sale_date: date
    price: float
    time_adjusted: float
    distance_km: float | None
    alike: float
    adjustments: Lines


def leaves_of(bag: Bag, matrix: np.ndarray) -> np.ndarray:
    """The leaf of each home in each deciding tree; uint16, shape (trees, homes)."""
    return np.ascontiguousarray(bag.first_leaves(matrix).T.astype(np.uint16))


def most_comparable(
    leaves: np.ndarray, home: np.ndarray, years: np.ndarray, among: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the sales that weigh most, the weightiest first, and the share of trees each shares.

    Args:
        leaves: of the sales, shape (trees, sales).
        home: of the home, shape (trees,).
        years: the age of each sale, shape (sales,).
        among: positions of the sales that may be chosen.
    """
    weight, shared = np.zeros(leaves.shape[1]), np.zeros(leaves.shape[1])
    eligible = np.zeros(leaves.shape[1], dtype=bool)
    eligible[among] = True
    for sales, own in zip(leaves, home, strict=True):
        there = np.flatnonzero((sales == own) & eligible)
        weight[there] += 1.0 / max(len(there), 1)
        shared[there] += 1.0
    faded = weight[among] * np.exp(-years[among] / FADING)
    order = np.argsort(-faded, kind="stable")[:count]
    chosen = among[order[faded[order] > 0]]
    return chosen, shared[chosen] / len(leaves)
