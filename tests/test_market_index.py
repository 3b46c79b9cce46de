"""The index finds the market's real trend, bridges gaps, carries on, and never looks ahead."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.hedonic import fit_hedonic
from models.market_index import MarketIndex
from models.split import before, plan_split
from models.training import make_fold
from tests.town import TREND, town, town_sales


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


def test_later_sales_change_nothing_that_a_fold_knows():
    sales = town_sales()
    window = plan_split(sales["sale_date"], 12, 2, 12).folds[0]
    planted = sales.copy()
    planted.loc[planted["sale_date"] >= window.first, "price"] *= 3
    honest, other = make_fold(sales, window, town()), make_fold(planted, window, town())
    np.testing.assert_array_equal(honest.known.index.levels, other.known.index.levels)
    np.testing.assert_array_equal(honest.known.target, other.known.target)
    assert honest.known.index.levels.shape == fit_hedonic(before(sales, window.first), town()).index.levels.shape


def test_it_survives_the_way_to_parquet_and_back():
    index = fit_hedonic(town_sales(), town()).index
    again = MarketIndex.from_frame(index.to_frame())
    days = pd.Series(pd.date_range("2014-12-01", "2021-01-01"))
    np.testing.assert_array_equal(index.level(days), again.level(days))


def test_it_moves_from_day_to_day_without_a_jump():
    index = fit_hedonic(town_sales(), town()).index
    assert np.abs(np.diff(index.level(pd.Series(pd.date_range("2015-01-01", "2021-01-01"))))).max() < 0.002


def test_the_hedonic_regression_values_homes_it_has_not_seen():
    sales = town_sales()
    train, later = sales[:1200], sales[1200:]
    hedonic = fit_hedonic(train, town())
    error = np.abs(hedonic.value(later, later["sale_date"]) / later["price"] - 1)
    assert np.median(error) < 0.10
