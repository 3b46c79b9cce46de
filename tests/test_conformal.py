"""A range covers what it promises, on new draws from any distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.conformal import residual_band


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), level=st.sampled_from([0.5, 0.8, 0.9]), skew=st.floats(0, 3))
def test_coverage_on_new_sales(seed, level, skew):
    draw = np.random.default_rng(seed)
    low, high = residual_band(draw.exponential(skew, 4000) + draw.normal(-skew, 1, 4000), level)
    later = draw.exponential(skew, 20_000) + draw.normal(-skew, 1, 20_000)
    assert np.mean((later >= low) & (later <= high)) == pytest.approx(level, abs=0.04)


def test_a_lopsided_market_gets_a_lopsided_range():
    low, high = residual_band(np.random.default_rng(3).exponential(1, 2000) - 0.7, 0.9)
    assert high > 2 * -low


@pytest.mark.parametrize(("level", "n", "k"), [(0.62, 299, 57), (0.9, 399, 20), (0.8, 999, 100), (0.9, 19, 1)])
def test_the_ends_are_the_same_order_statistic_from_either_side(level, n, k):
    low, high = residual_band(np.arange(n) - (n - 1) / 2, level)
    assert (low, high) == (k - 1 - (n - 1) / 2, (n - 1) / 2 - (k - 1))


def test_too_few_residuals_promise_nothing():
    with pytest.raises(ValueError, match="18 residuals are too few for a 90% range; at least 19"):
        residual_band(np.zeros(18), 0.9)


def test_one_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        residual_band(np.array([0.1] * 50 + [np.nan]), 0.9)
