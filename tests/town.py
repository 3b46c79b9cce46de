"""A small made-up town for tests of the models: few fields, every type, known truth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from models.fit import Settings, fit_valuer, judge_folds
from models.market import Market
from models.memory import SaleMemory, build_memory
from models.split import before, plan_split
from models.training import learn, make_fold
from models.valuer import Valuer

SEARCHED = {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 10, "alpha": 0.2}
TREND = 0.006  # of log price, a month
NOISE = 0.08  # standard deviation of log price that no fact explains
#: Where the quarters lie on the map.
MIDDLES = {"east": (50.00, 8.05), "old": (50.00, 8.00), "west": (50.00, 7.95)}

AREA = {
    **{"name": "area", "column": "m2", "type": "number", "unit": "m2", "range": [10, 1000], "direction": "up"},
    **{"role": "living_area", "label": "Living area"},
}
QUARTER = {"name": "quarter", "column": "quarter", "type": "category", "label": "Quarter", "role": "neighbourhood"}
ROOMS = {"name": "rooms", "column": "rooms", "type": "integer", "range": [1, 20], "label": "Rooms", "missing": True}
POOL = {
    **{"name": "pool", "column": "pool", "type": "flag", "direction": "up", "label": "Pool"},
    **{"group": "quality"},
}
SOUND = {
    **{"name": "noise", "column": "noise", "type": "number", "unit": "dB", "label": "Noise", "direction": "down"},
    **{"group": "location"},
}
COORDINATES = [
    {"name": name, "column": name, "type": "number", "label": name.capitalize(), "role": name}
    for name in ("latitude", "longitude")
]
#: Where `frozen_valuer` stops to learn; the last year of the town's sales comes after it.
TRAINED = pd.Timestamp("2019-01-01")
HOME = {"area": 120.0, "quarter": "old", "rooms": 4, "pool": True, "noise": 50.0}
MAPPED_HOME = HOME | {"latitude": 50.0, "longitude": 8.0}
_FACTS: dict[str, st.SearchStrategy[Any]] = {
    "area": st.none() | st.floats(10, 1000),
    "quarter": st.sampled_from(["east", "old", "west", "new", None]),
    "rooms": st.none() | st.integers(1, 20),
    "pool": st.none() | st.booleans(),
    "noise": st.none() | st.floats(0, 120),
    "property_id": st.none() | st.integers(0, 1400).map(lambda number: f"p{number}"),
}
#: Homes with facts missing, categories never seen and numbers never seen; some have been sold.
homes = st.fixed_dictionaries(_FACTS)
mapped_homes = st.fixed_dictionaries(
    _FACTS | {"latitude": st.none() | st.floats(49.9, 50.1), "longitude": st.none() | st.floats(7.8, 8.2)}
)


def town(*fields: dict[str, Any]) -> Market:
    """The town, or the same town where only these facts are recorded."""
    return Market.from_dict(
        {
            "name": "town",
            "label": "The Town",
            "currency": "EUR",
            "source": {"csv": "town.csv", "sha256": "0" * 64},
            "columns": {"property_id": "parcel", "sale_id": "deed", "sale_date": "sold", "price": "price"},
            "price": {"range": [1000, 10000000]},
            "fields": list(fields) or [AREA, QUARTER, ROOMS, POOL, SOUND],
        }
    )


def mapped_town() -> Market:
    """The town with coordinates."""
    return town(AREA, QUARTER, ROOMS, POOL, SOUND, *COORDINATES)


def town_sales(count: int = 1500, seed: int = 1, months: int = 60) -> pd.DataFrame:
    """Canonical sales from January 2015; a fifth of the parcels sell more than once."""
    draw = np.random.default_rng(seed)
    parcels = draw.integers(0, int(count * 0.9), count)
    facts = np.random.default_rng(seed + 1)
    area, pool = facts.uniform(40, 250, count), facts.random(count) < 0.2
    quarter, noise, rooms = (
        facts.choice(["east", "old", "west"], count),
        facts.uniform(30, 80, count),
        facts.integers(1, 9, count),
    )
    day = np.sort(draw.integers(0, months * 30, count))
    worth = np.log(2000) + 0.8 * np.log(area[parcels]) + 0.15 * pool[parcels] - 0.004 * noise[parcels]
    worth += np.select([quarter[parcels] == "old", quarter[parcels] == "west"], [0.4, -0.2])
    worth += (
        0.2 * (area[parcels] > 150) * (quarter[parcels] == "old") + TREND * day / 30.44 + draw.normal(0, NOISE, count)
    )
    return pd.DataFrame(
        {
            "sale_id": [f"s{i:05}" for i in range(count)],
            "property_id": [f"p{i}" for i in parcels],
            "sale_date": (pd.Timestamp("2015-01-01") + pd.to_timedelta(day, unit="D")).astype("datetime64[us]"),
            "price": np.exp(worth).round(),
            "area": area[parcels].round(1),
            "quarter": pd.Series(quarter[parcels], dtype="str"),
            "rooms": np.where(draw.random(count) < 0.1, np.nan, rooms[parcels]),
            "pool": pool[parcels].astype("float64"),
            "noise": noise[parcels].round(),
        }
    )


def mapped_sales(count: int = 1500, seed: int = 1, months: int = 60) -> pd.DataFrame:
    """The town's sales with the places of the homes: around the middle of their quarter, dearer to the north."""
    sales = town_sales(count, seed, months)
    homes = sales["property_id"].str[1:].astype("int64")
    scatter = np.random.default_rng(seed + 2).normal(0, 0.01, (count, 2))[homes]
    middles = np.array([MIDDLES[quarter] for quarter in sales["quarter"]])
    north = scatter[:, 0] / 0.01
    return sales.assign(
        price=(sales["price"] * np.exp(0.1 * north)).round(),
        latitude=(middles[:, 0] + scatter[:, 0]).round(5),
        longitude=(middles[:, 1] + scatter[:, 1]).round(5),
    )


def town_memory(sales: pd.DataFrame | None = None, market: Market | None = None) -> SaleMemory:
    return build_memory(town_sales() if sales is None else sales, market or town())


def town_valuer(
    sales: pd.DataFrame | None = None,
    rounds: int = 60,
    seed: int = 7,
    bags: int = 2,
    market: Market | None = None,
    searched: Mapping[str, Any] = SEARCHED,
) -> Valuer:
    """Trained on these sales, the last year of which calibrates the ranges and the year before teaches the spread."""
    learnt = learn(town_memory(sales, market))
    settings = Settings(searched, rounds, bags, seed)
    split = plan_split(learnt.memory.sales["sale_date"], 12, 1, 12)
    judged = judge_folds([make_fold(learnt, window) for window in (*split.folds, split.holdout)], settings)
    return fit_valuer(learnt, judged, settings, level=0.9, horizon_days=365)


@cache
def frozen_valuer() -> Valuer:
    """Of the mapped town, trained before `TRAINED`."""
    return town_valuer(before(mapped_sales(), TRAINED), market=mapped_town())


@cache
def live_valuer() -> Valuer:
    """The same with the sales that came in since."""
    return frozen_valuer().refreshed(mapped_sales())
