"""A market made up by a seed, unlike Seattle in every way that a declaration allows.

3,000 sales over five years, over 40 fields that are mostly categories (some open), no coordinates,
no home sold twice, euros and square metres, `;` between cells and days before months. Prices follow
a market that turns twice, and interactions that a sum of effects can't follow, with 8 % noise.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from models.files import digest, write_bytes, write_text

NAME = "millbrook"
SOURCE = "data/sources/millbrook.csv"
FIRST_DAY, DAYS = np.datetime64("2015-01-01"), 5 * 365 + 1
NOISE = 0.08

#: Categories with declared values; those in PRICED move the price, the others are there to mislead.
CATEGORIES = {
    "neighbourhood": [f"{side} {part}" for side in ("North", "South", "East", "West") for part in "ABCD"],
    "property_type": ["flat", "penthouse", "terraced", "semi", "detached"],
    "finish": ["plain", "fair", "good", "luxury"],
    "condition": ["poor", "worn", "sound", "new"],
    "energy_class": list("ABCDEFG"),
    "view": ["none", "green", "water"],
    "parking": ["none", "street", "yard", "garage"],
    "cellar": ["none", "part", "full"],
    "heating": ["gas", "oil", "district", "heat pump", "electric"],
    "tenure": ["freehold", "leasehold"],
    "noise": ["low", "some", "high"],
    "zoning": ["01", "02", "03", "10"],
    "roof": ["tile", "slate", "flat", "metal"],
    "facade": ["brick", "render", "stone", "timber"],
    "windows": ["single", "double", "triple"],
    "insulation": ["none", "walls", "all"],
    "flooring": ["oak", "stone", "laminate", "carpet"],
    "kitchen": ["open", "closed", "corner"],
    "garden": ["none", "shared", "own"],
    "orientation": ["N", "NE", "E", "SE", "S", "SW", "W", "NW"],
    "utilities": ["all", "no gas", "well"],
    "stairs": ["inside", "outside", "none"],
    "fence": ["none", "hedge", "wall"],
    "shape": ["regular", "corner", "irregular"],
    "broker": ["one", "two", "three", "private"],
}
#: Categories that accept any text, with how many values there are of each.
OPEN_CATEGORIES = {"street": 180, "school_district": 14, "builder": 60, "architect": 40}
FLAGS = ("lift", "listed", "solar", "fireplace", "attic")
MISSING_SHARES = {
    "energy_class": 0.15,
    "heating": 0.04,
    "builder": 0.6,
    "architect": 0.8,
    "ceiling_height": 0.3,
    "balcony_area": 0.25,
    "solar": 0.05,
}
NUMBERS: dict[str, dict[str, Any]] = {
    "living_area": {"type": "number", "unit": "m²", "range": [15, 600], "direction": "up", "role": "living_area"},
    "plot_area": {"type": "number", "unit": "m²", "range": [40, 5000], "missing": True},
    "year_built": {"type": "integer", "range": [1850, 2019]},
    "year_renovated": {"type": "integer", "range": [1850, 2019], "missing": True},
    "rooms": {"type": "integer", "range": [1, 20]},
    "bathrooms": {"type": "integer", "range": [1, 8], "direction": "up"},
    "floor": {"type": "integer", "range": [0, 12], "missing": True},
    "station_distance": {"type": "number", "unit": "m", "range": [0, None]},
    "ceiling_height": {"type": "number", "unit": "m", "range": [2, 5]},
    "balcony_area": {"type": "number", "unit": "m²", "range": [0, 60]},
}


def write_second_market(root: Path, count: int = 3000, seed: int = 7) -> Path:
    """Write `data/sources/millbrook.csv` and its declaration below `root`.

    Returns:
        the declaration's path, `root/data/markets/millbrook.yaml`.
    """
    sales = second_market_sales(count, seed)
    data = sales.to_csv(sep=";", index=False, lineterminator="\n").encode()
    write_bytes(root / SOURCE, data)
    buffer = io.StringIO()
    YAML().dump(declaration(digest(data)), buffer)
    path = root / f"data/markets/{NAME}.yaml"
    write_text(path, buffer.getvalue())
    return path


def declaration(sha256: str) -> dict[str, Any]:
    return {
        "name": NAME,
        "label": "Millbrook (made up)",
        "currency": "EUR",
        "source": {"csv": SOURCE, "sha256": sha256, "separator": ";"},
        "columns": {
            "property_id": "Deed",
            "sale_id": "Deed",
            "sale_date": "Sold on",
            "price": "Paid (EUR)",
            "date_format": "%d/%m/%Y",
        },
        "price": {"range": [10000, 20000000]},
        "fields": [_declared(name) for name in (*CATEGORIES, *OPEN_CATEGORIES, *NUMBERS, *FLAGS)],
        "rules": [
            {
                "name": "renovated_after_built",
                "smaller": "year_built",
                "larger": "year_renovated",
                "says": "a home can't be renovated before it is built",
            }
        ],
    }


def second_market_sales(count: int, seed: int) -> pd.DataFrame:
    """The sales as the source's file has them: every cell a text, under the source's own headings."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, DAYS, count))
    homes = _homes(rng, count)
    prices = np.exp(_log_prices(rng, homes, days / 365.25))
    for name, share in MISSING_SHARES.items():
        homes[name] = homes[name].astype(object).where(rng.random(count) >= share, "n/a")
    homes = homes.rename(columns=_column)
    homes.insert(0, "Deed", [f"{n:06d}" for n in rng.permutation(count * 3)[:count]])
    homes.insert(1, "Sold on", [f"{d.astype(object):%d/%m/%Y}" for d in FIRST_DAY + days])
    homes.insert(2, "Paid (EUR)", (prices / 500).round().astype(int) * 500)
    return homes.iloc[rng.permutation(count)]


