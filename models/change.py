"""What changed: from one valuation to another in steps that add up to the difference, to the cent.

Each step is a valuation that the model really gives: first the changed facts, then the market's level,
then the sales that came in, then another model. Steps that change nothing are told with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from models.reasons import Line
from models.valuer import Valuer
from models.view import View

FACTS, MARKET, SALES, MODEL, ROUNDING = "facts", "market", "sales", "model", "rounding"
LABELS = {
    FACTS: "Changed facts of the home",
    MARKET: "The market's level",
    SALES: "Sales that came in, and time that passed since others",
    MODEL: "Another model",
    ROUNDING: "Rounding",
}


@dataclass(frozen=True)
class Asked:
    """A valuation: by which model, of which home, for which day."""

    valuer: Valuer
    home: Mapping[str, Any]
    as_of: date

    def seen_by(self, valuer: Valuer) -> View:
        return valuer.view(valuer.columns([self.home]), self.as_of)


@dataclass(frozen=True)
class Change:
    """Two values, in the market's currency, and what led from one to the other: `before` + steps = `after`."""

    before: float
    after: float
    steps: tuple[Line, ...]


def what_changed(before: Asked, after: Asked) -> Change:
    """The waterfall between two valuations in one market.

    Raises:
        AsOfError: when a model can't speak for a day that a step needs.
    """
    old = before.valuer
    start = before.seen_by(old)
    facts = replace(after, as_of=before.as_of).seen_by(old)
    # The old model on the newer memory stands between them: what is left is the model alone.
    newer = old if old is after.valuer else _with_memory_of(old, after.valuer)
    moved = after.seen_by(newer)
    end = after.seen_by(after.valuer)
    values = [
        _money(start),
        _money(facts),
        _money(facts, (moved.level - facts.level) + (moved.drift - facts.drift)),
        _money(moved),
        _money(end),
    ]
    told = float(old.told(start)[0]), float(after.valuer.told(end)[0])
    cents = [round(100 * (b - a)) for a, b in pairwise(values)]
    rest = round(100 * told[1]) - round(100 * told[0]) - sum(cents)
    steps = zip((FACTS, MARKET, SALES, MODEL, ROUNDING), (*cents, rest), strict=True)
    return Change(*told, tuple(Line(name, LABELS[name], amount / 100) for name, amount in steps))


def _with_memory_of(old: Valuer, new: Valuer) -> Valuer:
    """The old forests on the new model's memory; of its track, what the old forests tell of it themselves."""
    if old.bag is new.bag:
        return new
    return old.refreshed(new.memory.sales)


def _money(view: View, moved: np.ndarray | float = 0.0) -> float:
    return float(np.exp(view.log_value + moved)[0])
