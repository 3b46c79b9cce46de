"""How far the market has moved away from a model since it was trained, told by its own later errors.

The forests stay as they are; sales that come in after their training show, month by month, by how much
they are off: in all and by neighbourhood, and by how much more (or less) a better home fetches than they
learnt. Only errors of earlier months correct a month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Prior sales that hold the level, and each neighbourhood's, back; how fast old errors are forgotten.
HOLD_LEVEL, HOLD_PLACE, FADING_MONTHS = 100.0, 80.0, 3.0
#: The same for the steepness, in sales of homes one unit of log price from the middle.
HOLD_STEEPNESS, HOLD_PLACE_STEEPNESS, FADING_STEEPNESS = 30.0, 60.0, 9.0
#: What the steepness is led past the errors. Values vary less than prices, so a ratio study that sorts sales half by
#: price (IAAO's PRB) finds dear homes valued low where each value is right. It buys evenness with a little accuracy.
EVEN = 0.025
CLIPPED = 0.25  # log price beyond the median error that one sale may tell
STEEPEST = 0.25  # whatever the sales say: a direction must not turn round


@dataclass(frozen=True)
class Drift:
    """What is added to log price: a level everywhere and in each neighbourhood, and a share of the home's standing.

    Attributes:
        steepness: the share, where a neighbourhood has none of its own in `steep_places`.
    """

    level: float = 0.0
    places: Mapping[str, float] = field(default_factory=dict)
    steepness: float = 0.0
    steep_places: Mapping[str, float] = field(default_factory=dict)

    def of_places(self, places: Any) -> np.ndarray:
        """The neighbourhoods' own level, shape (n,); nothing where no sale has told."""
        return np.array([self.places.get(place, 0.0) for place in places], dtype="float64")

    def steepness_of(self, places: Any) -> np.ndarray:
        """Shape (n,)."""
        return np.array([self.steep_places.get(place, self.steepness) for place in places], dtype="float64")

    def of(self, places: Any, standing: np.ndarray) -> np.ndarray:
        """All of it, shape (n,).

        Args:
            standing: log value less the level of the market, before any drift, shape (n,).
        """
        return self.level + self.of_places(places) + self.steepness_of(places) * standing


def fit_drift(errors: np.ndarray, months_ago: np.ndarray, places: np.ndarray | None, standing: np.ndarray) -> Drift:
    """Two ridge regressions of the errors: on standing, within neighbourhoods; of what that leaves, on levels.

    Args:
        errors: log(price / value) of sales after the training, shape (n,); the newest count most.
        months_ago: whole months before the month that is corrected, at least 1; shape (n,).
        places: neighbourhoods, shape (n,), empty where unknown; None where the market has none.
        standing: log value less the level of the market, before any drift, shape (n,).
    """
    if not len(errors):
        return Drift()
    middle = float(np.median(errors))
    told = np.clip(errors, middle - CLIPPED, middle + CLIPPED)
    names, at = np.unique(np.full(len(errors), "") if places is None else places.astype("str"), return_inverse=True)
    known = names != ""  # an unknown place has nothing of its own

    weight = np.exp((1 - months_ago) / FADING_STEEPNESS)
    mass = np.bincount(at, weight)
    apart, above = (x - (np.bincount(at, weight * x) / mass)[at] for x in (standing, told + EVEN * standing))
    squares, products = np.bincount(at, weight * apart**2), np.bincount(at, weight * apart * above)
    common, own = _pooled(squares, products, known, HOLD_STEEPNESS, HOLD_PLACE_STEEPNESS)
    steep = np.clip(common + np.where(known, own, 0.0), -STEEPEST, STEEPEST)
    steepness = float(np.clip(common, -STEEPEST, STEEPEST))

    weight = np.exp((1 - months_ago) / FADING_MONTHS)
    left = told - steep[at] * standing
    level, own_level = _pooled(np.bincount(at, weight), np.bincount(at, weight * left), known, HOLD_LEVEL, HOLD_PLACE)
    names = names[known].tolist()
    return Drift(
        level,
        dict(zip(names, own_level[known].tolist(), strict=True)),
        steepness,
        dict(zip(names, steep[known].tolist(), strict=True)),
    )


def _pooled(
    mass: np.ndarray, sums: np.ndarray, known: np.ndarray, hold: float, hold_own: float
) -> tuple[float, np.ndarray]:
    """A coefficient that all places share and each place's own beside it, both held back: ridge regression.

    Each place's own given the common one is (sums - mass * common) / (mass + hold_own); put into the common one's
    equation, that leaves one unknown.
    """
    kept = np.where(known, hold_own / (mass + hold_own), 1.0)
    common = float((kept * sums).sum() / ((kept * mass).sum() + hold))
    return common, (sums - mass * common) / (mass + hold_own)
