"""The canonical sales table: one row a sale, one name and one type a column, whatever the source.

Columns: `sale_id, property_id` (text), `sale_date` (a date without time), `price` (float, in the
market's currency), then the market's fields in declared order: numbers, integers and flags
(0 or 1) as float64, categories as text. A missing value is NaN or None.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.field import SALE_ROLES, plain
from models.market import Market

#: What sources write for "not known", in any case. A category's declared values are never taken for it.
MISSING = ("", "na", "n/a", "nan", "null", "none")
#: ISO 8601 with a day; it also knows years and months alone, which are no day.
WHOLE_DAY = r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})([T ].*)?"
FLAGS = {"1": 1.0, "true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "0": 0.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}


def canonical_sales(raw: pd.DataFrame, market: Market) -> pd.DataFrame:
    """The source's rows under the market's names and types, sorted by date, then sale id.

    Nothing is judged here, so that validation can show what is wrong: a column that the source
    lacks stays absent, and one with a cell that can't be read as its type stays text as a whole.

    Args:
        raw: the source's rows; cells are text, or already typed (a Parquet source).
    """
    columns: dict[str, pd.Series] = {}
    for role in SALE_ROLES:
        if (column := market.columns[role]) in raw:
            match role:
                case "price":
                    columns[role] = _column(_text(raw[column]), "number")
                case "sale_date":
                    columns[role] = _date(raw[column], market.date_format)
                case _:
                    columns[role] = _text(raw[column])
    for field in market.fields:
        if field.column in raw:
            columns[field.name] = _column(_text(raw[field.column], field.values), field.type)
    sales = pd.DataFrame(columns, index=raw.index)
    order = [c for c in ("sale_date", "sale_id") if c in sales]
    return sales.sort_values(order, kind="stable", ignore_index=True) if order else sales


def _text(cells: pd.Series, values: tuple[str, ...] = ()) -> pd.Series:
    """Cells as plain text; what means "missing" becomes missing, whole floats lose their ".0"."""
    if pd.api.types.is_float_dtype(cells):
        text = cells.map(_float_text, na_action="ignore").astype("str")
    else:
        text = cells.astype("str").map(plain, na_action="ignore").astype("str")
    return text.mask(text.str.lower().isin(MISSING) & ~text.isin(values)).astype("str")


def _float_text(x: float) -> str:
    return f"{x:.0f}" if float(x).is_integer() else repr(float(x))


def read_cells(text: pd.Series, kind: str, date_format: str | None = None) -> pd.Series:
    """Each cell as `kind` (a field's type, or "date"), cell by cell; missing where it can't be read as that."""
    match kind:
        case "category":
            return text
        case "flag":
            return text.str.lower().map(FLAGS).astype("float64")
        case "date":
            return _days(text, date_format)
        case _:
            read = pd.to_numeric(text, errors="coerce").astype("float64")
            return read.where(np.isfinite(read))  # "inf" is read as a number, but is none that a home can have


def _column(text: pd.Series, kind: str, date_format: str | None = None) -> pd.Series:
    read = read_cells(text, kind, date_format)
    return read if bool((text.isna() | read.notna()).all()) else text


def _date(cells: pd.Series, date_format: str | None) -> pd.Series:
    if isinstance(cells.dtype, pd.ArrowDtype):
        cells = cells.astype("object")
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells.dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
    if pd.api.types.infer_dtype(cells) in ("date", "datetime"):
        date_format = None  # typed already; as text it is ISO 8601, whatever the format of written dates
    return _column(_text(cells), "date", date_format)


def _days(text: pd.Series, date_format: str | None) -> pd.Series:
    """The calendar day as the source writes it: a time of day is dropped, and a time zone doesn't move the day."""
    if date_format is None:
        text = text.where(text.str.fullmatch(WHOLE_DAY).fillna(False).astype("bool"))
    read = pd.to_datetime(text, errors="coerce", format=date_format or "ISO8601", utc=date_format is None)
    if date_format is None:
        day = text.where(read.notna()).str.replace("[T ].*", "", regex=True)
        read = pd.to_datetime(day, format="ISO8601")
    return read.dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
