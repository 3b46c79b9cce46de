"""What sales after the training have told of a model: the errors from which drift and ranges are read.

One row a sale that was valued out of time. A month is corrected and calibrated by the rows of earlier
months alone, so a value told for a day stays what it was when later sales come in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.conformal import WINDOW_MONTHS, Calibration, calibrate
from models.drift import Drift, fit_drift

#: Scores below which a year's sales can't say how far a 90 % range reaches.
FEW_SCORES = 200


@dataclass(frozen=True)
class Track:
    """The rows, by ascending month.

    Attributes:
        trained: the first month that the forests have not learnt from.
        month: month numbers, shape (n,); those before `trained` are of the folds, and only calibrate.
        place: neighbourhoods, shape (n,), text; empty where the market has none.
        error: log(price / value) before any drift is added, shape (n,).
        score: log(price / value as told) over its spread, shape (n,).
        standing: log value less the level of the market, before any drift, shape (n,).
    """

    trained: int
    month: np.ndarray
    place: np.ndarray
    error: np.ndarray
    score: np.ndarray
    standing: np.ndarray
    _drift: dict[int, Drift] = field(default_factory=dict, repr=False, compare=False)
    _calibration: dict[int, Calibration] = field(default_factory=dict, repr=False, compare=False)

    @property
    def end(self) -> int:
        """The first month of which no error is known."""
        return max(int(self.month[-1]) + 1, self.trained) if len(self.month) else self.trained

    def drift(self, month: int) -> Drift:
        """Told by sales from the training up to the month; none for a month the forests have learnt from."""
        at = min(max(month, self.trained), self.end)
        if at not in self._drift:
            rows = (self.month >= self.trained) & (self.month < at)
            places = self.place[rows] if (self.place != "").any() else None
            self._drift[at] = fit_drift(self.error[rows], at - self.month[rows], places, self.standing[rows])
        return self._drift[at]

    def calibration(self, month: int) -> Calibration:
        """Told by the sales of the `WINDOW_MONTHS` months before, or of all where those are too few to tell."""
        at = min(max(month, self.trained), self.end)
        if at not in self._calibration:
            known = self.month < at
            recent = known & (self.month >= at - WINDOW_MONTHS)
            chosen = recent if recent.sum() >= FEW_SCORES else known
            self._calibration[at] = calibrate(self.score[chosen], self.standing[chosen])
        return self._calibration[at]

    def until(self, month: int) -> Track:
        """Without what that month and later ones told, as far as they came after the training."""
        rows = self.month < max(month, self.trained)
        return Track(
            self.trained,
            self.month[rows],
            self.place[rows],
            self.error[rows],
            self.score[rows],
            self.standing[rows],
        )

    def longer(
        self, month: int, place: np.ndarray, error: np.ndarray, spread: np.ndarray, standing: np.ndarray
    ) -> Track:
        """With one month's sales more."""
        told = error - self.drift(month).of(place, standing)
        return Track(
            self.trained,
            np.concatenate([self.month, np.full(len(error), month)]),
            np.concatenate([self.place, place]),
            np.concatenate([self.error, error]),
            np.concatenate([self.score, told / spread]),
            np.concatenate([self.standing, standing]),
        )

    def to_frame(self) -> pd.DataFrame:
        place = pd.Series(self.place, dtype="str")
        numbers = {"error": self.error, "score": self.score, "standing": self.standing}
        return pd.DataFrame({"month": self.month, "place": place, **numbers})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, trained: int) -> Track:
        return cls(
            trained,
            frame["month"].to_numpy("int64"),
            frame["place"].to_numpy(dtype=object),
            frame["error"].to_numpy("float64"),
            frame["score"].to_numpy("float64"),
            frame["standing"].to_numpy("float64"),
        )


def places_of(homes: pd.DataFrame, neighbourhood: str | None) -> np.ndarray:
    """The neighbourhood of each home as text, empty where it is unknown; shape (n,)."""
    if neighbourhood is None:
        return np.full(len(homes), "", dtype=object)
    return homes[neighbourhood].fillna("").astype("str").to_numpy(dtype=object)


def empty_track(trained: int) -> Track:
    """Before any sale has told anything."""
    nothing = np.empty(0)
    return Track(trained, np.empty(0, "int64"), np.empty(0, object), nothing, nothing, nothing)


def starting_track(
    trained: int, month: np.ndarray, place: np.ndarray, error: np.ndarray, spread: np.ndarray, standing: np.ndarray
) -> Track:
    """A new model's track: of its last fold's sales, each valued by that fold's forests on what was known then."""
    fold = empty_track(int(month.min()))
    for one in np.unique(month):
        rows = month == one
        fold = fold.longer(int(one), place[rows], error[rows], spread[rows], standing[rows])
    return Track(trained, fold.month, fold.place, fold.error, fold.score, fold.standing)
