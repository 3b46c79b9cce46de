"""The forests obey the declared directions, are the same at every run, and no single sale pulls one far."""

import threading
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import shap
from hypothesis import given
from hypothesis import strategies as st

from models.features import fit_features
from models.forest import ASIDE, SHARE, fit_bag, predictions_by_rounds, spread_about_median, taught_by
from models.split import Window
from models.training import fit, learn, make_fold, weights
from tests.town import SEARCHED, mapped_sales, mapped_town, town_memory

MARKET = mapped_town()
LEARNT = learn(town_memory(mapped_sales(), MARKET))
FEATURES = fit_features(LEARNT.sales, MARKET)
MATRIX = LEARNT.matrix(FEATURES)
HOMES = LEARNT.sales["property_id"].to_numpy(dtype=object)


def bag_of(rows=slice(None), rounds=20, bags=2, seed=7, target=LEARNT.target):
    weight = np.ones(len(target))
    return fit_bag(
        MATRIX[rows], target[rows], weight[rows], HOMES[rows].tolist(), FEATURES, SEARCHED, rounds, bags, seed
    )


BAG = bag_of()


def texts(bag):
    return [forest.model_to_string() for forest in bag.forests]


def test_the_same_sales_give_the_same_forests():
    assert texts(bag_of()) == texts(BAG)
    assert len(set(texts(BAG))) == 2


