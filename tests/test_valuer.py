"""What users rely on in a value: it obeys its directions, stands up to poison, knows its limits, and beats the rest."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.market import Market
from models.split import Window, before, within
from models.valuer import AsOfError
from tests.town import (
    AREA,
    COORDINATES,
    HOME,
    MAPPED_HOME,
    POOL,
    QUARTER,
    ROOMS,
    SEARCHED,
    SOUND,
    TRAINED,
    frozen_valuer,
    live_valuer,
    mapped_homes,
    mapped_sales,
    mapped_town,
    town,
    town_sales,
    town_valuer,
)

SALES = mapped_sales()
TODAY = date(2020, 1, 15)
YEAR = Window(TRAINED, pd.Timestamp("2020-01-01"))
regimes = pytest.mark.parametrize("valuer", [frozen_valuer, live_valuer], ids=["frozen", "live"])


def one(valuer, home, as_of):
    return appraise(valuer, [home], as_of)[0]


def values(valuer, batch, as_of):
    return valuer.value(valuer.columns(batch), as_of)


number = st.floats(-1e4, 1e6)
whatifs = st.one_of(
    st.tuples(st.just("area"), st.just(1), number, number),
    st.tuples(st.just("noise"), st.just(-1), number, number),
    st.tuples(st.just("pool"), st.just(1), st.just(False), st.just(True)),
)


@regimes
@settings(max_examples=60, deadline=None)
@given(home=mapped_homes, asked=st.lists(whatifs, min_size=8, max_size=16), day=st.dates(date(2016, 1, 1), TODAY))
def test_declared_directions_hold_whatever_else_is_known_of_a_home(valuer, home, asked, day):
    """Homes with facts missing, nowhere, far outside what was ever sold; steps from tiny to absurd."""
    day = min(day, valuer().last_day)
    less = [home | {name: min(low, high)} for name, _, low, high in asked]
    more = [home | {name: max(low, high)} for name, _, low, high in asked]
    sign = np.array([sign for _, sign, _, _ in asked])
    assert (sign * (values(valuer(), more, day) - values(valuer(), less, day)) >= 0).all()


@regimes
def test_along_a_whole_line_of_areas_and_noises_no_value_ever_turns_back(valuer):
    for home in SALES[::100].to_dict("records"):
        for name, sign, line in (("area", 1, np.geomspace(1, 1e5, 150)), ("noise", -1, np.linspace(-50, 500, 150))):
            told = values(valuer(), [home | {name: step} for step in line], valuer().current_day)
            assert (np.diff(sign * told) >= 0).all()
            assert told[0] != told[-1]


def test_declared_the_other_way_round_the_same_sales_never_lower_a_value_for_noise():
    """The sales speak for neither check: they have noise lower the price, and only one of the towns may learn it."""
    sales, line = town_sales(), [HOME | {"noise": noise} for noise in range(30, 80)]
    turned = town(AREA, QUARTER, ROOMS, POOL, SOUND | {"direction": "up"})
    honest, stubborn = (values(town_valuer(sales, 20, market=market), line, TODAY) for market in (town(), turned))
    assert honest[-1] < 0.9 * honest[0]
    assert (np.diff(stubborn) >= 0).all()


def typo_and_gap(sales, row):
    """The same sales with one at twenty times its price, and without it."""
    dear = sales.assign(price=sales["price"].where(sales.index != row, sales["price"] * 20))
    return dear, sales.drop(index=row).reset_index(drop=True)


def assert_moves_hardly_more(typo, gap, honest):
    moved, by_gap = (np.quantile(np.abs(told / honest - 1), [0.5, 0.95, 0.99]) for told in (typo, gap))
    assert moved[0] < 0.01
    assert (moved < 2 * by_gap).all()


def test_a_typo_moves_other_homes_by_less_than_a_hundredth_and_hardly_more_than_if_the_sale_were_missing():
    """Any change of the sales moves some splits of the trees; a typo among the newest adds little to that."""
    sales = before(mapped_sales(4000), TRAINED).reset_index(drop=True)
    row = len(sales) - 1
    asked = sales[sales["property_id"] != sales["property_id"][row]].drop_duplicates("property_id")
    searched = SEARCHED | {"min_data_in_leaf": 40}
    honest, typo, gap = (
        town_valuer(known, 40, bags=4, market=mapped_town(), searched=searched).value(asked, TRAINED.date())
        for known in (sales, *typo_and_gap(sales, row))
    )
    assert_moves_hardly_more(typo, gap, honest)


def test_neither_does_a_typo_among_the_sales_that_come_in():
    row = SALES.index[SALES["sale_date"] >= "2019-11-01"][5]
    asked = SALES[SALES["property_id"] != SALES["property_id"][row]]
    honest = live_valuer().value(asked, TODAY)
    typo, gap = (frozen_valuer().refreshed(sales).value(asked, TODAY) for sales in typo_and_gap(SALES, row))
    assert_moves_hardly_more(typo, gap, honest)


FACTS: dict[str, Any] = dict(zip(MAPPED_HOME, (AREA, QUARTER, ROOMS, POOL, SOUND, *COORDINATES), strict=True))
LESS = {
    "no coordinates": ("area", "quarter", "rooms", "pool", "noise"),
    "no neighbourhood": ("area", "rooms", "pool", "noise", "latitude", "longitude"),
    "no place at all": ("area", "rooms", "pool", "noise"),
    "no living area": ("quarter", "rooms", "pool", "noise", "latitude", "longitude"),
    "only numbers": ("area", "rooms", "noise"),
    "only one category": ("quarter",),
    "only a flag": ("pool",),
    "only a place": ("latitude", "longitude"),
}


@cache
def less_known(what):
    market = town(*(FACTS[name] for name in LESS[what]))
    sales = SALES[["sale_id", "property_id", "sale_date", "price", *market.field_names]]
    return town_valuer(before(sales, TRAINED), rounds=20, market=market).refreshed(sales), sales


def assert_better_than_one_value_for_all(valuer, later):
    typical = within(SALES, Window(pd.Timestamp("2018-01-01"), TRAINED))["price"].median()
    told = valuer.value(later, later["sale_date"])
    assert np.abs(np.log(told / later["price"])).mean() < np.abs(np.log(typical / later["price"])).mean()


@pytest.mark.parametrize("what", LESS)
def test_a_market_that_records_less_is_valued_by_what_it_records(what):
    valuer, sales = less_known(what)
    later = within(sales, YEAR)
    assert_better_than_one_value_for_all(valuer, later)
    named = any(c.name == "near_distance" for c in valuer.features.evidence)
    assert named == valuer.market.says_where == bool({"quarter", "latitude"} & {*LESS[what]})
    home = {name: MAPPED_HOME[name] for name in LESS[what]}
    appraisal = appraise(valuer, [home], TODAY, comparables=3)[0]
    assert appraisal.value == values(valuer, [home], TODAY)[0] > 0
    assert all(r.low <= appraisal.value <= r.high for r in appraisal.ranges)
    cents = round(100 * appraisal.base) + sum(round(100 * r.amount) for r in appraisal.reasons)
    assert cents == round(100 * appraisal.value)
    assert len(appraisal.comparables) == 3
    assert (appraisal.comparables[0].distance_km is not None) == ("latitude" in LESS[what])


@pytest.mark.parametrize("what", LESS)
def test_there_a_home_of_which_nothing_is_known_still_has_a_value(what):
    valuer, _ = less_known(what)
    appraisal = one(valuer, {}, TODAY)
    assert appraisal.value > 0
    assert sum(w.endswith("is missing; the value does without it") for w in appraisal.warnings) == len(LESS[what])


def test_the_more_is_recorded_the_better_the_values():
    def off(what):
        valuer, sales = less_known(what)
        later = within(sales, YEAR)
        return np.median(np.abs(valuer.value(later, later["sale_date"]) / later["price"] - 1))

    assert off("no coordinates") < off("no place at all") < off("only a flag")


@pytest.mark.parametrize("gap", ["first", "third", "all"])
@pytest.mark.parametrize("name", ["quarter", "latitude", "area", "pool"])
def test_a_fact_that_is_often_missing_does_no_harm_to_the_rest(name, gap):
    rows = {"first": SALES.index < 400, "third": SALES.index % 3 == 0, "all": SALES.index >= 0}[gap]
    sales = SALES.assign(**{name: SALES[name].mask(rows)})
    valuer = town_valuer(before(sales, TRAINED), 10, market=mapped_town()).refreshed(sales)
    assert_better_than_one_value_for_all(valuer, within(sales, YEAR))
    assert one(valuer, MAPPED_HOME, TODAY).value > 0


@regimes
def test_a_date_it_can_not_speak_for_is_refused_with_the_allowed_ones(valuer):
    valuer = valuer()
    first, last = valuer.first_day, valuer.last_day
    for day in (first - timedelta(days=1), last + timedelta(days=1)):
        with pytest.raises(AsOfError, match=f"as_of is {day}; allowed: {first} to {last}"):
            one(valuer, MAPPED_HOME, day)
        with pytest.raises(AsOfError):
            values(valuer, [MAPPED_HOME] * 2, [first, day])
    assert {one(valuer, MAPPED_HOME, day).value > 0 for day in (first, last)} == {True}


def test_the_first_day_is_that_of_the_memory_and_the_last_is_the_horizon_past_its_end():
    frozen, live = frozen_valuer(), live_valuer()
    assert frozen.first_day == live.first_day == live.memory.first_day
    assert (frozen.current_day, live.current_day) == (date(2019, 1, 1), date(2020, 1, 1))
    assert frozen.trained_day == live.trained_day == TRAINED.date()
    for valuer in (frozen, live):
        assert valuer.last_day == valuer.memory_end + timedelta(days=365)
    assert replace(live, horizon_days=0).last_day == live.current_day  # where all that is known counts


def test_a_market_of_small_units_is_told_to_the_cent():
    valuer = live_valuer()
    cents = Market.from_dict(mapped_town().to_dict() | {"price": {"range": [1, 9000]}})
    told = one(replace(valuer, features=replace(valuer.features, market=cents)), MAPPED_HOME, TODAY)
    whole = one(valuer, MAPPED_HOME, TODAY)
    assert told.value != whole.value == round(told.value)
    for amount in (told.value, told.range.low, told.range.high):
        assert amount == round(amount, 2)
    assert round(100 * told.base) + sum(round(100 * r.amount) for r in told.reasons) == round(100 * told.value)


def test_past_the_last_sale_the_trend_goes_on_and_so_does_the_reason():
    now, later = (one(live_valuer(), MAPPED_HOME, day) for day in (TODAY, TODAY + timedelta(days=182)))
    assert np.log(later.value / now.value) == pytest.approx(6 * 0.006, abs=0.03)
    assert {r.name: r.amount for r in later.reasons}["market"] > 0


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"area": 900.0}, r"Living area 900 is outside the sales the model has seen \(40\.\d to 2\d\d"),
        ({"noise": 5.0}, r"Noise 5 is outside the sales the model has seen"),
        ({"quarter": "harbour"}, r"Quarter 'harbour' is not among the sales the model has seen"),
        ({"rooms": None}, r"Rooms is missing; the value does without it"),
        ({"rooms": float("nan")}, r"Rooms is missing; the value does without it"),
        ({"latitude": 51.0}, r"few homes like this one have been sold near by: the evidence is \d+\.\d times as far"),
    ],
)
def test_what_the_model_has_not_seen_is_said(change, warning):
    told = one(live_valuer(), MAPPED_HOME | change, live_valuer().current_day).warnings
    assert [w for w in told if pd.Series([w]).str.match(warning).all()]


def test_an_ordinary_home_on_the_current_day_needs_no_warning():
    assert one(live_valuer(), MAPPED_HOME, live_valuer().current_day).warnings == ()


@pytest.mark.parametrize(
    ("valuer", "day", "warning"),
    [
        (live_valuer, date(2020, 3, 1), "days after the last sale the model knows"),
        (live_valuer, date(2018, 5, 1), "as_of is in the past"),
        (live_valuer, date(2019, 5, 1), None),  # known since, and not learnt from
        (frozen_valuer, date(2019, 1, 2), "days after the last sale the model knows"),
    ],
)
def test_a_day_that_is_not_the_current_one_is_told_for_what_it_is(valuer, day, warning):
    told = one(valuer(), MAPPED_HOME, day).warnings
    assert len(told) == (warning is not None)
    assert all(warning in w for w in told)


def test_a_typical_home_is_one_that_can_be_sent():
    valuer = live_valuer()
    told = one(valuer, valuer.typical, valuer.current_day)
    assert told.warnings == ()
    assert told.value == pytest.approx(SALES["price"].median(), rel=0.5)


def test_where_the_market_moves_after_the_training_live_values_follow_and_frozen_ones_can_not():
    later = SALES["sale_date"] >= TRAINED
    moved = SALES.assign(price=SALES["price"].where(~later, SALES["price"] * np.exp(0.2)))
    half = within(moved, Window(pd.Timestamp("2019-07-01"), YEAR.end))
    live, frozen = (
        np.median(np.abs(valuer.value(half, half["sale_date"]) / half["price"] - 1))
        for valuer in (frozen_valuer().refreshed(moved), frozen_valuer())
    )
    assert frozen > 0.15
    assert live < frozen / 2
