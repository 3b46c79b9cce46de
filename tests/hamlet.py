"""A small made-up market with a field of each type, and ways to plant one bad row in its sales."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd

from expectations.validation import Limits, Validation, validate
from models.market import Market
from models.sales import canonical_sales

TODAY = dt.date(2024, 6, 1)
LIMITS = Limits(max_set_aside_share=0.05, max_row_drop_share=0.1, max_shift=0.25)
HAMLET = Market.from_dict(
    {
        "name": "hamlet",
        "label": "Hamlet <b>& Co</b>",
        "currency": "EUR",
        "source": {"csv": "hamlet.csv", "sha256": "0" * 64},
        "columns": {"property_id": "parcel", "sale_id": "deed", "sale_date": "sold", "price": "paid"},
        "price": {"range": [10000, 5000000]},
        "fields": [
            {"name": "area", "column": "sqm", "type": "number", "unit": "sqm", "range": [20, 500], "label": "Area",
             "role": "living_area"},
            {"name": "quarter", "column": "quarter", "type": "category", "values": ["north", "south"],
             "label": "Quarter", "role": "neighbourhood"},
            {"name": "rooms", "column": "rooms", "type": "integer", "range": [1, 20], "label": "Rooms"},
            {"name": "baths", "column": "baths", "type": "integer", "missing": True, "label": "Baths"},
            {"name": "lift", "column": "lift", "type": "flag", "label": "Lift"},
            {"name": "street", "column": "street", "type": "category", "missing": True, "label": "Street"},
        ],
        "rules": [
            {"name": "baths_fit", "smaller": "baths", "larger": "rooms", "says": "baths can't exceed rooms"}
        ],
    }
)  # fmt: skip


def hamlet(count: int = 400, seed: int = 1) -> pd.DataFrame:
    """A source's rows, all good: text cells under the source's column names."""
    rng = np.random.default_rng(seed)
    area = rng.integers(40, 200, count)
    rooms = np.maximum(2, area // 30)
    days = np.sort(rng.integers(0, 1400, count))
    return pd.DataFrame(
        {
            "deed": [f"D{n:05d}" for n in range(count)],
            "parcel": [f"P{n:05d}" for n in range(count)],
            "sold": (pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d"),
            "paid": (area * 3000 * np.exp(rng.normal(0, 0.2, count))).round().astype(int),
            "sqm": area,
            "quarter": rng.choice(["north", "south"], count),
            "rooms": rooms,
            "baths": np.where(rng.random(count) < 0.2, "", "1"),
            "lift": rng.choice(["yes", "no"], count),
            "street": rng.choice(["High Street", "Mill Lane", ""], count),
        }
    ).astype("str")


def judge(raw: pd.DataFrame, *earlier: object, limits: Limits = LIMITS) -> Validation:
    return validate(canonical_sales(raw, HAMLET), HAMLET, limits, earlier, TODAY)


def put(column: str, value: str, row: int = 7) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def plant(raw: pd.DataFrame) -> pd.DataFrame:
        raw.loc[row, column] = value
        return raw

    return plant


def again(**changes: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The sale D00007 once more as the deed X, with `changes`."""

    def plant(raw: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([raw, raw.loc[[7]].assign(deed="X", **changes)], ignore_index=True)

    return plant
