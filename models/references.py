"""Reference models: the simple ways to value a home that a candidate must beat, and a floor.

Each values every home it is given, from the training sales alone, so that all are judged on the same rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.hedonic import Hedonic
from models.market import Market

FEW = 5  # sales below which a group's median is not trusted
YEAR = pd.Timedelta(days=365)


def median_per_area(train: pd.DataFrame, homes: pd.DataFrame, market: Market) -> np.ndarray:
    """The last year's median price per unit of living area, by neighbourhood and property type, times the home's own.

    Without a living area it is the median price of such homes, without groups (or in a rare one) the market's.
    A home whose own area is unknown or not above 0 counts as one of the last year's median area.
    """
    living_area = market.role("living_area")
    recent = train[train["sale_date"] > train["sale_date"].max() - YEAR]

    def size(sales: pd.DataFrame) -> pd.Series:
        if living_area is None:
            return pd.Series(1.0, index=sales.index)
        known = recent.loc[recent[living_area.name] > 0, living_area.name]
        area = sales[living_area.name].astype("float64")
        return area.where(area > 0, known.median() if len(known) else 1.0)

    unit_price = recent["price"] / size(recent)
    rate = np.full(len(homes), unit_price.median())
    keys = [f.name for f in (market.role("neighbourhood"), market.role("property_type")) if f is not None]
    if keys:
        groups = unit_price.groupby([recent[k] for k in keys])
        medians = groups.median()[groups.size() >= FEW]
        own = medians.reindex(pd.MultiIndex.from_frame(homes[keys]) if len(keys) > 1 else homes[keys[0]]).to_numpy()
        rate = np.where(np.isnan(own), rate, own)
    return rate * size(homes).to_numpy("float64")


def last_sale_indexed(train: pd.DataFrame, homes: pd.DataFrame, market: Market, hedonic: Hedonic) -> np.ndarray:
    """The property's last training sale carried by the market index; where there is none, `median_per_area`."""
    last = (
        train.sort_values(["sale_date", "sale_id"]).drop_duplicates("property_id", keep="last").set_index("property_id")
    )
    found = homes["property_id"].isin(last.index).to_numpy()
    values = median_per_area(train, homes, market)
    if found.any():
        earlier = last.loc[homes["property_id"][found]]
        move = hedonic.index.level(homes["sale_date"][found]) - hedonic.index.level(earlier["sale_date"])
        values[found] = earlier["price"].to_numpy("float64") * np.exp(move)
    return values
