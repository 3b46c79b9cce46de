"""Reference models: the simple ways to value a home that a candidate must beat, and a floor.

Each values every sale of a window, from the sales before its month alone, as the candidate does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from models.features import fit_features
from models.forest import fit_bag
from models.market import Market
from models.market_index import MarketIndex
from models.memory import SaleMemory
from models.split import Window
from models.training import Learnt, weights

FEW = 5  # sales below which a group's median is not trusted
YEAR = pd.Timedelta(days=365)
#: The forest on the declared columns alone: what a search over them ends at, on every market tried.
RAW = {
    "learning_rate": 0.05,
    "num_leaves": 40,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "lambda_l2": 1.0,
    "alpha": 0.15,
}
RAW_ROUNDS = 400


def reference_values(learnt: Learnt, window: Window, seed: int) -> dict[str, np.ndarray]:
    """What each reference model says of every sale of the window, in the order of `learnt`.

    `raw_forest` is a forest on the declared columns and the market index, without hedonic share or evidence;
    `shuffled_target` is the floor: the same forest, taught prices that belong to other homes.
    """
    known, later = learnt.rows(None, window.first), learnt.rows(window.first, window.end)
    told = {name: np.empty(len(later.sales)) for name in ("last_sale_indexed", "median_per_area", "hedonic")}
    memory, months = learnt.memory, learnt.memory.months(later.sales["sale_date"])
    for month in np.unique(months):
        rows = months == month
        for name, values in _of_month(memory, int(month), later.sales[rows]).items():
            told[name][rows] = values
    log_price = np.log(known.sales["price"].to_numpy("float64")) - known.level
    shuffled = np.random.default_rng(seed).permutation(log_price)
    return told | {
        "raw_forest": _raw(known, later, log_price, seed),
        "shuffled_target": _raw(known, later, shuffled, seed),
    }


def median_per_area(known: pd.DataFrame, homes: pd.DataFrame, market: Market) -> np.ndarray:
    """The last year's median price per unit of living area, by neighbourhood and property type, times the home's own.

    Without a living area it is the median price of such homes, without groups (or in a rare one) the market's.
    A home whose own area is unknown or not above 0 counts as one of the last year's median area.
    """
    living_area = market.role("living_area")
    recent = known[known["sale_date"] > known["sale_date"].max() - YEAR]

    def size(sales: pd.DataFrame) -> pd.Series:
        if living_area is None:
            return pd.Series(1.0, index=sales.index)
        sound = recent.loc[recent[living_area.name] > 0, living_area.name]
        area = sales[living_area.name].astype("float64")
        return area.where(area > 0, sound.median() if len(sound) else 1.0)

    unit_price = recent["price"] / size(recent)
    rate = np.full(len(homes), unit_price.median())
    keys = [f.name for f in (market.role("neighbourhood"), market.role("property_type")) if f is not None]
    if keys:
        groups = unit_price.groupby([recent[k] for k in keys])
        medians = groups.median()[groups.size() >= FEW]
        own = medians.reindex(pd.MultiIndex.from_frame(homes[keys]) if len(keys) > 1 else homes[keys[0]]).to_numpy()
        rate = np.where(np.isnan(own), rate, own)
    return rate * size(homes).to_numpy("float64")


def last_sale_indexed(known: pd.DataFrame, homes: pd.DataFrame, market: Market, index: MarketIndex) -> np.ndarray:
    """The property's last sale carried by the market index; where there is none, `median_per_area`.

    Args:
        known: in the order of time.
    """
    last = known.drop_duplicates("property_id", keep="last").set_index("property_id")
    found = homes["property_id"].isin(last.index).to_numpy()
    values = median_per_area(known, homes, market)
    if found.any():
        earlier = last.loc[homes["property_id"][found]]
        move = index.level(homes["sale_date"][found]) - index.level(earlier["sale_date"])
        values[found] = earlier["price"].to_numpy("float64") * np.exp(move)
    return values


def _of_month(memory: SaleMemory, month: int, homes: pd.DataFrame) -> dict[str, np.ndarray]:
    known, vintage = memory.sales[memory.month < month], memory.vintages[month]
    return {
        "last_sale_indexed": last_sale_indexed(known, homes, memory.market, vintage.index),
        "median_per_area": median_per_area(known, homes, memory.market),
        "hedonic": vintage.value(homes, homes["sale_date"]),
    }


def _raw(known: Learnt, later: Learnt, target: np.ndarray, seed: int) -> np.ndarray:
    """A forest that has the facts and no evidence: a column without any value can't be split on."""
    market = known.memory.market
    features = fit_features(known.sales, market)

    def facts(learnt: Learnt) -> np.ndarray:
        return replace(learnt, evidence=np.full_like(learnt.evidence, np.nan)).matrix(features)

    homes = known.sales["property_id"].tolist()
    bag = fit_bag(facts(known), target, weights(known), homes, features, RAW, RAW_ROUNDS, 1, seed)
    return np.asarray(np.exp(bag.predict(facts(later)) + later.level))
