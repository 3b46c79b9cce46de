"""From sales to a model: what tuning, training and the backtest do alike, fold by fold and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.evidence import Evidence, evidence_columns
from models.fault import Fault
from models.features import Features, fit_features
from models.forest import Bag, fit_bag, predictions_by_rounds
from models.memory import Progress, SaleMemory, month_number
from models.split import Window
from models.start import starting_point

#: Years in which a sale's weight in the forests falls to 1/e.
FADING = 6.0
#: The share of its weight with which a sale is taught a second time, as it looked from the start of its year: a
#: forest that has only met fresh evidence believes stale evidence too much.
STALE_SHARE = 0.3


@dataclass(frozen=True)
class Learnt:
    """Sales as the forests see them: each with what was known before its month, and nothing later.

    Attributes:
        sales: those late enough to be valued, in their order; indexed by their positions in the memory.
        evidence: known before the month, shape (n, evidence columns).
        stale: known before the year, NaN where nothing could be valued then; shape (n, evidence columns).
        level: log price of the typical home, foreseen before the month, shape (n,).
        start: level and hedonic share, shape (n,).
    """

    memory: SaleMemory
    sales: pd.DataFrame
    evidence: np.ndarray
    stale: np.ndarray
    level: np.ndarray
    start: np.ndarray

    @property
    def target(self) -> np.ndarray:
        """What the forests are to learn, in log price."""
        return np.log(self.sales["price"].to_numpy("float64")) - self.start

    def matrix(self, features: Features) -> np.ndarray:
        return np.hstack([features.facts(self.sales), self.evidence])

    def rows(self, first: pd.Timestamp | None, end: pd.Timestamp) -> Learnt:
        """The sales from `first` (or the beginning) up to, not including, `end`."""
        day = self.sales["sale_date"]
        chosen = ((day < end) if first is None else (day >= first) & (day < end)).to_numpy()
        return self._chosen(chosen)

    def believed(self) -> Learnt:
        """Without the sales that the month after the last of them takes for errors."""
        trusted = self.memory.known(int(month_number(self.sales["sale_date"])[-1]) + 1).trusted
        return self._chosen(np.isin(self.sales.index, trusted))

    def _chosen(self, rows: np.ndarray) -> Learnt:
        arrays = (a[rows] for a in (self.evidence, self.stale, self.level, self.start))
        return Learnt(self.memory, self.sales[rows], *arrays)


def learn(memory: SaleMemory, progress: Progress = iter, first: int | None = None) -> Learnt:
    """The sales of a memory from a month (or the first that can be valued) on, made ready month by month."""
    first = memory.first_month if first is None else first
    chosen, evidence = memory.month >= first, Evidence(memory)
    valued, months = memory.sales[chosen], memory.month[chosen]
    fresh, stale = np.full((2, len(valued), len(evidence_columns(memory.market))), np.nan)
    for month in progress(range(first, memory.end_month)):
        rows = months == month
        january = month - month % 12
        if rows.any():
            fresh[rows] = _evidence(evidence, valued[rows])
        if rows.any() and january >= memory.first_month:
            stale[rows] = _evidence(evidence, valued[rows], january)
    level, by_field = starting_point(memory, memory.terms.raw(valued), valued["sale_date"])
    return Learnt(memory, valued, fresh, stale, level, level + by_field.sum(axis=1))


def _evidence(evidence: Evidence, sold: pd.DataFrame, until: int | None = None) -> np.ndarray:
    raw = evidence.memory.terms.raw(sold)
    return evidence.of(sold, raw, sold["property_id"].tolist(), sold["sale_date"], until)


@dataclass(frozen=True)
class Fold:
    """One origin: what was known before it, and the sales of the window after it, in the live regime."""

    window: Window
    features: Features
    known: Learnt
    later: Learnt

    @property
    def log_prices(self) -> np.ndarray:
        """Of the window's sales, shape (n,)."""
        return self.later.target + self.later.start

    def log_values(
        self, searched: Mapping[str, Any], max_rounds: int, step: int, bags: int, seed: int
    ) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        """Of each forest, shape (forests, sales of the window), by the number of boosting rounds: on fresh evidence
        and on stale."""
        bag, facts = self.taught(searched, max_rounds, bags, seed), self.features.facts(self.later.sales)

        def told(evidence: np.ndarray) -> dict[int, np.ndarray]:
            predicted = predictions_by_rounds(bag, np.hstack([facts, evidence]), step)
            return {rounds: self.later.start + forests for rounds, forests in predicted.items()}

        return told(self.later.evidence), told(self.later.stale)

    def errors(self, searched: Mapping[str, Any], rounds: int, bags: int, seed: int) -> np.ndarray:
        """log(price / value) of the window's sales, each valued with what was known before its month."""
        bag = self.taught(searched, rounds, bags, seed)
        return self.later.target - bag.predict(self.later.matrix(self.features))

    def taught(self, searched: Mapping[str, Any], rounds: int, bags: int, seed: int) -> Bag:
        """The forests of the sales before the window."""
        return fit(self.known, self.features, searched, rounds, bags, seed)


def make_fold(learnt: Learnt, window: Window) -> Fold:
    """Raises Fault when there is no sale before the window or none in it."""
    known, later = learnt.rows(None, window.first), learnt.rows(window.first, window.end)
    if known.sales.empty or later.sales.empty:
        raise Fault(
            f"the fold {window} has {len(known.sales)} sales before it and {len(later.sales)} in it that can be "
            f"valued; both need some: lower split.fold_count or split.fold_months"
        )
    return Fold(window, fit_features(known.sales, learnt.memory.market), known, later)


def fit(known: Learnt, features: Features, searched: Mapping[str, Any], rounds: int, bags: int, seed: int) -> Bag:
    """The forests of the sales that are believed, each seen with fresh evidence and, where there is any, with stale."""
    known = known.believed()
    facts, weight = features.facts(known.sales), weights(known)
    old = np.isfinite(known.stale[:, -1])
    homes = known.sales["property_id"].to_numpy(dtype=object)
    return fit_bag(
        np.vstack([np.hstack([facts, known.evidence]), np.hstack([facts[old], known.stale[old]])]),
        np.concatenate([known.target, known.target[old]]),
        np.concatenate([np.where(old, weight * (1 - STALE_SHARE), weight), weight[old] * STALE_SHARE]),
        np.concatenate([homes, homes[old]]).tolist(),
        features,
        searched,
        rounds,
        bags,
        seed,
    )


def weights(known: Learnt) -> np.ndarray:
    """Newer sales count more; shape (n,)."""
    day = known.sales["sale_date"].to_numpy().astype("datetime64[D]").astype("float64")
    return np.exp((day - day.max()) / (365.25 * FADING))
