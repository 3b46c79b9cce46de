"""The gate fails closed, and says why in words."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from models.declaration import DeclarationError
from models.gate.bounds import Bounds
from models.gate.champion import Comparison
from models.gate.check import CANNOT_TELL, FAIL, PASS, Verdict
from models.gate.judge import judge
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
    "vei": -1.0,
}
REFERENCES = {"last_sale_indexed": 0.12, "median_per_area": 0.18, "hedonic": 0.1, "shuffled_target": 0.4}
BETTER = Comparison("v1", 400, -0.01, -0.012, -0.008, width=1.0, moved=0.01, moved_most=0.03)
COST = {"milliseconds": 10.0, "times": 1.0, "megabytes": 20.0, "load_seconds": 1.0}
NO_NUMBERS: list[Any] = [None, math.nan, math.inf, -math.inf, "0.08", True, [], {}]


def evaluation() -> dict[str, Any]:
    return {
        "figures": dict(FINE),
        "intervals": {name: [0.98 * FINE[name], 1.02 * FINE[name]] for name in FIGURES[1:]},
        "range": {"level": 0.9, "coverage": 0.9, "median_width": 0.4},
        "ranges": {"0.8": {"level": 0.8, "coverage": 0.8, "median_width": 0.3}},
        "references": {name: FINE | {"mdape": mdape} for name, mdape in REFERENCES.items()},
        "behaviour": {
            "what_ifs": {"directed": 4, "asked": 2000, "wrong": 0, "largest": 0.0},
            "cliff": {"asked": 100, "largest": 0.02},
            "twins": {"asked": 200, "differing": 0},
            "poison": {"asked": 700, "largest": 0.004},
        },
    }


def verdict_on(
    told: dict[str, Any] | None = None, comparison: Comparison | None = BETTER, cost: dict[str, Any] | None = None
) -> Verdict:
    return judge(told or evaluation(), comparison, COST if cost is None else cost, (), BOUNDS)


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The evaluation with one thing in it changed."""
    told = below = evaluation()
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = to
    return told


def outcome_of(verdict: Verdict, name: str) -> str:
    return next(c.outcome for c in verdict.checks if c.name == name)


@pytest.mark.parametrize("comparison", [None, Comparison("v1", outdated=True), BETTER])
def test_a_good_candidate_passes_every_check(comparison):
    verdict = verdict_on(comparison=comparison)
    assert verdict.reasons == ()
    assert verdict.outcome == PASS
    about = {"accuracy", "sanity", "references", "equity", "calibration", "behaviour", "champion", "stability", "cost"}
    assert {c.about for c in verdict.checks} == about


def test_nothing_checked_is_no_pass():
    assert Verdict(()).outcome == CANNOT_TELL
    assert Verdict(()).reasons == ("Nothing was checked.",)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_no_figure_may_be_missing_or_anything_but_a_finite_number(name, bad):
    judged = changed("figures", name, to=bad)
    assert verdict_on(judged).outcome == CANNOT_TELL
    del judged["figures"][name]
    verdict = verdict_on(judged)
    assert verdict.outcome == CANNOT_TELL
    assert any(name in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    "gone",
    ["figures", "intervals", "range", "ranges", "references", "behaviour"],
)
@pytest.mark.parametrize("left", [None, {}, [], "all fine", math.nan])
def test_no_part_of_the_evaluation_may_be_missing(gone, left):
    assert verdict_on(evaluation() | {gone: left}).outcome == CANNOT_TELL
    assert verdict_on({k: v for k, v in evaluation().items() if k != gone}).outcome == CANNOT_TELL


@pytest.mark.parametrize("part", ["what_ifs", "cliff", "twins", "poison"])
@pytest.mark.parametrize("left", [None, {}, [], "all fine", math.nan])
def test_no_question_may_be_left_out(part, left):
    assert verdict_on(changed("behaviour", part, to=left)).outcome == CANNOT_TELL


@pytest.mark.parametrize("name", COST)
@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_no_cost_may_be_unknown(name, bad):
    assert verdict_on(cost=COST | {name: bad}).outcome == CANNOT_TELL


@pytest.mark.parametrize(("n", "outcome"), [(0, CANNOT_TELL), (99, CANNOT_TELL), (100, PASS)])
def test_too_few_sales_can_not_tell(n, outcome):
    judged = evaluation()
    for row in (judged["figures"], *judged["references"].values()):
        row["n"] = n
    verdict = verdict_on(judged)
    assert outcome_of(verdict, "rows") == outcome
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("name", "figure", "said"),
    [
        ("mdape", 0.1001, "10.01 %, above what is allowed: at most 10.00 %"),
        ("r2", 0.4, "0.400, below what is allowed: at least 0.500"),
    ],
)
def test_a_figure_out_of_bounds_fails_with_figure_and_bound(name, figure, said):
    verdict = verdict_on(changed("figures", name, to=figure))
    assert verdict.outcome == FAIL
    assert outcome_of(verdict, name) == FAIL
    assert said in verdict.reasons[0]


