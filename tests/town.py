"""A small made-up town for tests of the models: few fields, every type, known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.market import Market
from models.split import plan_split
from models.training import fit_valuer, make_fold
from models.valuer import Valuer

SEARCHED = {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 10}
TREND = 0.006  # of log price, a month


def town() -> Market:
    return Market.from_dict(
        {
            "name": "town",
            "label": "The Town",
            "currency": "EUR",
            "source": {"csv": "town.csv", "sha256": "0" * 64},
            "columns": {"property_id": "parcel", "sale_id": "deed", "sale_date": "sold", "price": "price"},
            "price": {"range": [1000, 10000000]},
            "fields": [
                {"name": "area", "column": "m2", "type": "number", "unit": "m2", "range": [10, 1000]}
                | {"direction": "up", "role": "living_area", "label": "Living area"},
                {"name": "quarter", "column": "quarter", "type": "category", "label": "Quarter"}
                | {"role": "neighbourhood"},
                {"name": "rooms", "column": "rooms", "type": "integer", "range": [1, 20], "label": "Rooms"}
                | {"missing": True},
                {"name": "pool", "column": "pool", "type": "flag", "direction": "up", "label": "Pool"},
                {"name": "noise", "column": "noise", "type": "number", "unit": "dB", "label": "Noise"}
                | {"direction": "down"},
            ],
        }
    )


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
        0.2 * (area[parcels] > 150) * (quarter[parcels] == "old") + TREND * day / 30.44 + draw.normal(0, 0.08, count)
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


def town_valuer(sales: pd.DataFrame | None = None, rounds: int = 60, seed: int = 7) -> Valuer:
    sales = town_sales() if sales is None else sales
    windows = plan_split(sales["sale_date"], 12, 2, 12).folds
    folds = [make_fold(sales, window, town()) for window in windows]
    return fit_valuer(sales, town(), folds, SEARCHED, rounds, seed, level=0.9, horizon_days=365)
