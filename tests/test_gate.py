"""The gate fails closed, and says why in words."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.declaration import DeclarationError
from models.gate import CANNOT_TELL, FAIL, PASS, Comparison, Verdict, compare, judge
from models.gate_bounds import Bounds
from models.ratio_study import FIGURES
from pipelines.params import load_params
from tests.line import BOUNDS, GATE

FINE = {
    "n": 500,
    "mdape": 0.08,
    "ppe5": 0.3,
    "ppe10": 0.6,
    "ppe20": 0.9,
    "rmse_log": 0.12,
    "r2": 0.9,
    "median_ratio": 1.0,
    "cod": 9.0,
    "prd": 1.01,
    "prb": -0.02,
    "mki": 0.98,
}
REFERENCES = {"last_sale_indexed": 0.12, "median_per_area": 0.18, "hedonic": 0.1, "shuffled_target": 0.4}
BETTER = Comparison("v1", 400, -0.01, -0.012, -0.008)
NO_NUMBERS: list[Any] = [None, math.nan, math.inf, -math.inf, "0.08", True, [], {}]


def evaluation() -> dict[str, Any]:
    return {
        "figures": dict(FINE),
        "range": {"level": 0.9, "coverage": 0.9, "median_width": 0.4},
        "references": {name: FINE | {"mdape": mdape} for name, mdape in REFERENCES.items()},
    }


def outcome_of(verdict: Verdict, name: str) -> str:
    return next(c.outcome for c in verdict.checks if c.name == name)


@pytest.mark.parametrize("comparison", [None, BETTER])
def test_a_good_candidate_passes_every_check(comparison):
    verdict = judge(evaluation(), comparison, BOUNDS)
    assert verdict.outcome == PASS
    assert verdict.reasons == ()
    assert {c.name for c in verdict.checks} >= {"rows", "complete", "mdape", "too_good", "coverage", "champion"}


def test_nothing_checked_is_no_pass():
    assert Verdict(()).outcome == CANNOT_TELL
    assert Verdict(()).reasons == ("Nothing was checked.",)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_no_figure_may_be_missing_or_anything_but_a_finite_number(name, bad):
    judged = evaluation()
    judged["figures"][name] = bad
    assert judge(judged, BETTER, BOUNDS).outcome == CANNOT_TELL
    del judged["figures"][name]
    verdict = judge(judged, BETTER, BOUNDS)
    assert verdict.outcome == CANNOT_TELL
    assert any(name in reason for reason in verdict.reasons)


@pytest.mark.parametrize("gone", ["figures", "range", "references"])
@pytest.mark.parametrize("left", [None, {}, [], "all fine", math.nan])
def test_no_part_of_the_evaluation_may_be_missing(gone, left):
    assert judge(evaluation() | {gone: left}, BETTER, BOUNDS).outcome == CANNOT_TELL
    assert judge({k: v for k, v in evaluation().items() if k != gone}, BETTER, BOUNDS).outcome == CANNOT_TELL


@pytest.mark.parametrize(("n", "outcome"), [(0, CANNOT_TELL), (99, CANNOT_TELL), (100, PASS)])
def test_too_few_sales_can_not_tell(n, outcome):
    judged = evaluation()
    for row in (judged["figures"], *judged["references"].values()):
        row["n"] = n
    verdict = judge(judged, BETTER, BOUNDS)
    assert outcome_of(verdict, "rows") == outcome
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("name", "figure", "said"),
    [
        ("mdape", 0.1001, "10.01 %, above what is allowed: at most 10.00 %"),
        ("r2", 0.4, "0.400, below what is allowed: at least 0.500"),
        ("median_ratio", 0.89, "0.890, below what is allowed: 0.900 to 1.100"),
        ("median_ratio", 1.11, "1.110, above what is allowed: 0.900 to 1.100"),
        ("prb", -0.2, "-0.200, below what is allowed: -0.100 to 0.100"),
    ],
)
def test_a_figure_out_of_bounds_fails_with_figure_and_bound(name, figure, said):
    judged = evaluation()
    judged["figures"][name] = figure
    verdict = judge(judged, BETTER, BOUNDS)
    assert verdict.outcome == FAIL
    assert outcome_of(verdict, name) == FAIL
    assert said in verdict.reasons[0]


def test_too_good_to_be_true_is_refused():
    judged = evaluation()
    judged["figures"]["mdape"] = 0.019
    verdict = judge(judged, BETTER, BOUNDS)
    assert outcome_of(verdict, "mdape") == PASS
    assert outcome_of(verdict, "too_good") == verdict.outcome == FAIL
    assert "too good to be true" in verdict.reasons[0]


@pytest.mark.parametrize(("coverage", "outcome"), [(0.82, FAIL), (0.84, PASS), (0.96, PASS), (0.98, FAIL)])
def test_the_range_must_hold_what_it_says(coverage, outcome):
    judged = evaluation()
    judged["range"]["coverage"] = coverage
    assert judge(judged, BETTER, BOUNDS).outcome == outcome


@pytest.mark.parametrize("name", REFERENCES)
def test_each_reference_must_be_beaten_on_the_same_sales(name):
    judged = evaluation()
    judged["references"][name]["mdape"] = FINE["mdape"]
    assert outcome_of(judge(judged, BETTER, BOUNDS), f"reference.{name}") == FAIL
    judged["references"][name] = FINE | {"mdape": 0.5, "n": 499}
    assert outcome_of(judge(judged, BETTER, BOUNDS), f"reference.{name}") == CANNOT_TELL
    del judged["references"][name]
    assert outcome_of(judge(judged, BETTER, BOUNDS), f"reference.{name}") == CANNOT_TELL


def test_the_floor_must_be_beaten_clearly():
    judged = evaluation()
    judged["references"]["shuffled_target"]["mdape"] = 0.105
    assert outcome_of(judge(judged, BETTER, BOUNDS), "reference.shuffled_target") == FAIL
    judged["references"]["shuffled_target"]["mdape"] = 0.107
    assert outcome_of(judge(judged, BETTER, BOUNDS), "reference.shuffled_target") == PASS


@pytest.mark.parametrize(
    ("comparison", "outcome"),
    [
        (Comparison("v1", 400, 0.005, 0.002, 0.0100), PASS),
        (Comparison("v1", 400, 0.009, 0.008, 0.0101), CANNOT_TELL),
        (Comparison("v1", 400, 0.012, 0.009, 0.0150), CANNOT_TELL),
        (Comparison("v1", 400, 0.015, 0.011, 0.0190), FAIL),
        (Comparison("v1", 99, -0.01, -0.012, -0.008), CANNOT_TELL),
        (Comparison("v1", 400), CANNOT_TELL),
        (Comparison("v1", 400, -0.01, -0.012, -0.008, problem="it has no living area"), CANNOT_TELL),
    ],
)
def test_against_the_champion(comparison, outcome):
    verdict = judge(evaluation(), comparison, BOUNDS)
    assert outcome_of(verdict, "champion") == verdict.outcome == outcome
    assert "v1" in verdict.checks[-1].reason


def test_a_failure_outweighs_a_doubt():
    judged = evaluation()
    judged["figures"] |= {"mki": None, "r2": 0.1}
    verdict = judge(judged, BETTER, BOUNDS)
    assert verdict.outcome == FAIL
    assert "0.100" in verdict.reasons[0]


def test_the_comparison_is_the_paired_difference_of_errors():
    prices = np.full(4, 100.0)
    found = compare("v1", prices, np.exp([0.1, 0.1, -0.1, 0.2]) * 100, np.exp([0.2, -0.2, 0.2, 0.4]) * 100)
    error = np.std([-0.1, -0.1, -0.1, -0.2], ddof=1) / 2
    assert (found.n, found.champion) == (4, "v1")
    assert [found.mean, found.low, found.high] == pytest.approx([-0.125, -0.125 - 1.96 * error, -0.125 + 1.96 * error])


@given(st.lists(st.floats(1e3, 1e7), min_size=2, max_size=50))
def test_a_model_is_not_worse_than_itself(values):
    same = compare("v1", np.full(len(values), 5e5), np.array(values), np.array(values))
    assert (same.mean, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1.0])
def test_a_value_that_is_none_spoils_the_comparison(bad):
    prices = np.full(500, 100.0)
    values = np.append(np.full(499, 100.0), bad)
    assert judge(evaluation(), compare("v1", prices, values, prices), BOUNDS).outcome == CANNOT_TELL


def test_a_market_changes_single_bounds():
    bounds = Bounds.from_params(GATE | {"markets": {"town": {"figures": {"mdape": {"at_most": 0.05}}}}}, "town")
    assert bounds.figures == dict(BOUNDS.figures) | {"mdape": (None, 0.05)}
    assert Bounds.from_params(GATE | {"markets": {"city": {"min_rows": 7}}}, "town") == BOUNDS


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("figures", "mdap"), {"at_most": 1}, r"gate.default.figures.mdap: unknown key; .*did you mean 'mdape'\?"),
        (("figures", "mdape"), {}, "gate.default.figures.mdape: bounds nothing; allowed"),
        (("figures", "mdape", "at_most"), math.nan, "gate.default.figures.mdape.at_most: is nan; allowed: a number"),
        (("figures", "r2"), {"at_least": 0.9, "at_most": 0.8}, "at_least 0.9 is above at_most 0.8"),
        (("figures",), {"r2": {"at_least": 0.5}}, "sets no bound for mdape"),
        (("min_rows",), 0, "gate.default.min_rows: is 0; allowed: a whole number of at least 1"),
        (("references",), {"shuffled_target": 0.2}, "names no reference model that a candidate must beat"),
        (("champion",), {"margin": 0.1}, "gate.default.champion: the key 'min_rows' is missing"),
        (("too_good",), "low", "gate.default.too_good: is 'low'; allowed: a number from 0 to 1"),
    ],
)
def test_a_faulty_bound_is_named(path, value, said):
    gate = copy.deepcopy(GATE)
    below = gate["default"]
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = value
    with pytest.raises(DeclarationError, match=said):
        Bounds.from_params(gate, "town")


@pytest.mark.parametrize(
    ("markets", "said"),
    [
        ([], r"gate.markets: is \[\]; it must be a mapping"),
        (None, "gate.markets: is empty"),
        ({"town": []}, "gate.markets.town: must be a mapping with the keys min_rows, "),
        ({"town": None}, "gate.markets.town: must be a mapping with the keys min_rows, "),
        ({"town": {}}, "gate.markets.town: is empty; say what differs from gate.default"),
        ({"town": {"figures": {"mdape": {}}}}, "gate.markets.town.figures.mdape: is empty; say what differs"),
        ({"town": {"figures": {"mdape": None}}}, "gate.markets.town.figures.mdape: is empty; give it a value"),
        ({"town": {"figures": 3}}, "gate.markets.town.figures: must be a mapping"),
        ({"town": {"figures": {"r2": {"at_most": 0.4}}}}, "gate.markets.town.figures.r2: at_least 0.5 is above"),
        ({"town": {"min_row": 7}}, "gate.markets.town.min_row: unknown key; .*did you mean 'min_rows'"),
        ({"city": {"too_good": 7}}, "gate.markets.city.too_good: is 7; allowed: a number from 0 to 1"),
    ],
)
def test_the_entry_of_every_market_is_checked(markets, said):
    with pytest.raises(DeclarationError, match=said):
        Bounds.from_params(GATE | {"markets": markets}, "town")


@pytest.mark.parametrize(
    "gate", [None, [], {}, {"default": {}}, {"default": None}, {"defaults": {}}, {"default": {"min_rows": 5}}]
)
def test_an_empty_gate_is_an_error(gate):
    with pytest.raises(DeclarationError):
        Bounds.from_params(gate, "town")


@pytest.mark.parametrize("market", ["seattle", "any_other"])
def test_the_bounds_of_this_repository_can_be_read(market, tmp_path):
    params = (Path(__file__).parents[1] / "params.yaml").read_text().replace("market: seattle", f"market: {market}")
    (tmp_path / "params.yaml").write_text(params)
    bounds = load_params(tmp_path / "params.yaml").gate
    assert bounds.figures["mdape"][1] == (0.095 if market == "seattle" else 0.2)
