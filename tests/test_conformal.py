"""A range covers what it promises, on new draws from any distribution, and is as wide as the home is uncertain."""

from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalPredictiveSystem, ConformalRegressor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from models.appraisal import appraise
from models.conformal import (
    FEW_IN_TIER,
    LEVELS,
    MOST_TIERS,
    UNPLACED,
    Calibration,
    Spread,
    calibrate,
    fit_spread,
    score_bounds,
)
from models.fault import Fault
from models.split import Window, before, within
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

levels = st.sampled_from(LEVELS)
ONE = np.zeros(1)


def draws(seed, skew, count):
    draw = np.random.default_rng(seed)
    return draw.exponential(skew, count) + draw.normal(-skew, 1, count)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), level=levels, skew=st.floats(0, 3))
def test_coverage_on_new_sales(seed, level, skew):
    """Four standard errors of a share among the scores, and four among the new sales, on each of thirty draws."""
    low, high = score_bounds(np.sort(draws(seed, skew, 4000)), level)
    later = draws(seed + 1_000_000, skew, 20_000)
    error = 4 * np.sqrt(level * (1 - level) / 4000) + 4 * np.sqrt(level * (1 - level) / 20_000)
    assert np.mean((later >= low) & (later <= high)) == pytest.approx(level, abs=error)


def test_coverage_over_many_small_calibrations_is_what_is_promised():
    """With 39 scores the promise is exact for the next one: 10 000 times over, within four standard errors."""
    draw = np.random.default_rng(5)
    scores = np.sort(draw.normal(size=(10_000, 39)), axis=1)
    bounds = np.array([score_bounds(row, 0.9) for row in scores])
    inside = np.sum((bounds[:, 0] <= (new := draw.normal(size=10_000))) & (new <= bounds[:, 1]))
    assert binom.cdf(inside, 10_000, 0.9) > 1e-4
    assert binom.sf(inside, 10_000, 0.9) > 1e-4


@settings(max_examples=60, deadline=None)
@given(scores=st.lists(st.floats(-3, 3), min_size=19, max_size=300), level=levels)
def test_the_bounds_leave_out_as_many_as_they_may_on_either_side(scores, level):
    """By brute force: of all scores, the innermost beyond which at most a tail's share of n + 1 lies."""
    ordered = np.sort(scores)
    tail = round((1 - level) / 2, 9)
    most = [s for s in ordered if (ordered <= s).sum() <= tail * (len(ordered) + 1) + 1e-9]
    low, high = score_bounds(ordered, level)
    below, above = (ordered < low).sum(), (ordered > high).sum()
    assert max(below, above) < tail * (len(ordered) + 1)
    if most and len(set(scores)) == len(scores):
        assert low == min(most[-1], 0.0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [199, 999])  # n + 1 splits evenly, so that no reading of the quantile differs
def test_an_independent_implementation_draws_the_same_bounds(level, count):
    scores = np.sort(draws(3, 1.0, count))
    system = ConformalPredictiveSystem().fit(scores)
    percentiles = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    interval = system.predict_int(np.zeros(1), confidence=level)[0]
    told = system.predict_percentiles(
        np.zeros(1), lower_percentiles=[percentiles[0]], higher_percentiles=[percentiles[1]]
    )
    low, high = score_bounds(scores, level)
    k = round((count + 1) * (1 - level) / 2)
    gaps = scores[k] - scores[k - 2], scores[-k + 1] - scores[-k - 1]  # an order statistic up or down
    for theirs in (interval, told[0]):
        assert theirs[0] == pytest.approx(low, abs=gaps[0])
        assert theirs[1] == pytest.approx(high, abs=gaps[1])


@pytest.mark.parametrize("level", LEVELS)
def test_on_even_sided_errors_they_are_those_of_absolute_residuals(level):
    """Where every error occurs with both signs, the two sides and the one size are the same promise."""
    sizes = np.abs(draws(3, 0.0, 500))
    both = np.sort(np.concatenate([-sizes, sizes]))
    theirs = ConformalRegressor().fit(both).predict_int(np.zeros(1), confidence=level)[0]
    assert theirs == pytest.approx(score_bounds(both, level), abs=0.02)


def test_a_lopsided_market_gets_a_lopsided_range():
    low, high = score_bounds(np.sort(np.random.default_rng(3).exponential(1, 2000) - 0.7), 0.9)
    assert high > 2 * -low


