"""This version of the data beside the one before: a small profile of each, and how far apart they are.

How far a column moved is the total variation distance between two tables of shares: the least share
of sales that would have to change class to turn one into the other. It is between 0 and 1, is finite
where a class is new, and means the same for a category and for a number cut at the earlier deciles.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from expectations.checks import Expected, cell
from models.market import Market

#: Profiles written by another version of this file can't be compared with.
FORMAT = 1
MAX_CLASSES = 50
DECILES = np.arange(1, 10) / 10
REST, MISSING = "(any other)", "(missing)"


def profile(sales: pd.DataFrame, market: Market) -> dict[str, Any]:
    """What a later version of these sales is compared with, as plain JSON values.

    The date isn't among the columns: every later version has later sales. Its last day is kept.
    """
    columns = {"price": _number(sales["price"])}
    for field in market.fields:
        columns[field.name] = _number(sales[field.name]) if field.is_number else _category(sales[field.name])
    return {
        "format": FORMAT,
        "market": market.name,
        "rows": len(sales),
        "first_sale": f"{sales['sale_date'].min():%Y-%m-%d}",
        "last_sale": f"{sales['sale_date'].max():%Y-%m-%d}",
        "columns": columns,
    }


def version_before(current: Mapping[str, Any], earlier: Iterable[Any]) -> Mapping[str, Any] | None:
    """The newest of the `earlier` profiles (newest first) that is of this market and of other sales."""
    for candidate in earlier:
        if (
            isinstance(candidate, Mapping)
            and candidate.get("format") == FORMAT
            and candidate.get("market") == current["market"]
            and candidate != current
        ):
            return candidate
    return None


def shifts(sales: pd.DataFrame, before: Mapping[str, Any]) -> dict[str, float]:
    """How far each column moved since the version `before`, from 0 to 1, for the columns that both have."""
    return {
        column: distance(known["shares"], _shares(sales[column], known.get("edges")))
        for column, known in before["columns"].items()
        if column in sales and ("edges" not in known or pd.api.types.is_numeric_dtype(sales[column]))
    }


def distance(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The total variation distance between two tables of shares, 0 to 1, over the classes of the earlier one."""
    after = _fold(after, before)
    gaps = [abs(before.get(name, 0.0) - after.get(name, 0.0)) for name in sorted({*before, *after})]
    return round(sum(gaps) / 2, 4)


def volume_expectations(before: Mapping[str, Any], max_row_drop_share: float) -> list[Expected]:
    """There are not far fewer sales than before, and the newest is no older."""
    least = math.ceil(round((1 - max_row_drop_share) * before["rows"], 6))
    fewer = f"at most {100 * max_row_drop_share:g} % fewer sales than the {before['rows']:,} of the version before"
    newest = {"column": "sale_date", "min_value": dt.datetime.fromisoformat(before["last_sale"])}
    later = f"the newest sale is of {before['last_sale']} or later, as in the version before"
    return [
        Expected("expect_table_row_count_to_be_between", {"min_value": least}, fewer),
        Expected("expect_column_max_to_be_between", newest, later, "warning"),
    ]


def shift_expectations(moved: Iterable[str], max_shift: float) -> list[Expected]:
    """No column of a table of `shifts` (one row) is above `max_shift`.

    A warning also for the price: a market that moves, or a year of new sales, shifts it rightly.
    """
    return [
        Expected(
            "expect_column_max_to_be_between",
            {"column": column, "max_value": max_shift},
            f"{column} is spread as in the version before (shift of at most {max_shift:g})",
            "warning",
        )
        for column in moved
    ]


def _number(values: pd.Series) -> dict[str, Any]:
    edges = [float(edge) for edge in np.unique(values.dropna().quantile(DECILES))] if values.notna().any() else []
    return {"edges": edges, "shares": _shares(values, edges)}


def _category(values: pd.Series) -> dict[str, Any]:
    shares = _shares(values, None)
    most_frequent = sorted(shares, key=lambda name: (-shares[name], name))[:MAX_CLASSES]
    return {"shares": _fold(shares, most_frequent)}


def _shares(values: pd.Series, edges: list[float] | None) -> dict[str, float]:
    """The share of rows in each class: the cells between two edges, or each value."""
    if edges is None:
        classes = values.map(cell)
    else:
        classes = pd.Series(np.searchsorted(edges, values.to_numpy(), side="left"), values.index).map(str)
    counts = classes.mask(values.isna(), MISSING).value_counts()
    return {str(name): round(count / len(values), 6) for name, count in counts.items()}


def _fold(shares: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """The shares of `names`, and what is left as one class."""
    kept = {name: shares[name] for name in names if name in shares}
    rest = round(sum(shares[name] for name in sorted(shares) if name not in kept), 6)
    return kept | ({REST: rest} if rest else {})