def _declared(name: str) -> dict[str, Any]:
    field: dict[str, Any] = {"name": name, "column": _column(name), "label": name.replace("_", " ").capitalize()}
    if name in NUMBERS:
        field |= NUMBERS[name]
    elif name in FLAGS:
        field["type"] = "flag"
    else:
        field["type"] = "category"
        field |= {"values": CATEGORIES[name]} if name in CATEGORIES else {}
    field |= {"role": name} if name in ("neighbourhood", "property_type") else {}
    return field | ({"missing": True} if name in MISSING_SHARES else {})


def _column(name: str) -> str:
    return name.replace("_", " ").title()


def _homes(rng: np.random.Generator, count: int) -> pd.DataFrame:
    homes = pd.DataFrame({name: rng.choice(values, count) for name, values in CATEGORIES.items()})
    for name, size in OPEN_CATEGORIES.items():
        homes[name] = [f"{name[:3].title()} {n:03d}" for n in (rng.beta(1, 3, count) * size).astype(int)]
    flat = homes["property_type"].isin(["flat", "penthouse"]).to_numpy()
    homes["living_area"] = np.clip(np.exp(rng.normal(np.where(flat, 4.3, 4.75), 0.32)), 20, 550).round(1)
    homes["plot_area"] = pd.Series(np.clip(np.exp(rng.normal(5.9, 0.6, count)), 60, 4000).round()).mask(flat)
    homes["year_built"] = rng.integers(1870, 2015, count)
    renovated = homes["year_built"] + rng.integers(1, 60, count)
    homes["year_renovated"] = renovated.where((renovated < 2015) & (rng.random(count) < 0.5)).astype("Int64")
    homes["rooms"] = np.clip(homes["living_area"] / 26 + rng.normal(0, 0.8, count), 1, 20).round().astype(int)
    homes["bathrooms"] = 1 + rng.binomial(2, np.clip(homes["living_area"] / 400, 0.05, 0.9))
    homes["floor"] = pd.Series(rng.integers(0, 8, count)).where(flat).astype("Int64")
    homes["station_distance"] = np.exp(rng.normal(6.6, 0.8, count)).round()
    homes["ceiling_height"] = np.clip(rng.normal(2.7, 0.3, count), 2.1, 4.5).round(2)
    homes["balcony_area"] = np.clip(rng.gamma(1.2, 6, count), 0, 55).round(1)
    for name in FLAGS:
        homes[name] = rng.choice(["yes", "no"], count)
    return homes


def _log_prices(rng: np.random.Generator, homes: pd.DataFrame, years: np.ndarray) -> np.ndarray:
    """Euros, in logs: where a home stands decides what its size, finish and age are worth."""
    neighbourhoods = CATEGORIES["neighbourhood"]
    standing = homes["neighbourhood"].map(dict(zip(neighbourhoods, np.linspace(-0.4, 0.4, 16), strict=True))).to_numpy()
    size = np.log(homes["living_area"].to_numpy() / 90)
    finish = homes["finish"].map({"plain": 0.0, "fair": 0.08, "good": 0.18, "luxury": 0.34}).to_numpy()
    wear = homes["condition"].map({"poor": -0.25, "worn": -0.1, "sound": 0.0, "new": 0.08}).to_numpy()
    old = homes["year_built"].to_numpy() < 1920
    flat = homes["floor"].notna().to_numpy()
    climb = homes["floor"].fillna(0).to_numpy(float) - 2
    lift = (homes["lift"] == "yes").to_numpy()
    water = (homes["view"] == "water").to_numpy()
    age = 2015 - homes["year_built"].to_numpy()
    value = 12.3 + standing
    value += 0.85 * np.minimum(size, 0.5) + 0.35 * np.maximum(size - 0.5, 0) + 0.6 * np.maximum(standing, 0) * size
    value += finish * (1 + 2 * standing)
    value += wear * np.where(age > 45, 1.0, 0.25)
    value += np.where(old, np.where(standing > 0, 0.22, -0.16), -0.0022 * np.minimum(age, 60))
    value += np.where(flat & (climb > 0), np.where(lift, 0.03, -0.06) * climb, 0)
    value += np.where(water, np.where(flat, 0.04 + 0.03 * np.maximum(climb, 0), 0.12), 0)
    value += 0.1 * np.log(homes["plot_area"].fillna(350).to_numpy() / 350) * (1 + standing)
    value += 0.03 * (homes["bathrooms"].to_numpy() - 1)
    value -= 0.07 * np.abs(np.log(homes["station_distance"].to_numpy() / 600)) * np.where(flat, 1.3, 0.5)
    value += homes["parking"].map({"none": 0.0, "street": 0.0, "yard": 0.02, "garage": 0.05}).to_numpy()
    return value + _market_level(years) + rng.normal(0, NOISE, len(homes))


def _market_level(years: np.ndarray) -> np.ndarray:
    """Up 7 % a year, down 8 % a year from the spring of 2017, up 4 % a year from early 2018."""
    return np.interp(years, [0, 2.3, 3.1, 5.1], [0, 0.16, 0.096, 0.176])
