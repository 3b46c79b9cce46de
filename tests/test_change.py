"""What changed between two valuations adds up to the cent, and what changed nothing is told with nothing."""

from dataclasses import replace
from datetime import date
from functools import cache

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.change import FACTS, MARKET, MODEL, ROUNDING, SALES, Asked, what_changed
from models.split import before
from models.valuer import AsOfError
from tests.town import (
    MAPPED_HOME,
    TRAINED,
    frozen_valuer,
    live_valuer,
    mapped_homes,
    mapped_sales,
    mapped_town,
    town_valuer,
)

NAMES = [FACTS, MARKET, SALES, MODEL, ROUNDING]


@cache
def retrained():
    """With another seed, on the sales of half a year more."""
    return town_valuer(before(mapped_sales(), pd.Timestamp("2019-07-01")), seed=8, market=mapped_town())


@cache
def another_seed():
    return town_valuer(before(mapped_sales(), TRAINED), seed=8, market=mapped_town())


def amounts(change):
    return {step.name: step.amount for step in change.steps}


def moved(change):
    """The steps that are told with something."""
    return {name for name, amount in amounts(change).items() if amount and name != ROUNDING}


def assert_adds_up(change, before_, after):
    cents = sum(round(100 * step.amount) for step in change.steps)
    assert round(100 * change.before) + cents == round(100 * change.after)
    assert [step.name for step in change.steps] == NAMES
    assert abs(amounts(change)[ROUNDING]) <= 1.05  # two values of whole units, and four steps of whole cents
    for told, asked in ((change.before, before_), (change.after, after)):
        assert told == appraise(asked.valuer, [asked.home], asked.as_of)[0].value


days = st.dates(date(2016, 1, 1), date(2019, 12, 31))
valuers = st.sampled_from([frozen_valuer, live_valuer, retrained, another_seed])


@settings(max_examples=30, deadline=None)
@given(first=mapped_homes, second=mapped_homes, day=days, other_day=days, made=valuers, other_made=valuers)
def test_the_steps_add_up_to_the_cent_whatever_changed(first, second, day, other_day, made, other_made):
    then, now = Asked(made(), first, day), Asked(other_made(), second, other_day)
    assert_adds_up(what_changed(then, now), then, now)


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=days, made=valuers)
def test_the_same_question_changed_nothing(home, day, made):
    asked = Asked(made(), home, day)
    assert set(amounts(what_changed(asked, asked)).values()) == {0.0}


@settings(max_examples=30, deadline=None)
@given(first=mapped_homes, second=mapped_homes, day=days, made=valuers)
def test_other_facts_are_all_that_changed(first, second, day, made):
    then, now = Asked(made(), first, day), Asked(made(), second, day)
    assert moved(what_changed(then, now)) <= {FACTS}


def test_more_area_is_more_money_under_facts():
    then, now = (Asked(live_valuer(), MAPPED_HOME | {"area": area}, date(2020, 1, 1)) for area in (120.0, 180.0))
    assert amounts(what_changed(then, now))[FACTS] == pytest.approx(
        live_valuer().value({k: [v] for k, v in now.home.items()}, now.as_of)[0]
        - live_valuer().value({k: [v] for k, v in then.home.items()}, then.as_of)[0],
        abs=1,
    )


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=days, other_day=days)
def test_another_day_moves_the_market_and_the_sales_alone(home, day, other_day):
    then, now = Asked(live_valuer(), home, day), Asked(live_valuer(), home, other_day)
    assert moved(what_changed(then, now)) <= {MARKET, SALES}


def test_a_later_day_in_a_rising_market_is_dearer_for_the_market():
    then, now = (Asked(live_valuer(), MAPPED_HOME, date(year, 12, 1)) for year in (2017, 2019))
    assert amounts(what_changed(then, now))[MARKET] > 0.08 * what_changed(then, now).before


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2019, 3, 1), date(2019, 12, 1)))
def test_sales_that_came_in_are_no_other_model_and_no_other_facts(home, day):
    then, now = Asked(frozen_valuer(), home, day), Asked(live_valuer(), home, day)
    assert moved(what_changed(then, now)) <= {MARKET, SALES}


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2016, 1, 1), date(2019, 1, 31)))
def test_sales_that_came_in_change_nothing_of_a_day_before_them(home, day):
    then, now = Asked(frozen_valuer(), home, day), Asked(live_valuer(), home, day)
    assert set(amounts(what_changed(then, now)).values()) == {0.0}


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2016, 1, 1), date(2019, 1, 31)))
def test_another_seed_is_another_model_and_nothing_else(home, day):
    then, now = Asked(frozen_valuer(), home, day), Asked(another_seed(), home, day)
    assert moved(what_changed(then, now)) <= {MODEL}


def test_a_model_read_twice_is_the_same_model():
    twin = replace(live_valuer(), bag=replace(live_valuer().bag))
    then, now = (Asked(valuer, MAPPED_HOME, date(2019, 12, 31)) for valuer in (live_valuer(), twin))
    assert set(amounts(what_changed(then, now)).values()) == {0.0}


def test_a_day_that_a_step_can_not_be_told_for_is_refused():
    far = date(2020, 12, 1)  # within the horizon of the sales up to the end of 2019, past that of the model before
    then, now = Asked(frozen_valuer(), MAPPED_HOME, far), Asked(live_valuer(), MAPPED_HOME, far)
    with pytest.raises(AsOfError):
        what_changed(then, now)