@pytest.mark.parametrize(("level", "n", "k"), [(0.62, 299, 57), (0.9, 399, 20), (0.8, 999, 100), (0.9, 19, 1)])
def test_the_ends_are_the_same_order_statistic_from_either_side(level, n, k):
    low, high = score_bounds(np.arange(n) - (n - 1) / 2, level)
    assert (low, high) == (k - 1 - (n - 1) / 2, (n - 1) / 2 - (k - 1))


def test_too_few_residuals_promise_nothing():
    with pytest.raises(Fault, match="18 residuals are too few for a 90% range; at least 19"):
        score_bounds(np.zeros(18), 0.9)


def test_one_that_is_not_finite_is_refused():
    with pytest.raises(Fault, match="not finite"):
        score_bounds(np.array([0.1] * 50 + [np.nan]), 0.9)


def test_the_value_is_inside_even_where_all_errors_were_on_one_side():
    assert score_bounds(np.linspace(0.1, 0.2, 50), 0.9)[0] == 0
    assert score_bounds(np.linspace(-0.2, -0.1, 50), 0.9)[1] == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0.02, 0.5), spread=st.floats(0.02, 0.5))
def test_the_chance_of_being_right_is_the_share_of_simulated_prices(seed, share, spread):
    scores = np.sort(draws(seed, 0.5, 500))
    prices = np.exp(scores * spread)  # of homes valued at 1
    right = np.abs(1 / prices - 1) <= share
    told = Calibration(np.empty(0), (scores,)).chance_within(share, np.array([spread]), ONE)[0]
    assert told == pytest.approx(right.mean(), abs=1e-9)


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.1])
def test_the_deviation_is_the_standard_deviation_of_normal_errors(spread):
    scores = np.sort(np.random.default_rng(2).normal(size=20_000))
    told = Calibration(np.empty(0), (scores,)).deviation(np.array([spread]), ONE)[0]
    simulated = np.exp(np.random.default_rng(3).normal(0, spread, 200_000)).std()
    assert told == pytest.approx(simulated, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 2500), seed=st.integers(0, 999), distinct=st.integers(1, 2500))
def test_tiers_are_of_equally_many_sales_and_of_enough(count, seed, distinct):
    draw = np.random.default_rng(seed)
    scores, standing = draw.normal(size=count), draw.integers(0, distinct, count) / distinct
    told = calibrate(scores, standing)
    sizes = [len(own) for own in told.scores]
    assert sum(sizes) == count
    assert len(sizes) <= max(1, min(MOST_TIERS, count // FEW_IN_TIER))
    assert all((np.diff(own) >= 0).all() for own in told.scores)
    if count >= 19:
        assert np.isfinite(told.bounds((0.9,), standing)).all()
    if len(set(standing)) == count:
        assert max(sizes) - min(sizes) <= 1


def test_sales_that_all_stand_alike_are_one_tier():
    told = calibrate(draws(1, 0.0, 2000), np.zeros(2000))
    low, high = told.bounds((0.9,), np.array([-1.0, 0.0, 1.0]))[:, 0].T
    assert (low < -1).all()
    assert (high > 1).all()


def test_each_tier_keeps_the_promise_of_its_own():
    """Dear homes whose errors are three times as wide get three times the range, and cheap ones do not."""
    draw = np.random.default_rng(4)
    standing = draw.uniform(0, 1, 6000)
    scores = draw.normal(size=6000) * np.where(standing > 0.8, 3, 1)
    told = calibrate(scores, standing)
    new, where = draw.normal(size=40_000), draw.uniform(0, 1, 40_000)
    new *= np.where(where > 0.8, 3, 1)
    low, high = told.bounds((0.9,), where)[:, 0].T
    inside = (low <= new) & (new <= high)
    for tier in range(MOST_TIERS):
        rows = np.minimum((where * MOST_TIERS).astype(int), MOST_TIERS - 1) == tier
        assert inside[rows].mean() == pytest.approx(0.9, abs=0.04)


@settings(max_examples=40, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2016, 1, 1), date(2020, 6, 1)))
def test_ranges_hold_the_value_and_lie_within_each_other(home, day):
    told = appraise(live_valuer(), [home], day)[0]
    assert [r.level for r in told.ranges] == sorted({*LEVELS, live_valuer().level})
    for wider, narrower in zip(told.ranges[1:], told.ranges[:-1], strict=True):
        assert wider.low <= narrower.low <= told.value <= narrower.high <= wider.high
    assert told.range in told.ranges
    assert 0 <= told.confidence <= 1
    assert told.deviation > 0


