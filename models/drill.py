"""Drills: what a model must hold up to, put to it many times over.

Each drill counts or measures; what is allowed is said where the count is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from models.appraisal import appraise
from models.change import Asked, what_changed
from models.market import Field, Market
from models.memory import Progress
from models.valuer import PROPERTY, Valuer

TYPO = 10_000_000.0
MISLABELLED = 0.01
#: The name of the made-up fact of the noise drill.
NOISE = "noise"


@dataclass(frozen=True)
class WhatIfs:
    asked: int
    wrong: int
    largest: float

    def __add__(self, other: WhatIfs) -> WhatIfs:
        return WhatIfs(self.asked + other.asked, self.wrong + other.wrong, max(self.largest, other.largest))


def directions(valuer: Valuer, homes: pd.DataFrame, times: int, seed: int, progress: Progress = iter) -> WhatIfs:
    """Each home `times` over with one directed fact moved; how often its value goes the wrong way.

    A fact moves to another anywhere between the least and the greatest that sales have shown, and a tenth of
    the time beyond. A missing fact stays missing. The evidence is asked for once a home: no directed fact
    enters it, which the first round checks on whole valuations.
    """
    draw = np.random.default_rng(seed)
    directed = [f for f in valuer.market.fields if f.direction and (f.type == "flag" or f.name in valuer.support)]
    if not directed:
        return WhatIfs(0, 0, 0.0)
    before = valuer.view(homes, valuer.current_day)
    asked, wrong, largest = 0, 0, 0.0
    for turn in progress(range(times)):
        field = directed[turn % len(directed)]
        moved = _moved(homes, field, valuer, draw)
        known = homes[field.name].notna().to_numpy() & (moved[field.name] != homes[field.name]).to_numpy()
        after = valuer.view(moved, valuer.current_day) if turn < len(directed) else valuer.with_facts(before, moved)
        sign = np.where(moved[field.name] > homes[field.name], 1, -1) * (1 if field.direction == "up" else -1)
        change = sign * (valuer.told(after) / valuer.told(before) - 1)
        asked += int(known.sum())
        wrong += int((change[known] < 0).sum())
        largest = max(largest, float(-change[known].min(initial=0.0)))
    return WhatIfs(asked, wrong, largest)


def _moved(homes: pd.DataFrame, field: Field, valuer: Valuer, draw: np.random.Generator) -> pd.DataFrame:
    if field.type == "flag":
        return homes.assign(**{field.name: 1.0 - homes[field.name]})
    low, high = valuer.support[field.name]
    beyond = np.where(draw.random(len(homes)) < 0.1, 0.5 * (high - low), 0.0)
    drawn = draw.uniform(low - beyond, high + beyond)
    if field.minimum is not None:
        drawn = np.maximum(drawn, field.minimum)
    return homes.assign(**{field.name: np.where(homes[field.name].isna(), np.nan, np.round(drawn))})


def reasons_off(valuer: Valuer, homes: pd.DataFrame, progress: Progress = iter) -> int:
    """How many of these homes have reasons that don't add up to the value, to the cent."""
    off = 0
    for start in progress(range(0, len(homes), 500)):
        for told in appraise(valuer, records(homes.iloc[start : start + 500], valuer.market), valuer.current_day):
            cents = round(100 * told.base) + sum(round(100 * reason.amount) for reason in told.reasons)
            lines = all(
                round(100 * r.amount) == sum(round(100 * line.amount) for line in r.lines) for r in told.reasons
            )
            off += cents != round(100 * told.value) or not lines
    return off


def waterfalls_off(before: Valuer, after: Valuer, homes: pd.DataFrame, seed: int, progress: Progress = iter) -> int:
    """How many waterfalls from one home, day and memory to another don't add up, to the cent."""
    draw = np.random.default_rng(seed)
    known = records(homes, before.market)
    others = draw.permutation(len(known))
    span = (before.current_day - before.first_day).days
    off = 0
    for i in progress(range(len(known))):
        home, other = known[i], known[others[i]]
        day: date = before.first_day + timedelta(days=int(draw.integers(0, span)))
        change = what_changed(Asked(before, home, day), Asked(after, other, after.current_day))
        cents = sum(round(100 * step.amount) for step in change.steps)
        off += cents != round(100 * change.after) - round(100 * change.before)
    return off


def with_typo(sales: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, str]:
    """The sales with one of the last year at ten million, and the property it is of."""
    recent = np.flatnonzero(sales["sale_date"] >= sales["sale_date"].max() - pd.Timedelta(days=365))
    at = int(np.random.default_rng(seed).choice(recent))
    price = sales["price"].to_numpy().copy()
    price[at] = TYPO
    return sales.assign(price=price), str(sales[PROPERTY].iloc[at])


def mislabelled(sales: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The sales with a hundredth of the prices belonging to others of that hundredth."""
    draw = np.random.default_rng(seed)
    chosen = draw.choice(len(sales), max(2, round(MISLABELLED * len(sales))), replace=False)
    price = sales["price"].to_numpy().copy()
    price[chosen] = price[draw.permutation(chosen)]
    return sales.assign(price=price)


def with_noise(sales: pd.DataFrame, market: Market, seed: int) -> tuple[pd.DataFrame, Market]:
    """Sales and market with one more fact, drawn by lot."""
    drawn = np.random.default_rng(seed).normal(size=len(sales))
    noise = Field(name=NOISE, column=NOISE, type="number", label="Noise")
    return sales.assign(**{NOISE: drawn}), replace(market, fields=(*market.fields, noise))


def records(homes: pd.DataFrame, market: Market) -> Sequence[dict[str, Any]]:
    """Homes as a caller would send them."""
    names = [*market.field_names, PROPERTY]
    rows = homes[names].astype(object).where(homes[names].notna(), None)
    return [dict(zip(names, row, strict=True)) for row in rows.itertuples(index=False)]
