"""The hedonic regression finds what made the prices, agrees with another solver, and keeps declared directions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from models.hedonic import FADING, OUTLIER, RARE, RIDGE, ROUNDS, SMOOTHNESS, fit_hedonic, fit_terms, fit_worth
from tests.town import AREA, POOL, QUARTER, ROOMS, SOUND, town, town_sales

SALES = town_sales()
HEDONIC = fit_hedonic(SALES, town())


def typical(count):
    """The same home many times over, in the middle of the town's sales."""
    home = {"area": 120.0, "quarter": "east", "rooms": 4.0, "pool": 0.0, "noise": 55.0}
    return pd.DataFrame([home] * count)


def standing(hedonic, homes):
    return hedonic.standing(hedonic.terms.design(homes))


def test_it_finds_what_each_fact_is_worth():
    homes = typical(4)
    homes.loc[1, "pool"] = 1.0
    homes.loc[2, "noise"] = 75.0
    homes.loc[3, "quarter"] = "west"
    told = standing(HEDONIC, homes)
    assert told[1:] - told[0] == pytest.approx([0.15, -0.08, -0.2], abs=0.04)


def test_a_home_twice_as_large_is_dearer_by_the_towns_elasticity():
    homes = typical(2)
    homes["area"] = [60.0, 120.0]
    assert np.diff(standing(HEDONIC, homes))[0] == pytest.approx(0.8 * np.log(2), abs=0.08)


def penalised(design, month, log_price, signs=None):
    """The same regression by a general solver: the penalties are rows of their own, the signs are bounds."""
    months, width = month[-1] + 1, design.shape[1]
    fading = np.exp((month - month[-1]) / (12 * FADING))
    by_month = (month[:, None] == np.arange(months)).astype("float64")
    ridge = np.hstack([np.sqrt(RIDGE) * np.eye(width), np.zeros((width, months))])
    curvature = np.diff(np.eye(months), 2, axis=0) * np.sqrt(SMOOTHNESS)
    smooth = np.hstack([np.zeros((len(curvature), width)), curvature])
    low, high = np.full(width + months, -np.inf), np.full(width + months, np.inf)
    if signs is not None:
        low[:width][signs > 0], high[:width][signs < 0] = 0, 0
    weights = fading
    for _ in range(ROUNDS):
        root = np.sqrt(weights)[:, None]
        rows = np.vstack([np.hstack([design, by_month]) * root, ridge, smooth])
        right = np.concatenate([log_price * root[:, 0], np.zeros(len(ridge) + len(smooth))])
        told = lsq_linear(rows, right, (low, high), tol=1e-14).x
        residual = np.abs(log_price - design @ told[:width] - told[width:][month])
        spread = 1.4826 * np.median(residual)
        weights = fading * np.minimum(1, OUTLIER * spread / residual)
    return told[:width], told[width:]


@pytest.mark.parametrize("seed", [4, 6])
def test_it_is_the_solution_of_a_general_solver(seed):
    sales = town_sales(seed=seed)
    hedonic = fit_hedonic(sales, town())
    month = _months(sales)
    worth, levels = penalised(hedonic.terms.design(sales), month, np.log(sales["price"].to_numpy()))
    assert (worth * hedonic.terms.signs >= 0).all()  # no sign binds
    np.testing.assert_allclose(hedonic.worth, worth, atol=1e-8)
    np.testing.assert_allclose(hedonic.index.levels, levels, atol=1e-8)


def test_where_a_sign_binds_it_is_the_bounded_solution():
    """More noise is dearer in these sales, against what is declared."""
    sales = SALES.assign(price=SALES["price"] * np.exp(0.01 * SALES["noise"]))
    hedonic = fit_hedonic(sales, town())
    design, month = hedonic.terms.design(sales), _months(sales)
    free, _ = penalised(design, month, np.log(sales["price"].to_numpy()))
    assert (free * hedonic.terms.signs < 0).any()
    worth, levels = penalised(design, month, np.log(sales["price"].to_numpy()), hedonic.terms.signs)
    np.testing.assert_allclose(hedonic.worth, worth, atol=1e-5)
    np.testing.assert_allclose(hedonic.index.levels, levels, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), by_noise=st.floats(-0.05, 0.05), by_area=st.floats(-2, 2), by_pool=st.floats(-1, 1))