@cache
def wide():
    """A town with sales enough for a spread of its own, and the year after its training."""
    sales = mapped_sales(7000)
    valuer = town_valuer(before(sales, TRAINED), market=mapped_town(), rounds=40)
    return valuer, valuer.refreshed(sales), within(sales, Window(TRAINED, pd.Timestamp("2020-01-01")))


@pytest.mark.parametrize("level", LEVELS)
def test_the_next_years_prices_fall_inside_as_often_as_promised(level):
    _, live, later = wide()
    low, high = live.ranges(live.view(later, later["sale_date"]))[level]
    inside = ((later["price"] >= low) & (later["price"] <= high)).mean()
    error = 4 * np.sqrt(level * (1 - level)) * (1 / np.sqrt(len(later)) + 1 / np.sqrt(1000))
    assert inside == pytest.approx(level, abs=error)


def test_the_chance_of_being_right_comes_true():
    _, live, later = wide()
    view = live.view(later, later["sale_date"])
    _, chance = live.certainty(view, 0.1)
    right = np.abs(live.told(view) / later["price"] - 1) <= 0.1
    assert chance.mean() == pytest.approx(right.mean(), abs=4 * 0.5 * (1 / np.sqrt(len(later)) + 1 / np.sqrt(1000)))


def test_where_prices_are_wild_the_spread_is_wide():
    draw = np.random.default_rng(1)
    matrix = draw.uniform(0, 1, (4000, 3))
    errors = draw.normal(0, 0.05 + 0.2 * (matrix[:, 0] > 0.5), 4000)
    spread = fit_spread(matrix, errors, ["a", "b", "c"], [], [])
    calm, wild = (spread.of(matrix[rows]).mean() for rows in (matrix[:, 0] < 0.4, matrix[:, 0] > 0.6))
    assert wild > 2.5 * calm
    assert spread.typical == pytest.approx(np.minimum(np.abs(errors), 0.75).mean())


def test_too_few_errors_teach_one_spread_for_all():
    matrix = np.random.default_rng(1).uniform(0, 1, (500, 2))
    spread = fit_spread(matrix, np.full(500, 0.1), ["a", "b"], [], [])
    assert spread.forest is None
    assert spread.of(matrix) == pytest.approx(0.1)


def test_one_absurd_error_hardly_widens_the_typical_spread():
    matrix = np.zeros((500, 1))
    errors = np.full(500, 0.1)
    errors[3] = 5.0
    assert fit_spread(matrix, errors, ["a"], [], []).typical < 0.102


def test_a_home_beyond_the_farthest_hundredth_has_a_spread_that_grows_with_the_distance():
    matrix = np.linspace(0, 1, 500)[:, None]
    spread = fit_spread(matrix, np.full(500, 0.1), ["distance"], [], [0])
    asked = np.array([[0.5], [0.99], [2 * 0.99], [5 * 0.99], [np.nan]])
    assert spread.remoteness(asked) == pytest.approx([1, 1, 2, 5, UNPLACED], abs=0.01)
    assert spread.of(asked) == pytest.approx(0.1 * spread.remoteness(asked))
    assert Spread(None, 0.1, {}).of(asked) == pytest.approx(0.1)


@pytest.mark.parametrize("valuer", [frozen_valuer, live_valuer], ids=["frozen", "live"])
def test_a_home_far_from_all_sales_is_said_to_be_so_and_has_wider_ranges(valuer):
    near, far, farther = (
        appraise(valuer(), [MAPPED_HOME | {"latitude": 50.0 + north}], valuer().current_day)[0]
        for north in (0.0, 0.3, 0.6)
    )
    warned = [any("few homes like this one have been sold near by" in w for w in told.warnings) for told in (near, far)]
    assert (near.in_support, far.in_support, warned) == (True, False, [False, True])
    widths = [[(r.high - r.low) / told.value for r in told.ranges] for told in (near, far, farther)]
    assert all(a < b < c for a, b, c in zip(*widths, strict=True))
    assert near.confidence > far.confidence
    assert near.deviation < far.deviation


def test_a_home_whose_place_is_unknown_has_wider_ranges_than_one_in_the_middle_of_town():
    valuer = live_valuer()
    placed, nowhere = (
        appraise(valuer, [MAPPED_HOME | change], valuer.current_day)[0] for change in ({}, {"latitude": None})
    )
    for here, there in zip(placed.ranges, nowhere.ranges, strict=True):
        assert (there.high - there.low) / nowhere.value > (here.high - here.low) / placed.value
    assert (placed.in_support, nowhere.in_support) == (True, False)