@pytest.mark.parametrize(
    ("name", "figure", "interval", "outcome"),
    [
        ("median_ratio", 0.88, [0.86, 0.899], FAIL),
        ("median_ratio", 0.89, [0.88, 0.901], PASS),
        ("median_ratio", 1.12, [1.101, 1.14], FAIL),
        ("median_ratio", 1.0, [0.89, 1.1], CANNOT_TELL),
        ("median_ratio", 1.0, [None, 1.1], CANNOT_TELL),
        ("median_ratio", 1.0, None, CANNOT_TELL),
        ("median_ratio", 1.0, ["0.99", 1.01], CANNOT_TELL),
        ("cod", 15.5, [14.9, 16.0], PASS),
        ("cod", 15.5, [15.1, 16.0], FAIL),
        ("cod", 10.0, [2.0, 18.0], CANNOT_TELL),
        ("prb", -0.2, [-0.3, -0.11], FAIL),
        ("prb", -0.09, [-0.12, -0.06], PASS),
    ],
)
def test_equity_is_decided_by_the_interval(name, figure, interval, outcome):
    judged = changed("figures", name, to=figure)
    judged["intervals"][name] = interval
    assert outcome_of(verdict_on(judged), name) == outcome


def test_too_good_to_be_true_is_refused():
    verdict = verdict_on(changed("figures", "mdape", to=0.019))
    assert outcome_of(verdict, "mdape") == PASS
    assert outcome_of(verdict, "too_good") == verdict.outcome == FAIL
    assert "too good to be true" in verdict.reasons[0]


@pytest.mark.parametrize(("coverage", "outcome"), [(0.82, FAIL), (0.84, PASS), (0.96, PASS), (0.98, FAIL)])
def test_the_range_must_hold_what_it_says(coverage, outcome):
    assert verdict_on(changed("range", "coverage", to=coverage)).outcome == outcome


@pytest.mark.parametrize(("coverage", "outcome"), [(0.72, FAIL), (0.74, PASS), (0.86, PASS), (0.88, FAIL)])
def test_so_must_the_narrower_one(coverage, outcome):
    assert verdict_on(changed("ranges", "0.8", "coverage", to=coverage)).outcome == outcome


@pytest.mark.parametrize("name", REFERENCES)
def test_each_reference_must_be_beaten_on_the_same_sales(name):
    judged = evaluation()
    judged["references"][name]["mdape"] = FINE["mdape"]
    assert outcome_of(verdict_on(judged), f"reference.{name}") == FAIL
    judged["references"][name] = FINE | {"mdape": 0.5, "n": 499}
    assert outcome_of(verdict_on(judged), f"reference.{name}") == CANNOT_TELL
    del judged["references"][name]
    assert outcome_of(verdict_on(judged), f"reference.{name}") == CANNOT_TELL


def test_the_floor_must_be_beaten_clearly():
    judged = changed("references", "shuffled_target", "mdape", to=0.105)
    assert outcome_of(verdict_on(judged), "reference.shuffled_target") == FAIL
    judged = changed("references", "shuffled_target", "mdape", to=0.107)
    assert outcome_of(verdict_on(judged), "reference.shuffled_target") == PASS


@pytest.mark.parametrize(
    ("path", "to", "name", "outcome", "said"),
    [
        (("what_ifs", "wrong"), 1, "directions", FAIL, "1 times the value went against its direction"),
        (("what_ifs", "asked"), 999, "directions", CANNOT_TELL, "Only 999 what-ifs were asked"),
        (("what_ifs", "directed"), 0, "directions", PASS, "declares no fact with a direction"),
        (("cliff", "largest"), 0.11, "cliff", FAIL, "11.00 %; allowed: at most 10.00 %"),
        (("cliff", "largest"), math.nan, "cliff", CANNOT_TELL, "could not be measured"),
        (("twins", "differing"), 1, "twins", FAIL, "1; allowed: at most 0"),
        (("poison", "largest"), 0.51, "poison", FAIL, "51.00 %; allowed: at most 50.00 %"),
    ],
)
def test_behaviour_is_counted_and_bounded(path, to, name, outcome, said):
    check = next(c for c in verdict_on(changed("behaviour", *path, to=to)).checks if c.name == name)
    assert check.outcome == outcome
    assert said in check.reason


@pytest.mark.parametrize(
    ("name", "figure", "check"),
    [
        ("milliseconds", 5001, "milliseconds"),
        ("times", 5.1, "slower"),
        ("megabytes", 101, "megabytes"),
        ("load_seconds", 61, "load_seconds"),
    ],
)
def test_a_model_may_not_cost_too_much(name, figure, check):
    verdict = verdict_on(cost=COST | {name: figure})
    assert outcome_of(verdict, check) == verdict.outcome == FAIL


def test_a_failure_outweighs_a_doubt():
    judged = changed("figures", "mki", to=None)
    judged["figures"]["r2"] = 0.1
    verdict = verdict_on(judged)
    assert verdict.outcome == FAIL
    assert "0.100" in verdict.reasons[0]


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
        (("equity",), {"cod": {"at_most": 15}}, "sets no bound for median_ratio"),
        (("figures", "cod"), {"at_most": 15}, r"gate.default.figures.cod: unknown key"),
        (("segments", "median_ratio"), {"at_least": 0.9}, "needs both at_least and at_most"),
        (("segments", "min_rows"), 1, "is 1; allowed: a whole number of at least 10"),
        (("stability", "rate"), 0, "gate.default.stability.rate: is 0, which nothing could pass"),
        (("stability", "rat"), 1, r"gate.default.stability.rat: unknown key; .*did you mean 'rate'"),
        (("behaviour", "what_ifs"), 0.5, "gate.default.behaviour.what_ifs: is 0.5"),
        (("cost", "times"), -1, "gate.default.cost.times: is -1; allowed"),
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
