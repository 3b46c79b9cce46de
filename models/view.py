"""What a model sees of homes on their days, and what it makes of them in log price."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.kernel.walk import Explained


@dataclass(frozen=True)
class View:
    """What the model sees of homes on their days, in log price; every array has a row a home.

    Attributes:
        months: of the days.
        matrix: the forests' input, shape (n, features).
        level: the index of the day.
        facts: each field's hedonic share, shape (n, fields).
        forests: their mean.
        drift, local_drift: how far later sales say the model is off, everywhere and in the neighbourhood.
        steepness: the share of a home's standing by which they say better homes there are off.
        spread: how large an error of the value to expect.
        explained: what the forests' walk tells beside their mean, where it was asked for.
    """

    days: np.ndarray
    months: np.ndarray
    matrix: np.ndarray
    level: np.ndarray
    facts: np.ndarray
    forests: np.ndarray
    drift: np.ndarray
    local_drift: np.ndarray
    steepness: np.ndarray
    spread: np.ndarray
    explained: Explained | None = None

    @cached_property
    def standing(self) -> np.ndarray:
        """Log value less the level of the market, before any drift, shape (n,)."""
        return self.facts.sum(axis=1) + self.forests

    @cached_property
    def log_value(self) -> np.ndarray:
        """Before rounding, shape (n,)."""
        return self.level + self.standing + (self.drift + self.local_drift + self.steepness * self.standing)

    @cached_property
    def amounts(self) -> tuple[np.ndarray, np.ndarray]:
        """What leads from the level of the day to each log value: the mean forest's base, shape (n,), and all parts
        but the index, in log price, shape (n, parts); only of a view that is explained."""
        assert self.explained is not None
        later, told = (self.drift, self.local_drift, self.steepness * self.standing), self.explained.contributions
        parts = np.column_stack([*later, told[:, :-1]])
        parts[:, len(later) : len(later) + self.facts.shape[1]] += self.facts
        return told[:, -1], parts
