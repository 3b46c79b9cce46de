"""The figures of a ratio study, against values worked out by hand and against their definitions."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.fault import Fault
from models.ratio_study import FIGURES, study

PRICES = np.array([100_000.0, 200_000.0, 300_000.0, 400_000.0])
VALUES = np.array([110_000.0, 190_000.0, 300_000.0, 300_000.0])


def test_figures_worked_out_by_hand():
    figures = study(VALUES, PRICES)
    assert figures["n"] == 4
    assert figures["mdape"] == pytest.approx(0.075)  # errors 0.10 0.05 0 0.25
    assert (figures["ppe5"], figures["ppe10"], figures["ppe20"]) == (0.5, 0.75, 0.75)
    assert figures["median_ratio"] == pytest.approx(0.975)  # ratios 1.1 0.95 1 0.75
    assert figures["cod"] == pytest.approx(100 * (0.125 + 0.025 + 0.025 + 0.225) / 4 / 0.975)
    assert figures["prd"] == pytest.approx(0.95 / 0.9)  # mean ratio over 900,000 / 1,000,000
    assert figures["r2"] == pytest.approx(1 - (1e8 + 1e8 + 0 + 1e10) / 5e10)
    assert figures["mki"] == pytest.approx((2 * 2590 / 3600 - 1.25) / 0.25)  # Ginis in order of price


def test_prb_is_the_regression_slope_that_its_definition_gives():
    ratio, median = VALUES / PRICES, np.median(VALUES / PRICES)
    proxy = np.log2((PRICES + VALUES / median) / 2)
    slope = np.polyfit(proxy, (ratio - median) / median, 1)[0]
    assert study(VALUES, PRICES)["prb"] == pytest.approx(slope)


def test_perfect_values():
    figures = study(PRICES, PRICES)
    assert figures["mdape"] == 0
    assert figures["cod"] == 0
    assert figures["r2"] == 1
    assert figures["prd"] == pytest.approx(1)
    assert figures["mki"] == pytest.approx(1)
    assert figures["prb"] == pytest.approx(0)


def test_no_sales_give_no_figure_rather_than_a_good_one():
    assert study(np.array([]), np.array([])) == {"n": 0} | dict.fromkeys(FIGURES[1:])


def test_what_one_sale_or_equal_prices_cannot_tell_is_none():
    assert study(np.array([90.0]), np.array([100.0]))["prb"] is None
    assert study(np.array([90.0, 110.0]), np.array([100.0, 100.0]))["r2"] is None


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_a_value_that_is_no_amount_of_money_is_refused(wrong):
    with pytest.raises(Fault, match="1 of 4 values are not positive finite numbers"):
        study(np.array([wrong, 1.0, 1.0, 1.0]), PRICES)


GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden").joinpath("ratio_studies.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["vectors"])
def test_two_public_libraries_say_the_same(name):
    """Where they differ from the definition: ratio_study's COD is a fraction, and its PRB takes 0.693 for the
    logarithm of 2 and is rounded to five digits. assesspy's MKI depends on the order of sales of one price, which the
    vectors settle by value, as the MKI here does."""
    vector = GOLDEN["vectors"][name]
    found: dict[str, Any] = study(np.array(vector["values"]), np.array(vector["prices"]))
    for figure, told in vector["told"]["assesspy"].items():
        assert found[figure] == pytest.approx(told, rel=1e-9, abs=1e-9)
    other = dict(vector["told"]["ratio_study"])
    assert found["prb"] * 0.693 / math.log(2) == pytest.approx(other.pop("prb"), abs=5.1e-6)
    assert found["cod"] / 100 == pytest.approx(other.pop("cod"), rel=1e-9)
    for figure, told in other.items():
        assert found[figure] == pytest.approx(told, rel=1e-9, abs=1e-9)


money = arrays(np.float64, st.integers(3, 40), elements=st.floats(1e3, 1e7))


@given(prices=money, scale=st.floats(0.1, 10))
def test_currency_changes_no_figure(prices, scale):
    values = prices * np.linspace(0.8, 1.2, len(prices))
    one, other = study(values, prices), study(values * scale, prices * scale)
    assert [f for f in FIGURES if one[f] is not None] == [f for f in FIGURES if other[f] is not None]
    for figure in ("mdape", "median_ratio", "cod", "prd", "rmse_log"):
        assert one[figure] == pytest.approx(other[figure], rel=1e-6, abs=1e-9)


@given(prices=money)
def test_over_valuing_cheap_homes_shows_as_regressive(prices):
    prices = np.unique(prices)
    if len(prices) < 3 or prices[-1] < 2 * prices[0]:
        return
    values = np.median(prices) * (prices / np.median(prices)) ** 0.7
    figures = study(values, prices)
    assert (figures["prd"] or 0) > 1
    assert (figures["mki"] or 9) < 1