def test_directions_hold_whatever_the_sales_say(seed, by_noise, by_area, by_pool):
    sales = town_sales(300, seed)
    pull = by_noise * sales["noise"] + by_area * np.log(sales["area"]) + by_pool * sales["pool"]
    hedonic = fit_hedonic(sales.assign(price=sales["price"] * np.exp(pull)), town())
    assert (hedonic.worth * hedonic.terms.signs >= 0).all()
    grid = typical(200)
    for name, sign, far in (("area", 1, 5000.0), ("noise", -1, 400.0), ("pool", 1, 1.0)):
        rising = grid.assign(**{name: np.linspace(0, far, len(grid))})
        assert (np.diff(sign * standing(hedonic, rising)) >= 0).all()


def test_a_rare_category_has_no_term_of_its_own():
    sales = SALES.copy()
    sales.loc[: RARE - 2, "quarter"] = "islet"
    terms = fit_terms(sales, town())
    assert terms.terms[1].categories == ("east", "old", "west")
    sales.loc[RARE - 1, "quarter"] = "islet"
    assert fit_terms(sales, town()).terms[1].categories == ("east", "islet", "old", "west")
    assert standing(fit_hedonic(sales, town()), typical(1).assign(quarter="nowhere")).shape == (1,)


def test_declared_categories_all_have_one():
    market = town(AREA, QUARTER | {"values": ["east", "old", "west", "harbour"]}, ROOMS, POOL, SOUND)
    assert fit_terms(SALES, market).terms[1].categories == ("east", "old", "west", "harbour")


def test_a_missing_number_is_a_typical_one():
    homes = typical(2)
    terms = HEDONIC.terms
    area = terms.terms[0]
    homes.loc[0, "area"] = np.nan
    homes.loc[1, "area"] = np.expm1(area.mean) if area.log else area.mean
    told = standing(HEDONIC, homes)
    assert told[0] == pytest.approx(told[1], abs=1e-12)


def test_a_number_without_a_direction_counts_no_farther_than_it_has_been_seen():
    homes = typical(2)
    homes["rooms"] = [1e3, 1e6]
    told = standing(HEDONIC, homes)
    assert told[0] == told[1]


def test_a_broken_line_is_the_number_itself_where_all_pieces_are_worth_the_same():
    homes = typical(200).assign(area=np.linspace(1, 3000, 200))
    pieces = HEDONIC.terms.raw(homes)[:, HEDONIC.terms.term_of_column == 0].sum(axis=1)
    np.testing.assert_allclose(np.diff(pieces), np.diff(HEDONIC.terms.scores(homes)[:, 0]), atol=1e-12)


def test_absurd_sales_hardly_move_it():
    typos = SALES.assign(price=SALES["price"].where(SALES.index % 100 > 0, 10_000_000.0))
    other = fit_worth(
        HEDONIC.terms,
        HEDONIC.terms.design(SALES),
        _months(SALES),
        np.log(typos["price"].to_numpy()),
        HEDONIC.index.first_month,
    )
    assert np.abs(standing(replace(other, terms=HEDONIC.terms), SALES) - standing(HEDONIC, SALES)).mean() < 0.02


def test_newer_sales_count_more():
    """A quarter that has become dear is dear, whatever it was when the records began."""
    risen = (SALES["quarter"] == "west") & (SALES["sale_date"] >= "2018-01-01")
    hedonic = fit_hedonic(SALES.assign(price=SALES["price"].where(~risen, SALES["price"] * np.exp(0.3))), town())
    homes = typical(2).assign(quarter=["east", "west"])
    before, after = (np.diff(standing(h, homes))[0] for h in (HEDONIC, hedonic))
    assert after - before > 0.3 * risen.sum() / (SALES["quarter"] == "west").sum()


def test_it_values_homes_it_has_not_seen():
    train, later = SALES[:1200], SALES[1200:]
    error = np.abs(fit_hedonic(train, town()).value(later, later["sale_date"]) / later["price"] - 1)
    assert np.median(error) < 0.10


def _months(sales):
    months = sales["sale_date"].dt.year * 12 + sales["sale_date"].dt.month
    return (months - months.iloc[0]).to_numpy()
