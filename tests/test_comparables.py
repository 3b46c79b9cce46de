"""Comparable sales: known and believed at the time, somebody else's, weightiest first, and adding up to the cent."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.comparables import FADING, NO_LEAF, leaves_of, most_comparable
from models.forest import FIRST_TREES
from models.memory import month_number
from models.reasons import GROUP_LABELS
from models.split import before
from tests.town import (
    MAPPED_HOME,
    NOISE,
    TRAINED,
    frozen_valuer,
    live_valuer,
    mapped_homes,
    mapped_sales,
    mapped_town,
    town_sales,
    town_valuer,
)

days = st.dates(date(2016, 1, 1), date(2020, 6, 1))
SALES = mapped_sales()


def told(valuer, home, day, count=5):
    return appraise(valuer, [home], day, comparables=count)[0].comparables


@settings(max_examples=25, deadline=None)
@given(home=mapped_homes, day=days)
def test_they_are_believed_sales_of_other_homes_before_the_month(home, day):
    month = int(month_number([day])[0])
    believed = set(SALES["sale_id"].iloc[live_valuer().memory.known(month).trusted])
    for sale in told(live_valuer(), home, day):
        assert month_number([sale.sale_date])[0] < month
        assert sale.sale_id in believed
        assert sale.property_id != home["property_id"]


def test_a_home_that_was_sold_is_not_compared_with_itself():
    twice = SALES[SALES["property_id"].duplicated()].tail(5)
    for home in twice.drop(columns=["sale_id", "sale_date", "price"]).to_dict("records"):
        stranger = told(live_valuer(), home | {"property_id": None}, date(2020, 1, 1), 1500)
        assert home["property_id"] in {sale.property_id for sale in stranger}
        known = told(live_valuer(), home, date(2020, 1, 1), 1500)
        assert home["property_id"] not in {sale.property_id for sale in known}


@settings(max_examples=25, deadline=None)
@given(home=mapped_homes, day=days)
def test_price_and_adjustments_make_the_value_to_the_cent(home, day):
    appraisal = appraise(live_valuer(), [home], day, comparables=5)[0]
    for sale in appraisal.comparables:
        cents = round(100 * sale.price) + sum(round(100 * line.amount) for line in sale.adjustments)
        assert cents == round(100 * appraisal.value)
        names = [line.name for line in sale.adjustments]
        assert len(names) == len(set(names))
        assert names[-2:] == ["unexplained", "rounding"]
        assert {*names} <= {*GROUP_LABELS}
        assert abs(sale.adjustments[-1].amount) <= 0.5 + 0.01 * len(names)


@settings(max_examples=25, deadline=None)
@given(home=mapped_homes, day=days)
def test_they_come_in_the_order_of_shared_leaves_small_leaves_and_age(home, day):
    valuer = live_valuer()
    view = valuer.view({k: [home.get(k)] for k in (*valuer.market.field_names, "property_id")}, day)
    own = leaves_of(valuer.bag, view.matrix)[:, 0]
    sold = valuer.memory.sales
    trusted = valuer.memory.known(int(view.months[0])).trusted
    among = trusted[(sold["property_id"].iloc[trusted] != home["property_id"]).to_numpy()]
    shared = valuer.leaves[:, among] == own[:, None]
    age = (pd.Timestamp(day) - sold["sale_date"].iloc[among]).dt.days.to_numpy() / 365.25
    weight = (shared / np.maximum(shared.sum(axis=1), 1)[:, None]).sum(axis=0) * np.exp(-age / FADING)
    by_sale = dict(zip(sold["sale_id"].iloc[among], weight, strict=True))
    comparables = told(valuer, home, day)
    assert [by_sale[sale.sale_id] for sale in comparables] == pytest.approx(sorted(weight)[::-1][:5])


def test_the_weights_are_those_of_a_hand_made_forest():
    leaves = np.array([[1, 1, 2, 3], [1, 2, 2, 2]], dtype=np.uint16)
    home, every = np.array([1, 2], dtype=np.uint16), np.arange(4)
    chosen, alike = most_comparable(leaves, home, np.zeros(4), every, 4)
    assert chosen.tolist() == [1, 0, 2, 3]  # 1/2 + 1/3, 1/2, 1/3, 1/3
    assert alike.tolist() == [1.0, 0.5, 0.5, 0.5]
    aged, _ = most_comparable(leaves, home, np.array([0, 9, 0, 0]), every, 4)
    assert aged.tolist() == [0, 2, 3, 1]
    few, _ = most_comparable(leaves, home, np.zeros(4), np.array([0, 3]), 4)
    assert few.tolist() == [3, 0] or few.tolist() == [0, 3]


def test_one_that_shares_no_leaf_is_not_comparable():
    leaves = np.array([[1, NO_LEAF], [2, NO_LEAF]], dtype=np.uint16)
    chosen, _ = most_comparable(leaves, np.array([1, 2], dtype=np.uint16), np.zeros(2), np.arange(2), 2)
    assert chosen.tolist() == [0]


def test_there_are_fewer_where_few_have_been_sold():
    valuer = frozen_valuer()
    first = valuer.first_day
    early = told(valuer, MAPPED_HOME, first, 10_000)
    assert len(early) <= (valuer.memory.month < valuer.memory.first_month).sum()
    taught = told(valuer, MAPPED_HOME, date(2018, 12, 31), 10_000)
    assert len(early) < len(taught) <= len(before(SALES, TRAINED))


def test_the_leaves_of_a_sale_are_those_it_had_when_it_was_sold():
    valuer = live_valuer()
    row = valuer.memory.sales.tail(1)
    matrix = valuer.view(row, row["sale_date"]).matrix
    np.testing.assert_array_equal(leaves_of(valuer.bag, matrix)[:, 0], valuer.leaves[:, -1])
    assert len(valuer.leaves) == FIRST_TREES * len(valuer.bag.forests)
    opening = valuer.memory.month < valuer.memory.first_month
    assert (valuer.leaves[:, opening] == NO_LEAF).all()
    assert (valuer.leaves[:, ~opening] < NO_LEAF).all()


def test_they_are_like_the_home():
    sales = told(live_valuer(), MAPPED_HOME, date(2020, 1, 1), 20)
    found = SALES.set_index("sale_id").loc[[sale.sale_id for sale in sales]]
    assert (found["quarter"] == "old").mean() > 2 * (SALES["quarter"] == "old").mean()
    near, all_ = (np.median(np.abs(np.log(sold["area"] / 120.0))) for sold in (found, SALES))
    assert near < 0.5 * all_


def test_what_was_never_explained_is_about_the_noise_of_the_prices():
    sales = told(live_valuer(), MAPPED_HOME, date(2020, 1, 1), 60)
    shares = [line.amount / sale.price for sale in sales for line in sale.adjustments if line.name == "unexplained"]
    assert np.std(shares) == pytest.approx(NOISE, rel=0.4)


def test_a_price_is_brought_to_the_day_by_the_index():
    index = live_valuer().memory.index(live_valuer().memory.end_month)
    for sale in told(live_valuer(), MAPPED_HOME, date(2020, 1, 1)):
        now, then = index.level([date(2020, 1, 1), sale.sale_date])
        assert sale.time_adjusted == pytest.approx(sale.price * np.exp(now - then), abs=0.01)


def test_distance_is_told_in_kilometres_where_there_is_a_map():
    for sale in told(live_valuer(), MAPPED_HOME, date(2020, 1, 1)):
        there = SALES.set_index("sale_id").loc[sale.sale_id]
        assert sale.distance_km == pytest.approx(
            _great_circle(50.0, 8.0, there["latitude"], there["longitude"]), rel=0.01
        )
    nowhere = town_valuer(town_sales(900), rounds=5)
    assert {sale.distance_km for sale in told(nowhere, MAPPED_HOME, date(2020, 1, 1))} == {None}


def test_a_typo_is_nobodys_comparable():
    sales = before(SALES, TRAINED).reset_index(drop=True)
    like = told(frozen_valuer(), MAPPED_HOME, date(2019, 1, 1), 1)[0]
    typo = sales.assign(price=sales["price"].where(sales["sale_id"] != like.sale_id, sales["price"] * 20))
    valuer = town_valuer(typo, market=mapped_town())
    assert like.sale_id not in {sale.sale_id for sale in told(valuer, MAPPED_HOME, date(2019, 1, 1), 1500)}


def test_none_are_told_where_none_are_asked_for():
    assert appraise(live_valuer(), [MAPPED_HOME], date(2020, 1, 1))[0].comparables == ()


def _great_circle(lat, lon, other_lat, other_lon):
    a, b, c, d = np.radians([lat, lon, other_lat, other_lon])
    return 6371 * np.arccos(np.sin(a) * np.sin(c) + np.cos(a) * np.cos(c) * np.cos(b - d))
