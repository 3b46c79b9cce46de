"""The expectations that a market's declaration implies: its columns, their types and what each may hold."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from expectations.checks import Check, Expected, examples
from models.declaration import span
from models.field import LONGEST_TEXT, SALE_ROLES, Field, is_sendable
from models.market import Market
from models.sales import read_cells

FIRST_DAY = dt.date(1900, 1, 1)
#: The library's name for the type that `models/sales.py` gives a column it could read.
TEXT, NUMBER, DATE = "str", "float64", "datetime64[us]"


def column_expectations(market: Market) -> list[Expected]:
    """The table has the declared columns and no other."""
    columns = {"column_set": [*SALE_ROLES, *market.field_names], "exact_match": True}
    return [Expected("expect_table_columns_to_match_set", columns, "the table has exactly the declared columns")]


def type_expectations(market: Market) -> dict[str, Expected]:
    """By column: it could be read as its type."""
    return {
        name: Expected(
            "expect_column_values_to_be_of_type", {"column": name, "type_": _type(kind)}, f"{name} reads as {words}"
        )
        for name, (kind, words) in _kinds(market).items()
    }


def value_expectations(market: Market, today: dt.date) -> list[Expected]:
    """What each cell may hold; `today` is the last day a sale can have happened on.

    A price below the declared least is no fault of the file: `suspicious.py` sets such sales aside.
    """
    price = f"price is {span('a number', 0, market.price_maximum, market.currency)}"
    first, last = (dt.datetime.combine(day, dt.time()) for day in (FIRST_DAY, today))
    return [
        _between("sale_date", first, last, f"sale_date is from {FIRST_DAY} up to today"),
        _between("price", 0, market.price_maximum, price),
        *(expected for field in market.fields for expected in _field(field)),
    ]


def derived_columns(sales: pd.DataFrame, market: Market) -> dict[str, pd.Series]:
    """What `value_expectations` looks at besides the table itself, for the fields that are usable: an integer
    rounded, and whether an open category's text can be sent."""
    usable = [field for field in market.fields if field.name in sales]
    rounded = {_rounded(field): sales[field.name].round() for field in usable if field.type == "integer"}
    open_ones = [field for field in usable if field.is_category and not field.values]
    return rounded | {_sendable(field): sales[field.name].dropna().map(is_sendable) for field in open_ones}


def with_source_columns(check: Check, sales: pd.DataFrame, market: Market) -> Check:
    """A failed check of the columns, naming those of the source, which may be called otherwise."""
    sources = {**market.columns, **{field.name: field.column for field in market.fields}}
    absent = [f"{name} ({sources[name]!r} in the source)" for name in _kinds(market) if name not in sales]
    return replace(check, detail=f"missing: {', '.join(absent)}") if absent and not check.passed else check


def with_cells(check: Check, sales: pd.DataFrame, market: Market, column: str) -> Check:
    """A failed type check, with the cells that caused it: the library sees only the column's type."""
    if check.passed or not check.was_run:
        return check
    cells, (kind, _) = sales[column], _kinds(market)[column]
    rows = sales.index[cells.notna() & read_cells(cells.astype("str"), kind, market.date_format).isna()]
    detail = f"{len(rows):,} of {len(sales):,} sales" if len(rows) else check.detail
    return replace(check, failed_count=len(rows), detail=detail, examples=examples(sales, list(rows), [column]))


def _kinds(market: Market) -> dict[str, tuple[str, str]]:
    """Each column's kind, and the kind in words."""
    words = {"number": "a number", "integer": "a number", "flag": "true or false", "category": "text"}
    sale = {
        "sale_id": ("category", "text"),
        "property_id": ("category", "text"),
        "sale_date": ("date", f"a date written {market.date_format or 'YYYY-MM-DD'}"),
        "price": ("number", "a number"),
    }
    return sale | {field.name: (field.type, words[field.type]) for field in market.fields}


def _type(kind: str) -> str:
    return {"category": TEXT, "date": DATE}.get(kind, NUMBER)


def _field(field: Field) -> Iterator[Expected]:
    name = field.name
    if not field.missing:
        yield Expected("expect_column_values_to_not_be_null", {"column": name}, f"{name} is never missing")
    match field.type:
        case "flag":
            yield _among(name, [0.0, 1.0], f"{name} is {field.allowed}")
        case "category":
            if field.values:
                yield _among(name, list(field.values), f"{name} is {field.allowed}")
            else:
                rule = f"{name} is text of at most {LONGEST_TEXT} printable characters"
                yield replace(_among(_sendable(field), [True], rule), shown=(name,))
        case _:
            # An open side still ends at the largest finite number, so that infinity is never within.
            low = -sys.float_info.max if field.minimum is None else field.minimum
            high = sys.float_info.max if field.maximum is None else field.maximum
            yield _between(name, low, high, f"{name} is {field.allowed}")
    if field.type == "integer":
        pair = {"column_A": name, "column_B": _rounded(field), "ignore_row_if": "either_value_is_missing"}
        yield Expected("expect_column_pair_values_to_be_equal", pair, f"{name} has no fraction")


def _rounded(field: Field) -> str:
    return f"{field.name} in whole numbers"  # the spaces keep it from being any field's name


def _sendable(field: Field) -> str:
    return f"{field.name} can be sent"


def _among(name: str, allowed: list[Any], rule: str) -> Expected:
    return Expected("expect_column_values_to_be_in_set", {"column": name, "value_set": allowed}, rule)


def _between(name: str, low: Any, high: Any, rule: str) -> Expected:
    return Expected("expect_column_values_to_be_between", {"column": name, "min_value": low, "max_value": high}, rule)