def test_forests_fitted_beside_each_other_are_those_fitted_alone():
    told = {}
    runs = [threading.Thread(target=lambda n=n: told.update({n: texts(bag_of(bags=3))})) for n in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert told[0] == told[1]
    assert told[0][:2] == texts(BAG)


def test_another_seed_gives_other_forests():
    assert set(texts(bag_of(seed=8))).isdisjoint(texts(BAG))


def asked(bag, what):
    """What is told of each forest and the rows it is asked about."""
    return [what(forest, aside) for forest, aside in zip(bag.forests, bag.aside, strict=True)]


def test_a_bag_is_the_mean_of_its_forests_each_asked_a_little_aside():
    alone = asked(BAG, lambda forest, aside: forest.predict(MATRIX + aside))
    np.testing.assert_allclose(BAG.predict(MATRIX), np.mean(alone, axis=0), rtol=1e-12)
    assert BAG.trees == 40


def test_only_measures_of_the_evidence_are_asked_aside_and_no_farther_than_a_share_of_their_spread():
    aside = bag_of(bags=10).aside
    measures = np.array(FEATURES.measures)
    counted = [name for name, measure in zip(FEATURES.names, measures, strict=True) if not measure]
    assert counted == [*MARKET.field_names, "sales.around_pool", "sales.months_behind"]
    assert (aside[:, ~measures] == 0).all()
    spread = np.nanstd(MATRIX, axis=0)
    assert (np.abs(aside) <= ASIDE * spread + 1e-12).all()
    moved = spread[measures] > 0
    assert (np.ptp(aside, axis=0)[measures][moved] > 1.7 * ASIDE * spread[measures][moved]).all()
    assert (np.abs(aside.mean(axis=0)) <= 0.1 * ASIDE * spread + 1e-12).all()  # to neither side
    assert (bag_of(bags=1, rounds=1).aside == 0).all()


def test_a_bag_takes_a_cliff_by_steps():
    """Along no measure is a step as high as the highest cliff that its forests share."""
    bag = bag_of(rounds=60, bags=10)
    sheer = replace(bag, reach=np.zeros_like(bag.reach))
    steps, cliffs = [], []
    for column in np.flatnonzero(bag.reach):
        walk = np.repeat(MATRIX[-1:], 4000, axis=0)
        walk[:, column] = np.linspace(np.nanmin(MATRIX[:, column]), np.nanmax(MATRIX[:, column]), len(walk))
        steps.append(np.abs(np.diff(bag.predict(walk))).max())
        cliffs.append(np.abs(np.diff(sheer.predict(walk))).max())
    assert max(steps) < 0.5 * max(cliffs)


@given(st.lists(st.text(), max_size=30), st.integers(0, 20), st.integers(0, 99))
def test_whether_a_home_teaches_a_forest_hangs_on_nothing_but_its_id(ids, number, seed):
    together = taught_by(ids, number, seed).tolist()
    assert together == [taught_by([home], number, seed)[0] for home in ids]


def test_about_the_declared_share_of_the_homes_teaches_each_forest_and_no_two_have_the_same():
    taught = np.array([taught_by([f"home {i}" for i in range(20_000)], number, 7) for number in range(12)])
    deviation = np.sqrt(SHARE * (1 - SHARE) / taught.shape[1])
    assert taught.mean(axis=1) == pytest.approx([SHARE] * 12, abs=5 * deviation)
    assert max((one & two).mean() for one, two in combinations(taught, 2)) < SHARE - 0.05
    assert taught.any(axis=0).all()


def test_all_sales_teach_where_there_is_one_forest():
    (forest,) = bag_of(bags=1).forests
    assert forest.dump_model()["tree_info"][0]["tree_structure"]["internal_count"] == len(MATRIX)


def test_more_of_what_is_declared_up_never_lowers_and_down_never_raises_anywhere():
    draw = np.random.default_rng(3)
    far = np.where(draw.random((400, MATRIX.shape[1])) < 0.2, np.nan, draw.normal(0, 1e4, (400, MATRIX.shape[1])))
    for homes in (MATRIX[::2], far):
        for column, sign in enumerate(FEATURES.directions):
            if sign:
                low, high = np.sort(draw.normal(0, 10 ** draw.uniform(0, 5, (2, len(homes)))), axis=0)
                less, more = homes.copy(), homes.copy()
                less[:, column], more[:, column] = low, high
                assert (sign * (BAG.predict(more) - BAG.predict(less)) >= 0).all()


def test_directions_are_what_the_declaration_says():
    declared = {"up": 1, "down": -1, None: 0}
    fields = len(MARKET.fields)
    assert FEATURES.directions[:fields] == [declared[f.direction] for f in MARKET.fields]
    assert set(FEATURES.directions[fields:]) == {0}
    assert len(FEATURES.names) == len(FEATURES.labels) == len(FEATURES.groups) == MATRIX.shape[1]


def test_contributions_are_those_of_an_independent_reader_of_the_trees():
    rows = MATRIX[::25]
    told = BAG.contributions(rows)
    np.testing.assert_allclose(told.sum(axis=1), BAG.predict(rows), atol=1e-9)
    parts = asked(BAG, lambda forest, aside: shap.TreeExplainer(forest).shap_values(rows + aside))
    bases = [shap.TreeExplainer(forest).expected_value for forest in BAG.forests]
    np.testing.assert_allclose(told[:, :-1], np.mean(parts, axis=0), atol=1e-6)
    np.testing.assert_allclose(told[:, -1], np.mean(bases), atol=1e-6)


def test_one_absurd_sale_moves_the_forests_of_the_others_hardly_more_than_its_absence_does():
    target = LEARNT.target.copy()
    target[700] += np.log(20)
    others = np.flatnonzero(np.arange(len(target)) != 700)
    honest = bag_of(rounds=60).predict(MATRIX)[others]
    absurd, absent = (
        np.quantile(np.abs(bag.predict(MATRIX)[others] - honest), [0.5, 0.95, 0.99])
        for bag in (bag_of(target=target, rounds=60), bag_of(others, rounds=60))
    )
    assert (absurd < 2 * absent).all()


def test_fewer_rounds_are_the_first_trees_of_more_rounds():
    told = predictions_by_rounds(BAG, MATRIX, 5)
    assert [*told] == [5, 10, 15, 20]
    alone = asked(BAG, lambda forest, aside: forest.predict(MATRIX + aside))
    np.testing.assert_allclose(told[20], alone, atol=1e-12)
    np.testing.assert_allclose(told[10].mean(axis=0), bag_of(rounds=10).predict(MATRIX), atol=1e-12)


def test_what_the_search_judges_is_what_training_with_so_many_rounds_gives():
    window = Window(*(LEARNT.sales["sale_date"].max().to_period("M").start_time + o for o in _year()))
    fold = make_fold(LEARNT, window)
    fresh, stale = fold.log_values(SEARCHED, 20, 10, 2, 7)
    for rounds in (10, 20):
        errors = fold.errors(SEARCHED, rounds, 2, 7)
        np.testing.assert_allclose(fold.log_prices - fresh[rounds].mean(axis=0), errors, atol=1e-12)
        aged = replace(fold, later=replace(fold.later, evidence=fold.later.stale)).errors(SEARCHED, rounds, 2, 7)
        np.testing.assert_allclose(fold.log_prices - stale[rounds].mean(axis=0), aged, atol=1e-12)


def test_a_sale_that_is_taken_for_an_error_teaches_no_forest():
    sales = mapped_sales()
    at = len(sales) - 200
    price = sales["price"].where(np.arange(len(sales)) != at, 10_000_000.0)
    learnt = learn(town_memory(sales.assign(price=price), MARKET))
    believed = learnt.believed()
    assert at in learnt.sales.index
    assert at not in believed.sales.index
    assert len(believed.sales) > 0.98 * len(learnt.sales)
    np.testing.assert_array_equal(believed.sales["price"], sales["price"][believed.sales.index])
    (forest,) = fit(learnt, FEATURES, SEARCHED, 1, 1, 7).forests
    again = np.isfinite(believed.stale[:, -1]).sum()
    assert forest.dump_model()["tree_info"][0]["tree_structure"]["internal_count"] == len(believed.sales) + again


def test_every_sale_whose_year_could_be_valued_when_it_began_is_taught_a_second_time_with_what_was_known_then():
    (forest,) = fit(LEARNT, FEATURES, SEARCHED, 1, 1, 7).forests
    root = forest.dump_model()["tree_info"][0]["tree_structure"]
    known = LEARNT.believed()
    again = LEARNT.memory.month[known.sales.index] // 12 * 12 >= LEARNT.memory.first_month
    assert root["internal_count"] == len(known.sales) + again.sum()
    np.testing.assert_array_equal(again, np.isfinite(known.stale[:, -1]))
    assert root["internal_weight"] == pytest.approx(weights(known).sum(), rel=1e-4)


def test_newer_sales_weigh_more():
    weight = weights(LEARNT)
    assert (np.diff(weight) >= 0).all()
    assert weight[-1] == 1


def test_a_level_that_is_off_for_all_is_not_held_against_the_forest():
    errors = np.random.default_rng(1).normal(0, 0.1, 500)
    assert spread_about_median(errors + 0.3) == pytest.approx(spread_about_median(errors))


def _year():
    from pandas.tseries.offsets import MonthBegin

    return MonthBegin(-11), MonthBegin(1)
