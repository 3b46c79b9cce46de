"""The canonical sales table: one row a sale, one name and one type a column, whatever the source.

Columns: `sale_id, property_id` (text), `sale_date` (a date without time), `price` (float, in the
market's currency), then the market's fields in declared order: numbers, integers and flags
(0 or 1) as float64, categories as text. A missing value is NaN or None.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.market import Field, Market

SALE_COLUMNS = ("sale_id", "property_id", "sale_date", "price")
#: What sources write for "not known", in any case. A category's declared values are never taken for it.
MISSING = ("", "na", "n/a", "nan", "null", "none")
FLAGS = {"1": 1.0, "true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "0": 0.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}


def canonical_sales(raw: pd.DataFrame, market: Market) -> pd.DataFrame:
    """The source's rows under the market's names and types, sorted by date, then sale id.

    Nothing is judged here, so that validation can show what is wrong: a column that the source
    lacks stays absent, and one with a cell that can't be read as its type stays text as a whole.

    Args:
        raw: the source's rows; cells are text, or already typed (a Parquet source).
    """
    sales = pd.DataFrame(index=raw.index)
    for role in SALE_COLUMNS:
        if (column := market.columns[role]) in raw:
            match role:
                case "price":
                    sales[role] = _number(_text(raw[column]))
                case "sale_date":
                    sales[role] = _date(raw[column], market.date_format)
                case _:
                    sales[role] = _text(raw[column])
    for field in market.fields:
        if field.column in raw:
            sales[field.name] = _field(_text(raw[field.column], field.values), field)
    order = [c for c in ("sale_date", "sale_id") if c in sales]
    return sales.sort_values(order, kind="stable", ignore_index=True) if order else sales


def _text(cells: pd.Series, values: tuple[str, ...] = ()) -> pd.Series:
    """Cells as stripped text; what means "missing" becomes missing, whole floats lose their ".0"."""
    if pd.api.types.is_float_dtype(cells):
        text = cells.map(_float_text, na_action="ignore").astype("str")
    else:
        text = cells.astype("str").str.strip()
    return text.mask(text.str.lower().isin(MISSING) & ~text.isin(values)).astype("str")


def _float_text(x: float) -> str:
    return f"{x:.0f}" if float(x).is_integer() else repr(float(x))


def _field(text: pd.Series, field: Field) -> pd.Series:
    match field.type:
        case "category":
            return text
        case "flag":
            read = text.str.lower().map(FLAGS).astype("float64")
            return read if _all_read(text, read) else text
        case _:
            return _number(text)


def _number(text: pd.Series) -> pd.Series:
    read = pd.to_numeric(text, errors="coerce").astype("float64")
    read = read.where(np.isfinite(read))  # "inf" is read as a number, but is none that a home can have
    return read if _all_read(text, read) else text


def _date(cells: pd.Series, date_format: str | None) -> pd.Series:
    """The calendar day as the source writes it: a time of day is dropped, and a time zone doesn't move the day."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells.dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
    text = _text(cells)
    read = pd.to_datetime(text, errors="coerce", format=date_format or "ISO8601", utc=date_format is None)
    if not _all_read(text, read):
        return text
    if date_format is None:
        read = pd.to_datetime(text.str.replace("[T ].*", "", regex=True), format="ISO8601")
    return read.dt.tz_localize(None).dt.normalize().astype("datetime64[us]")


def _all_read(text: pd.Series, read: pd.Series) -> bool:
    return bool((text.isna() | read.notna()).all())
