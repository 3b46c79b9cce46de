"""The index finds the market's real trend, bridges gaps, carries on, and never looks ahead."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.hedonic import fit_hedonic
from models.market_index import TREND_MONTHS, MarketIndex
from models.memory import month_period
from tests.town import TREND, town, town_memory, town_sales


def test_the_trend_that_made_the_prices_is_found():
    index = fit_hedonic(town_sales(), town()).index
    years = [date(2016, 1, 1), date(2018, 1, 1)]
    assert np.diff(index.level(years))[0] == pytest.approx(24 * TREND, abs=0.02)


def test_past_its_last_month_the_trend_goes_on():
    index = fit_hedonic(town_sales(), town()).index
    last, later = index.level([date(2019, 12, 1), date(2020, 12, 1)])
    assert later - last == pytest.approx(12 * TREND, abs=0.02)


def test_a_month_without_sales_is_bridged():
    sales = town_sales()
    gap = sales["sale_date"].dt.strftime("%Y-%m") == "2017-05"
    whole, holed = (fit_hedonic(s, town()).index for s in (sales, sales[~gap]))
    middle = [date(2017, 5, 15)]
    assert holed.level(middle) == pytest.approx(whole.level(middle), abs=0.02)


def test_one_absurd_sale_hardly_moves_it():
    sales = town_sales()
    typo = sales.copy()
    typo.loc[700, "price"] = 10_000_000
    honest, poisoned = (fit_hedonic(s, town()).index.levels for s in (sales, typo))
    assert np.abs(honest - poisoned).max() < 0.01


def test_what_a_month_is_foreseen_to_be_is_the_trend_of_the_months_before():
    """The vintage of a month ends with the month before it, and carries on as the town's prices do."""
    memory = town_memory()
    for month in range(memory.first_month + TREND_MONTHS, memory.end_month + 1):
        index = memory.index(month)
        middle = month_period(month).start_time + timedelta(days=14)
        assert len(index.levels) == month - memory.month[0]
        ahead = np.diff(index.level([middle - timedelta(days=30), middle]))[0]
        assert ahead == pytest.approx(TREND, abs=0.006)


def test_all_vintages_agree_on_the_trend_that_made_the_prices():
    memory = town_memory()
    days = [date(2016, 1, 15), date(2017, 1, 15)]
    months = range(memory.end_month - 24, memory.end_month + 1)
    moves = [np.diff(memory.index(month).level(days))[0] for month in months]
    assert moves == pytest.approx([12 * TREND] * 25, abs=0.02)


def test_before_its_first_month_it_is_flat():
    index = fit_hedonic(town_sales(), town()).index
    assert index.level([date(1990, 1, 1), index.first_day]).tolist() == [index.levels[0]] * 2


def test_one_month_has_no_trend():
    assert MarketIndex(pd.Period("2015-01", "M"), np.array([12.0])).level([date(2030, 1, 1)]).tolist() == [12.0]


def test_it_survives_the_way_to_parquet_and_back():
    index = fit_hedonic(town_sales(), town()).index
    again = MarketIndex.from_frame(index.to_frame())
    days = pd.Series(pd.date_range("2014-12-01", "2021-01-01"))
    np.testing.assert_array_equal(index.level(days), again.level(days))


def test_it_moves_from_day_to_day_without_a_jump():
    index = fit_hedonic(town_sales(), town()).index
    assert np.abs(np.diff(index.level(pd.Series(pd.date_range("2015-01-01", "2021-01-01"))))).max() < 0.002
