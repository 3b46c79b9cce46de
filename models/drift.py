"""How far the market has moved away from a model since it was trained, told by its own later errors.

The forests stay as they are; sales that come in after their training show, month by month, by how much
they are off, in all and by neighbourhood. Only errors of earlier months correct a month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Prior sales that hold the level, and each neighbourhood's, back; how fast old errors are forgotten.
HOLD_LEVEL, HOLD_PLACE, FADING_MONTHS = 100.0, 80.0, 3.0
CLIPPED = 0.25  # log price beyond the median error that one sale may tell


@dataclass(frozen=True)
class Drift:
    """What is added to log price: everywhere, and in each neighbourhood."""

    level: float = 0.0
    places: Mapping[str, float] = field(default_factory=dict)

    def of_places(self, places: Any) -> np.ndarray:
        """Shape (n,); nothing where no sale has told."""
        return np.array([self.places.get(place, 0.0) for place in places], dtype="float64")


def fit_drift(errors: np.ndarray, months_ago: np.ndarray, places: np.ndarray | None) -> Drift:
    """Ridge regression of the errors on a level and on neighbourhoods.

    Args:
        errors: log(price / value) of sales after the training, shape (n,); the newest count most.
        months_ago: whole months before the month that is corrected, at least 1; shape (n,).
        places: neighbourhoods, shape (n,), empty where unknown; None where the market has none.
    """
    if not len(errors):
        return Drift()
    middle = float(np.median(errors))
    told = np.clip(errors, middle - CLIPPED, middle + CLIPPED)
    weight = np.exp((1 - months_ago) / FADING_MONTHS)
    if places is None:
        return Drift(float((weight * told).sum() / (weight.sum() + HOLD_LEVEL)))
    names, at = np.unique(places.astype("str"), return_inverse=True)
    mass, sums = np.bincount(at, weight), np.bincount(at, weight * told)
    # Each place's own level given the common one is (sums - mass * level) / (mass + hold); put into the
    # common level's equation, that leaves one unknown.
    known = names != ""  # an unknown place has nothing of its own
    kept = np.where(known, HOLD_PLACE / (mass + HOLD_PLACE), 1.0)
    level = float((kept * sums).sum() / ((kept * mass).sum() + HOLD_LEVEL))
    own = (sums - mass * level) / (mass + HOLD_PLACE)
    return Drift(level, dict(zip(names[known].tolist(), own[known].tolist(), strict=True)))
