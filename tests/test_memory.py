"""The memory speaks for each month from the sales before it, grows without forgetting, and believes no typo."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fault import Fault
from models.hedonic import DISBELIEVED, fit_worth
from models.memory import (
    CLIPPED,
    FIRST_MONTHS,
    FIRST_SALES,
    build_memory,
    month_number,
    month_period,
)
from models.split import before
from tests.town import mapped_sales, mapped_town, town, town_memory, town_sales

SALES = town_sales()
MEMORY = town_memory()
LATE = MEMORY.end_month - 6


def assert_same_vintages(one, two):
    assert [*one.vintages] == [*two.vintages]
    for month, hedonic in one.vintages.items():
        np.testing.assert_array_equal(hedonic.worth, two.vintages[month].worth)
        np.testing.assert_array_equal(hedonic.index.levels, two.vintages[month].index.levels)


@given(day=st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_every_day_has_the_number_of_its_month(day):
    number = int(month_number([day])[0])
    assert number == day.year * 12 + day.month - 1
    assert month_period(number) == pd.Period(day, "M")


def test_each_month_speaks_from_the_sales_before_it():
    start = int(MEMORY.month[0])
    for month, hedonic in MEMORY.vintages.items():
        known = before(SALES, month_period(month).start_time)
        assert MEMORY.known(month).count == len(known)
        alone = fit_worth(
            MEMORY.terms,
            MEMORY.terms.design(known),
            month_number(known["sale_date"]) - start,
            np.log(known["price"].to_numpy()),
            month_period(start),
        )
        np.testing.assert_array_equal(hedonic.worth, alone.worth)
        np.testing.assert_array_equal(hedonic.index.levels, alone.index.levels)


def test_a_memory_frozen_at_a_day_is_the_memory_of_the_sales_before_it():
    day = month_period(LATE).start_time
    frozen, built = MEMORY.before(day), build_memory(before(SALES, day), town())
    pd.testing.assert_frame_equal(frozen.sales, built.sales)
    assert_same_vintages(frozen, built)
    assert frozen.end_month == LATE


def test_one_that_grew_is_one_built_at_once():
    day = month_period(LATE).start_time
    grown = build_memory(before(SALES, day), town()).grown(SALES)
    pd.testing.assert_frame_equal(grown.sales, MEMORY.sales)
    assert_same_vintages(grown, MEMORY)


def test_it_can_not_be_frozen_before_it_can_value():
    assert MEMORY.before(pd.Timestamp(MEMORY.first_day)).end_month == MEMORY.first_month
    with pytest.raises(Fault, match=f"can't be frozen at 2015-03-01: it can value from {MEMORY.first_day} on"):
        MEMORY.before(pd.Timestamp("2015-03-01"))


def test_past_its_end_the_last_month_goes_on_speaking():
    end = MEMORY.end_month
    assert MEMORY.vintage_month(end + 30) == MEMORY.vintage_month(end) == end
    assert MEMORY.known(end + 30).count == len(SALES)
    assert MEMORY.vintage_month(LATE) == LATE


def test_too_few_sales_say_how_many_are_needed():
    few = SALES[:FIRST_SALES]
    with pytest.raises(Fault, match=f"{FIRST_SALES} sales are too few to learn from; at least {FIRST_SALES + 1}"):
        build_memory(few, town())


def test_too_short_a_history_says_what_the_first_months_are_for():
    short = before(town_sales(8000), pd.Timestamp("2015-07-01"))
    assert len(short) > FIRST_SALES
    with pytest.raises(Fault, match=r"2015-01 to 2015-06 are too short a history: the first 6 months and 200 sales"):
        build_memory(short, town())


@pytest.mark.parametrize("count", [500, 1500, 8000])
def test_the_first_months_and_sales_only_teach(count):
    memory = town_memory(town_sales(count))
    months = memory.month
    assert memory.first_month - months[0] >= FIRST_MONTHS
    assert (months < memory.first_month).sum() > FIRST_SALES
    earlier = memory.first_month - 1
    assert earlier - months[0] < FIRST_MONTHS or (months < earlier).sum() <= FIRST_SALES
    assert month_number([memory.first_day])[0] == memory.first_month


def test_a_sale_far_from_the_market_is_not_believed_and_pulls_no_harder_than_the_bound():
    row = 700
    typo = SALES.assign(price=SALES["price"].where(SALES.index != row, SALES["price"] * 20))
    known = build_memory(typo, town()).known(MEMORY.end_month)
    assert row not in known.trusted
    assert row in MEMORY.known(MEMORY.end_month).trusted
    assert known.residual[row] == known.residual.max()
    raw = np.abs(np.delete(known.residual, row))
    spread = 1.4826 * np.median(raw)
    assert known.residual[row] == pytest.approx(CLIPPED * spread, rel=0.01)
    assert np.abs(known.residual[known.trusted]).max() < DISBELIEVED * spread


def test_nearly_all_honest_sales_are_believed():
    assert len(MEMORY.known(MEMORY.end_month).trusted) > 0.98 * len(SALES)


def test_the_level_of_a_day_is_foreseen_before_its_month():
    days = [date(2018, 5, 1), date(2018, 5, 31), date(2018, 6, 1)]
    may, june = (int(month_number([day])[0]) for day in (days[0], days[2]))
    np.testing.assert_array_equal(MEMORY.level(days)[:2], MEMORY.vintages[may].index.level(days)[:2])
    np.testing.assert_array_equal(MEMORY.level(days)[2:], MEMORY.vintages[june].index.level(days)[2:])
    assert len(MEMORY.vintages[may].index.levels) == may - MEMORY.month[0]


def test_what_is_measured_once_comes_from_the_first_sales():
    sales = mapped_sales(600)
    memory = build_memory(sales, mapped_town())
    later = sales.assign(area=sales["area"].where(memory.month < memory.first_month, 999.0), latitude=sales["latitude"])
    again = build_memory(later, mapped_town())
    assert again.terms.terms == memory.terms.terms
    assert (again.places.middle, again.places.unit) == (memory.places.middle, memory.places.unit)
