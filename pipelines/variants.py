"""Variants of the model: each part taken away or replaced, over the rolling-origin folds.

A variant changes what the forests are taught, or the forests themselves; the rest of the line stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models.features import Features
from models.fit import FOLD_BAGS, Judged, Settings, errors_with_drift
from models.market import Market
from models.start import HEDONIC_SHARE
from models.training import Fold, Learnt

Change = Callable[[Learnt], Learnt]


@dataclass(frozen=True)
class Variant:
    """One thing done differently.

    Attributes:
        asks: the question behind it, in words.
        change: of what the forests are taught and asked.
        searched: parameters of the forests in place of those found.
        bags: forests in place of those asked for.
    """

    name: str
    asks: str
    change: Change | None = None
    searched: Mapping[str, Any] = field(default_factory=dict)
    bags: int | None = None
    directions: bool = True
    drift: bool = True
    aside: bool = True


def errors_of(variant: Variant, fold: Fold, settings: Settings) -> np.ndarray:
    """log(price / value) of the fold's sales, valued live."""
    market = fold.features.market if variant.directions else _without_directions(fold.features.market)
    changed = Fold(
        fold.window,
        Features(market, fold.features.categories),
        variant.change(fold.known) if variant.change else fold.known,
        variant.change(fold.later) if variant.change else fold.later,
    )
    searched, bags = {**settings.searched, **variant.searched}, variant.bags or min(settings.bags, FOLD_BAGS)
    bag = changed.taught(searched, settings.rounds, bags, settings.seed)
    if not variant.aside:
        bag = replace(bag, reach=np.zeros_like(bag.reach))
    errors = changed.later.target - bag.predict(changed.later.matrix(changed.features))
    return errors_with_drift(Judged(changed, errors)) if variant.drift else errors


def without(*beginnings: str) -> Change:
    """Without the columns of evidence whose names begin so."""

    def change(learnt: Learnt) -> Learnt:
        names = [column.name for column in Features(learnt.memory.market, {}).evidence]
        gone = [i for i, name in enumerate(names) if name.startswith(beginnings)]
        evidence, stale = learnt.evidence.copy(), learnt.stale.copy()
        evidence[:, gone] = np.nan
        stale[:, [i for i in gone if i != len(names) - 1]] = np.nan
        return replace(learnt, evidence=evidence, stale=stale)

    return change


def hedonic_share(share: float) -> Change:
    """Starting from another share of the hedonic regression."""

    def change(learnt: Learnt) -> Learnt:
        standing = (learnt.start - learnt.level) / HEDONIC_SHARE
        return replace(learnt, start=learnt.level + share * standing)

    return change


def never_stale(learnt: Learnt) -> Learnt:
    """Without the second look at each sale on stale evidence."""
    return replace(learnt, stale=np.full_like(learnt.stale, np.nan))


def _without_directions(market: Market) -> Market:
    return replace(market, fields=tuple(replace(f, direction=None) for f in market.fields))


ABLATIONS: Sequence[Variant] = (
    Variant("without sales near by", "What do the nearest sales tell?", without("near_", "recent_")),
    Variant("without sales of alike homes", "What do the most alike sales near by tell?", without("alike_")),
    Variant("without the surroundings", "What do the homes around tell?", without("around_")),
    Variant("without the home's own last sale", "What does its own history tell?", without("last_sale")),
    Variant("without levels of categories", "What do the mean levels of each category tell?", without("level_")),
    Variant("without any evidence", "All of the above together", without("")),
    Variant("without the hedonic share", "Could forests do it on their own?", hedonic_share(0.0)),
    Variant("without stale evidence", "Does a second look at each sale on old evidence help?", never_stale),
    Variant("without drift", "Do later errors correct the level?", drift=False),
    Variant("without directions", "What do monotone directions cost?", directions=False),
    Variant("without asking aside", "What do splits taken by steps do?", aside=False),
    Variant("without bagging", "What does one forest lose?", bags=1),
)

TRIED: Sequence[Variant] = (
    Variant("the whole hedonic regression", "Start from all of it?", hedonic_share(1.0)),
    Variant("a third of the hedonic regression", "Start from less of it?", hedonic_share(0.35)),
    Variant("squared error", "Is a robust loss worth it?", searched={"alpha": 1e6}),
    Variant("a sharper robust loss", "Nearly absolute error?", searched={"alpha": 0.03}),
    Variant("absolute-like, slower", "With half the learning rate?", searched={"alpha": 0.03, "learning_rate": 0.05}),
    Variant("more leaves", "Are the trees too small?", searched={"num_leaves": 64}),
    Variant("fewer leaves", "Are the trees too large?", searched={"num_leaves": 10}),
    Variant("many columns a tree", "Does choice among all columns help?", searched={"feature_fraction": 0.9}),
    Variant("few columns a tree", "Or very few?", searched={"feature_fraction": 0.1}),
    Variant("smoothed paths", "Does smoothing leaves towards their parents help?", searched={"path_smooth": 100.0}),
    Variant("heavy shrinkage", "Does heavy L2 on leaves help?", searched={"lambda_l2": 100.0}),
    Variant("many forests", "Do four times as many forests help?", bags=4 * FOLD_BAGS),
)
