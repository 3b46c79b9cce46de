"""Whatever a source looks like, its sales come out under one name and one type a column."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.market import Market
from models.sales import FLAGS, canonical_sales

FIELDS = [
    {"name": "area", "column": "Area", "type": "number", "label": "Area"},
    {"name": "rooms", "column": "Rooms", "type": "integer", "label": "Rooms"},
    {"name": "lift", "column": "Lift", "type": "flag", "label": "Lift"},
    {"name": "zone", "column": "Zone", "type": "category", "label": "Zone"},
    {"name": "cellar", "column": "Cellar", "type": "category", "values": ["None", "full"], "label": "Cellar"},
]


def test_columns_come_under_the_declared_names_in_the_declared_order():
    sales = canonical_sales(_source(2), _market())
    assert list(sales) == ["sale_id", "property_id", "sale_date", "price", "area", "rooms", "lift", "zone", "cellar"]
    assert {str(sales[c].dtype) for c in ("price", "area", "rooms", "lift")} == {"float64"}
    assert {str(sales[c].dtype) for c in ("sale_id", "property_id", "zone", "cellar")} == {"str"}
    assert sales["sale_date"].dtype == "datetime64[us]"


def test_sales_come_in_order_of_date_then_id():
    raw = _source(4).assign(Day=["2020-02-01", "2020-01-01", "2020-01-01", "2019-12-31"], Deed=["1", "3", "2", "4"])
    assert canonical_sales(raw, _market())["sale_id"].tolist() == ["4", "2", "3", "1"]


def test_one_column_may_be_both_ids():
    sales = canonical_sales(_source(2), _market(property_id="Deed"))
    assert sales["property_id"].tolist() == sales["sale_id"].tolist()


def test_an_absent_column_stays_absent():
    sales = canonical_sales(_source(2).drop(columns=["Area", "Paid"]), _market())
    assert "area" not in sales
    assert "price" not in sales


@pytest.mark.parametrize("column", ["Paid", "Area", "Rooms", "Lift", "Day"])
@pytest.mark.parametrize("cell", ["oops", "1,5", "inf", "31/12/2019"])
def test_a_column_with_a_cell_that_cannot_be_read_stays_text(column, cell):
    """So that validation can show the cell; a silent NaN would hide it."""
    raw = _source(3)
    raw.loc[1, column] = cell
    name = {"Paid": "price", "Day": "sale_date"}.get(column, column.lower())
    sales = canonical_sales(raw, _market())
    assert sales[name].dtype == "str"
    assert cell in sales[name].tolist()


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NaN", "null", "None"])
def test_what_means_missing_is_missing_in_every_type(cell):
    raw = _source(2)
    raw.loc[0] = [*raw.loc[0, ["Deed", "Parcel", "Day"]], *[cell] * 6]
    sales = canonical_sales(raw, _market())
    assert sales.loc[0, ["price", "area", "rooms", "lift", "zone"]].isna().all()
    assert sales["price"].dtype == "float64"


def test_a_declared_value_is_never_taken_for_missing():
    raw = _source(3).assign(Cellar=["None", "full", "none"])
    assert canonical_sales(raw, _market())["cellar"].fillna("-").tolist() == ["None", "full", "-"]


def test_a_column_without_any_cell_filled_has_its_type():
    sales = canonical_sales(_source(2).assign(Area="", Lift="", Zone="", Day=""), _market())
    assert sales.dtypes[["area", "lift", "zone", "sale_date"]].astype(str).tolist() == [
        "float64",
        "float64",
        "str",
        "datetime64[us]",
    ]


@pytest.mark.parametrize("cell", [*FLAGS, "TRUE", "Yes", " no "])
def test_flags_are_read_as_sources_write_them(cell):
    sales = canonical_sales(_source(1).assign(Lift=cell), _market())
    assert sales.loc[0, "lift"] == FLAGS[cell.strip().lower()]


@pytest.mark.parametrize(
    ("cell", "date_format"),
    [
        ("2019-12-31", None),
        ("20191231", None),
        ("20191231T233000Z", None),
        ("2019-12-31T23:30:00-08:00", None),
        ("2019-12-31 00:30:00+02:00", None),
        ("31/12/2019", "%d/%m/%Y"),
        ("31.12.19", "%d.%m.%y"),
        ("Dec 31, 2019", "%b %d, %Y"),
    ],
)
def test_a_date_is_the_calendar_day_that_the_source_writes(cell, date_format):
    sales = canonical_sales(_source(1).assign(Day=cell), _market(date_format=date_format))
    assert sales["sale_date"].tolist() == [pd.Timestamp("2019-12-31")]


@pytest.mark.parametrize("cell", ["2019", "2019-12", "2019-W52-2", "2019-365", "2019-1-3"])
def test_a_date_without_a_day_is_none(cell):
    assert canonical_sales(_source(1).assign(Day=cell), _market())["sale_date"].tolist() == [cell]


def test_white_space_within_a_text_is_one_space():
    raw = _source(2).assign(Zone=[" Old\u00a0\u00a0Town ", "Old \t\nTown"], Paid="\u00a01 ")
    sales = canonical_sales(raw, _market())
    assert sales["zone"].tolist() == ["Old Town", "Old Town"]
    assert sales["price"].tolist() == [1, 1]


def test_a_day_that_does_not_exist_is_not_another_day():
    sales = canonical_sales(_source(1).assign(Day="30/02/2019"), _market(date_format="%d/%m/%Y"))
    assert sales["sale_date"].tolist() == ["30/02/2019"]


def test_typed_cells_give_what_the_same_cells_give_as_text():
    text = pd.DataFrame(
        {"Deed": ["1", "2"], "Parcel": ["7", "8"], "Day": ["2020-01-01", "2020-01-02"], "Paid": ["100000.5", "2"],
         "Area": ["80.25", ""], "Rooms": ["3", ""], "Lift": ["true", ""], "Zone": ["7", ""], "Cellar": ["full", ""]}
    )  # fmt: skip
    typed = pd.DataFrame(
        {
            "Deed": [1, 2],
            "Parcel": [7.0, 8.0],
            "Day": [dt.datetime(2020, 1, 1, 12), dt.datetime(2020, 1, 2)],
            "Paid": [Decimal("100000.5"), Decimal(2)],
            "Area": [80.25, np.nan],
            "Rooms": pd.array([3, None], dtype="Int64"),
            "Lift": pd.array([True, None], dtype="boolean"),
            "Zone": [7.0, np.nan],
            "Cellar": pd.Categorical(["full", None]),
        }
    )
    pd.testing.assert_frame_equal(canonical_sales(typed, _market()), canonical_sales(text, _market(date_format=None)))


def test_a_typed_date_needs_no_format():
    raw = _source(1).assign(Day=pd.to_datetime(["2019-12-31 23:00"]).tz_localize("US/Pacific"))
    sales = canonical_sales(raw, _market(date_format="%d/%m/%Y"))
    assert sales["sale_date"].tolist() == [pd.Timestamp("2019-12-31")]


@pytest.mark.parametrize("date_format", ["%d/%m/%Y", "%Y-%d-%m", None])
@pytest.mark.parametrize("dtype", ["object", "date32[day][pyarrow]"])
def test_a_day_of_a_parquet_file_needs_no_format(dtype, date_format, tmp_path):
    days = pd.Series([dt.date(2019, 12, 31), dt.date(2019, 3, 4), None], dtype=dtype)
    _source(3).assign(Day=days).to_parquet(tmp_path / "sales.parquet")  # as date32
    sales = canonical_sales(pd.read_parquet(tmp_path / "sales.parquet"), _market(date_format=date_format))
    assert sales["sale_date"].dropna().tolist() == [pd.Timestamp("2019-03-04"), pd.Timestamp("2019-12-31")]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
@settings(deadline=None)
def test_a_number_comes_out_exactly_as_it_was(numbers):
    raw = _source(len(numbers))
    for cells in (pd.Series(numbers), pd.Series([repr(n) for n in numbers])):
        assert canonical_sales(raw.assign(Area=cells), _market())["area"].tolist() == numbers


@given(
    column=st.sampled_from(["Deed", "Parcel", "Day", "Paid", "Area", "Rooms", "Lift", "Zone", "Cellar"]),
    cells=st.lists(st.text(st.characters(codec="utf-8")), min_size=1),
)
@settings(deadline=None)
def test_any_cells_are_read_or_kept(column, cells):
    """Whatever a file holds, no row is lost and nothing is raised: judging is validation's."""
    assert len(canonical_sales(_source(len(cells)).assign(**{column: cells}), _market())) == len(cells)


def _market(date_format=None, property_id="Parcel"):
    columns = {"property_id": property_id, "sale_id": "Deed", "sale_date": "Day", "price": "Paid"}
    return Market.from_dict(
        {
            "name": "town",
            "label": "Town",
            "currency": "EUR",
            "source": {"csv": "town.csv", "sha256": "0" * 64},
            "columns": columns | ({"date_format": date_format} if date_format else {}),
            "price": {"range": [1, 10]},
            "fields": FIELDS,
        }
    )


def _source(rows):
    numbers = [str(i) for i in range(rows)]
    cells = {
        "Day": "2020-01-01",
        "Paid": "100000",
        "Area": "80.5",
        "Rooms": "3",
        "Lift": "1",
        "Zone": "A",
        "Cellar": "full",
    }
    return pd.DataFrame({"Deed": [n.zfill(6) for n in numbers], "Parcel": numbers} | cells, range(rows), dtype="str")
