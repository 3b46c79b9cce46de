"""The page that shows what validation found: one file, nothing loaded from elsewhere, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from expectations.checks import cell
from expectations.templates import templates
from expectations.validation import Validation
from models.field import Field

TEMPLATE = "report.html.jinja"
BARS = 24
#: Charts leave out the lowest and highest hundredth, so that one mansion doesn't flatten all others.
TAILS = 0.01, 0.99


@dataclass(frozen=True)
class Chart:
    """Bars from 0 to 100 high, left to right, and what they span in words."""

    title: str
    heights: list[int]
    says: str


def page(validation: Validation) -> str:
    """The report as HTML; whatever stands in the data is escaped."""
    environment = templates(Path(__file__).parent)
    return environment.get_template(TEMPLATE).render(
        market=validation.market,
        passed=validation.passed,
        rows=len(validation.sales),
        accepted=0 if validation.accepted is None else len(validation.accepted),
        set_aside=0 if validation.set_aside is None else len(validation.set_aside),
        critical=[check for check in validation.critical if check.was_run],
        warnings=validation.warnings,
        suspicions=validation.suspicions,
        checks=validation.checks,
        charts=charts(validation),
    )


def charts(validation: Validation) -> list[Chart]:
    """Sales per month, prices and every field, as far as the columns can be read."""
    sales, market = validation.sales, validation.market
    found = []
    if "sale_date" in sales and pd.api.types.is_datetime64_any_dtype(sales["sale_date"]):
        found.append(_months(sales["sale_date"]))
    if "price" in sales and pd.api.types.is_numeric_dtype(sales["price"]):
        found.append(_spread(f"Price, {market.currency}", sales["price"]))
    for field in market.fields:
        if field.name in sales:
            found.append(_of_field(field, sales[field.name]))
    return [chart for chart in found if chart]


def _of_field(field: Field, values: pd.Series) -> Chart | None:
    title = f"{field.label}, {field.unit}" if field.unit else field.label
    if field.is_number and pd.api.types.is_numeric_dtype(values):
        return _spread(title, values)
    return _frequencies(title, values)


def _months(dates: pd.Series) -> Chart | None:
    months = dates.dropna().dt.to_period("M")
    if months.empty or (count := (months.max() - months.min()).n + 1) > 1200:
        return None
    counts = months.value_counts().reindex(pd.period_range(months.min(), periods=count), fill_value=0)
    return Chart("Sales per month", _heights(counts.to_numpy()), f"{months.min()} to {months.max()}")


def _spread(title: str, values: pd.Series) -> Chart | None:
    known = values[np.isfinite(values)]
    if known.empty:
        return None
    low, high = known.quantile(TAILS[0]), known.quantile(TAILS[1])
    counts, _ = np.histogram(known, BARS, (low, high))
    return Chart(title, _heights(counts), f"{cell(float(low))} to {cell(float(high))}, median {cell(known.median())}")


def _frequencies(title: str, values: pd.Series) -> Chart | None:
    counts = values.dropna().map(cell).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if counts.empty:
        return None
    first = ", ".join(f"{name} {count / len(values):.0%}" for name, count in counts.head(3).items())
    return Chart(title, _heights(counts.head(BARS).to_numpy()), first if len(counts) < 4 else f"{first}, ...")


def _heights(counts: np.ndarray) -> list[int]:
    return [int(height) for height in np.ceil(100 * counts / max(counts.max(), 1))]
