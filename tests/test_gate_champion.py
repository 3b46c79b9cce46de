"""Candidate against champion: errors sale by sale, and what a change of values must be paid with."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.gate.champion import Comparison, champion_checks, compare, differences
from models.gate.check import CANNOT_TELL, FAIL, PASS
from tests.line import BOUNDS

BETTER = Comparison("v1", 400, -0.01, -0.012, -0.008, moved=0.01, moved_most=0.03)


def outcome(comparison: Comparison | None, name: str = "champion") -> str:
    return next(c.outcome for c in champion_checks(comparison, BOUNDS) if c.name == name)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (Comparison("v1", 400, 0.005, 0.002, 0.0100), PASS),
        (Comparison("v1", 400, 0.009, 0.008, 0.0101), CANNOT_TELL),
        (Comparison("v1", 400, 0.012, 0.009, 0.0150), CANNOT_TELL),
        (Comparison("v1", 400, 0.015, 0.011, 0.0190), FAIL),
        (Comparison("v1", 99, -0.01, -0.012, -0.008), CANNOT_TELL),
        (Comparison("v1", 400), CANNOT_TELL),
        (Comparison("v1", 400, -0.01, -0.012, -0.008, problem="it has no living area"), CANNOT_TELL),
        (Comparison("v1", outdated=True), PASS),
        (None, PASS),
    ],
)
def test_not_worse_beyond_the_margin(comparison, expected):
    assert outcome(comparison) == expected
    assert comparison is None or "v1" in next(iter(champion_checks(comparison, BOUNDS))).reason


@pytest.mark.parametrize(
    ("high", "moved", "expected"),
    [
        (-0.008, 0.05, PASS),
        (-0.008, 0.14, PASS),  # a gain of one point at a rate of 0.1 pays for ten points of churn
        (-0.008, 0.16, FAIL),
        (0.001, 0.05, PASS),
        (0.001, 0.06, FAIL),  # a gain that chance may explain pays for nothing
        (-0.008, math.nan, CANNOT_TELL),
    ],
)
def test_accuracy_pays_for_churn(high, moved, expected):
    assert outcome(replace(BETTER, high=high, moved=moved), "churn") == expected


def test_some_churn_nothing_pays_for():
    assert outcome(replace(BETTER, moved_most=0.21), "churn_p95") == FAIL
    assert outcome(replace(BETTER, moved_most=0.19), "churn_p95") == PASS


def test_the_comparison_is_the_paired_difference_of_errors():
    prices = np.full(4, 100.0)
    difference = differences(prices, np.exp([0.1, 0.1, -0.1, 0.2]) * 100, np.exp([0.2, -0.2, 0.2, 0.4]) * 100)
    np.testing.assert_allclose(difference, [-0.1, -0.1, -0.1, -0.2])
    found = compare("v1", difference, {}, 1)
    error = np.std([-0.1, -0.1, -0.1, -0.2], ddof=1) / 2
    assert (found.n, found.champion, found.by) == (4, "v1", "sales")
    assert [found.mean, found.low, found.high] == pytest.approx([-0.125, -0.125 - 1.96 * error, -0.125 + 1.96 * error])


def test_errors_that_go_together_count_for_fewer_sales():
    """Thirty areas of a hundred sales, each area off by as much: the truth lies in the interval by areas alone."""
    draw = np.random.default_rng(5)
    areas = np.repeat(np.arange(30), 100)
    misses_by_sales = misses = 0
    for _ in range(100):
        difference = draw.normal(0, 0.02, 30)[areas] + draw.normal(0, 0.01, len(areas))
        alone, together = compare("v1", difference, {}, 1), compare("v1", difference, {"area": areas}, 1)
        assert together.by == "area"
        misses_by_sales += not alone.low <= 0 <= alone.high
        misses += not together.low <= 0 <= together.high
    assert misses_by_sales > 50
    assert misses <= 12


def test_few_clusters_are_not_drawn_among():
    difference = np.linspace(-1, 1, 100)
    assert compare("v1", difference, {"month": np.arange(100) // 25}, 1) == compare("v1", difference, {}, 1)


def test_the_same_sales_give_the_same_interval():
    difference = np.random.default_rng(1).normal(size=300)
    clusters = {"month": np.arange(300) // 25}
    assert compare("v1", difference, clusters, 3) == compare("v1", difference, clusters, 3)


@given(st.lists(st.floats(1e3, 1e7), min_size=2, max_size=50))
def test_a_model_is_not_worse_than_itself(values):
    same = compare("v1", differences(np.full(len(values), 5e5), np.array(values), np.array(values)), {}, 1)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0])
def test_a_value_that_is_none_spoils_the_comparison(bad):
    prices = np.full(500, 100.0)
    values = np.append(np.full(499, 100.0), bad)
    spoilt = compare("v1", differences(prices, values, prices), {"month": np.arange(500) // 20}, 1)
    assert outcome(spoilt) == CANNOT_TELL
