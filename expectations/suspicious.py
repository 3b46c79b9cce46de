"""Sales that are well formed but can't be taken at their word: which, and why.

Each detector is a pure function over the canonical table and marks rows; nothing is dropped here.
A row is set aside for the first reason that fits, and a later detector no longer sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from models.field import Field, Rule
from models.market import Market

REPEATED = "the same sale again under another sale id"
OTHER_PRICE = "the same property and date again at another price"
RE_RECORDED = "the same property again at the same price within 89 days"
#: The market's least price follows. Gifts and deeds between relatives are often recorded at 0 or 1.
BELOW_LEAST = "not at arm's length: a price below"
OUT_OF_LINE = "not at arm's length: far out of line with its neighbourhood that year"

#: A deed recorded again at its own price is no second sale, and the price would reach the model as
#: the home's "previous sale". On real sales the gaps end at 89 days; the next is of 140.
RE_RECORDED_WITHIN = timedelta(days=89)

#: How many robust standard deviations of log price per area put a price out of line. Six is about a
#: quarter, or four times, of what the neighbourhood pays: below it lie real sales (new houses at the
#: price of their lot, small ones on large lots), beyond it family deeds and slips of a digit (a factor
#: of ten is ten deviations). On Seattle 16 of 43,313 sales go.
OUT_OF_LINE_DEVIATIONS = 6.0
#: The least number of sales that say what a neighbourhood paid in a year; with fewer the market says it.
FEW_SALES = 10
#: Of a normal distribution, the standard deviation over the median absolute deviation.
NORMAL_MAD = 1.4826


@dataclass(frozen=True)
class Suspicion:
    """A reason to set sales aside, the columns that show it, and how the rows are found."""

    reason: str
    shown: tuple[str, ...]
    detect: Callable[[pd.DataFrame], pd.Series]


def suspicions(market: Market) -> list[Suspicion]:
    """What this market's sales are suspected of, in the order in which it is looked for."""
    sale = ("property_id", "sale_date", "price")
    area, neighbourhood = market.role("living_area"), market.role("neighbourhood")
    worth = ("price", *(field.name for field in (area, neighbourhood) if field))
    nominal = f"{BELOW_LEAST} {market.price_minimum:.15g} {market.currency}"
    return [
        Suspicion(nominal, sale, partial(below, market.price_minimum)),
        *(Suspicion(rule.says, (rule.smaller, rule.larger), partial(breaks, rule)) for rule in market.rules),
        Suspicion(REPEATED, sale, repeated),
        Suspicion(OTHER_PRICE, sale, at_another_price),
        Suspicion(RE_RECORDED, sale, re_recorded),
        Suspicion(OUT_OF_LINE, worth, partial(out_of_line, area=area, neighbourhood=neighbourhood)),
    ]


def find_suspicious(sales: pd.DataFrame, market: Market) -> pd.Series:
    """Why each row is to be set aside: text, missing for a row that goes on; indexed like `sales`.

    Args:
        sales: a table in the order of `canonical_sales` whose columns, types and ranges have been checked,
            with unique index labels.
    """
    rest = sales
    found = pd.Series(None, index=sales.index, dtype="str", name="reason")
    for suspicion in suspicions(market):
        marked = suspicion.detect(rest)
        found[marked.index[marked]] = suspicion.reason
        rest = rest[~marked]
    return found


def below(least: float, sales: pd.DataFrame) -> pd.Series:
    """Prices that no actual sale could have."""
    return sales["price"] < least


def breaks(rule: Rule, sales: pd.DataFrame) -> pd.Series:
    """Homes whose fields contradict each other."""
    return ~rule.holds(sales[rule.smaller], sales[rule.larger])


def repeated(sales: pd.DataFrame) -> pd.Series:
    """All but the first of the sales of one property, date and price."""
    return sales.duplicated(["property_id", "sale_date", "price"])


def at_another_price(sales: pd.DataFrame) -> pd.Series:
    """All but the first of the sales of one property and date.

    Nothing in the file says which price is right. The home did change hands that day, and mostly the
    prices differ by a few percent, so one of them is better kept than both lost; the first sale id is
    a choice that can be repeated and that no price has influenced.
    """
    return sales.duplicated(["property_id", "sale_date"])


def re_recorded(sales: pd.DataFrame) -> pd.Series:
    """Sales at the price of the property's own sale of at most 89 days before, however often in a row."""
    since = sales.groupby(["property_id", "price"], sort=False)["sale_date"].diff()
    return since <= RE_RECORDED_WITHIN


def out_of_line(sales: pd.DataFrame, area: Field | None, neighbourhood: Field | None) -> pd.Series:
    """Prices too far from the median of their neighbourhood and year, per living area where that is known.

    The spread is the neighbourhood's own in that year, but never under the whole market's of that year: a
    row of equal houses must not make a bargain suspicious. No year's sales decide over another's.
    """
    worth = sales["price"] / sales[area.name] if area else sales["price"]
    level = pd.Series(np.log(worth.where((worth > 0) & np.isfinite(worth))), sales.index)
    away = (level - _usual(level, sales, neighbourhood)).abs()
    market_away = away.groupby(sales["sale_date"].dt.year).transform("median")
    spread = NORMAL_MAD * _usual(away, sales, neighbourhood).clip(lower=market_away)
    return (away > OUT_OF_LINE_DEVIATIONS * spread) & (spread > 0)


def _usual(values: pd.Series, sales: pd.DataFrame, neighbourhood: Field | None) -> pd.Series:
    """For each row the median of its neighbourhood and year, or of its year where that has few sales."""
    year = sales["sale_date"].dt.year
    of_year = values.groupby(year).transform("median")
    if neighbourhood is None:
        return of_year
    groups = values.groupby([sales[neighbourhood.name], year])
    return groups.transform("median").where(groups.transform("count") >= FEW_SALES, of_year)
