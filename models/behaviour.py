"""Behaviour: what a model does when it is asked in ways that no sale asks; the gate reads what is counted here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from models.drill import directions, with_typo
from models.fit import Settings
from models.memory import Progress, build_memory
from models.training import fit, learn
from models.valuer import PROPERTY, Valuer

WHAT_IFS = 100_000
HOMES = 1_000  # of the hold-out that are asked
ALONE = 100  # of them that are valued alone
STEP = 1.01  # times the living area


def behaviour(
    live: Valuer, homes: pd.DataFrame, seed: int, progress: Progress = iter, what_ifs: int = WHAT_IFS
) -> dict[str, Any]:
    """What the gate's checks on directions, steps and twins read.

    Args:
        homes: one row a property, by field name.
        what_ifs: questions at least, where the market has facts with a direction.
    """
    return {
        "what_ifs": _what_ifs(live, homes, seed, progress, what_ifs),
        "cliff": _cliff(live, homes),
        "twins": _twins(live, homes, seed),
    }


def poisoned(valuer: Valuer, train: pd.DataFrame, settings: Settings, homes: pd.DataFrame, seed: int) -> dict[str, Any]:
    """One sale of the last year at ten million: what it does to everybody else's value, through memory and training.

    Args:
        train: the sales that the valuer was trained on.
        homes: valued on the day the training ended.
    """
    typo, where = with_typo(train, seed)
    others = homes[homes[PROPERTY] != where]
    learnt = learn(build_memory(typo, valuer.market))
    bag = fit(learnt, valuer.features, settings.searched, settings.rounds, settings.bags, settings.seed)
    misled = replace(valuer, bag=bag, memory=learnt.memory)
    day = valuer.trained_day
    moved = np.abs(misled.value(others, day) / valuer.value(others, day) - 1)
    return {"asked": len(others), "largest": float(moved.max()) if len(moved) else None}


def some(homes: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most `HOMES` different properties of these sales, drawn by lot."""
    single = homes.drop_duplicates(PROPERTY)
    return single.sample(min(HOMES, len(single)), random_state=seed)


def _what_ifs(live: Valuer, homes: pd.DataFrame, seed: int, progress: Progress, least: int) -> dict[str, Any]:
    directed = sum(1 for field in live.market.fields if field.direction)
    times = -(-least // len(homes)) * 11 // 10 + 1  # facts that are missing, or drawn as they were, ask nothing
    asked = directions(live, homes, times, seed, progress)
    while 0 < asked.asked < least:
        asked += directions(live, homes, 1 + times // 10, seed + asked.asked)
    return {"directed": directed, "asked": asked.asked, "wrong": asked.wrong, "largest": asked.largest}


def _cliff(live: Valuer, homes: pd.DataFrame) -> dict[str, Any]:
    area = live.market.role("living_area")
    if area is None:
        return {"asked": 0, "largest": None}
    known = homes[homes[area.name].notna()]
    before, after = (
        live.value(h, live.current_day) for h in (known, known.assign(**{area.name: known[area.name] * STEP}))
    )
    return {"asked": len(known), "largest": float(np.abs(after / before - 1).max()) if len(known) else None}


def _twins(live: Valuer, homes: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Each home twice under names that no sale knows, in one shuffled crowd; the first of them also alone."""
    day = live.current_day
    twins = [homes.assign(**{PROPERTY: [f"{name} {i}" for i in range(len(homes))]}) for name in ("twin", "other")]
    crowd = pd.concat(twins, ignore_index=True)
    order = np.random.default_rng(seed).permutation(len(crowd))
    told = np.empty(len(crowd))
    told[order] = live.value(crowd.iloc[order], day)
    one, other = told[: len(homes)], told[len(homes) :]
    few = range(min(ALONE, len(homes)))
    alone = np.array([live.value(twins[0].iloc[[i]], day)[0] for i in few])
    differing = int((one != other).sum()) + int((alone != one[: len(alone)]).sum())
    return {"asked": len(homes) + len(alone), "differing": differing}
