"""params.yaml is read strictly: what would be ignored elsewhere is answered with its line here."""

import re
from pathlib import Path

import pytest

from models.forest import FIXED
from models.searchable import SEARCHABLE
from pipelines.params import ParamsError, SearchRange, load_params

ROOT = Path(__file__).parents[1]
PARAMS = """\
market: town
seed: 1
validate: {max_set_aside_share: 0.05, max_row_drop_share: 0.1, max_shift: 0.25}
split: {holdout_months: 12, fold_count: 3, fold_months: 12}
tune:
  trials: 5
  keep_best: 2
  max_rounds: 100
  search:
    num_leaves: {low: 8, high: 64, log: true, integer: true}
    lambda_l2: {low: 0, high: 9.5}
train: {bags: 3}
serve: {horizon_days: 372, level: 0.9}
gate:
  default:
    min_rows: 30
    figures: {mdape: {at_most: 0.2}}
    too_good: 0.02
    references: {hedonic: 0, shuffled_target: 0.25}
    champion: {margin: 0.002, min_rows: 100}
    equity: {median_ratio: {at_least: 0.9, at_most: 1.1}}
    segments: {min_rows: 50, mdape: 0.3, median_ratio: {at_least: 0.9, at_most: 1.1}, coverage_within: 0.1, margin: 0.1}
    calibration: {coverage_within: 0.07, width: 1.2}
    stability: {free: 0.01, rate: 0.1, most: 0.1}
    behaviour: {what_ifs: 1000, cliff: 0.1, poisoned: 0.1}
    cost: {milliseconds: 100, times: 2, megabytes: 100, load_seconds: 9}
  markets:
    town: {min_rows: 40}
"""
SEARCH = PARAMS[PARAMS.index("search:") : PARAMS.index("\ntrain:")]
GATE = PARAMS[PARAMS.index("gate:") :]


@pytest.fixture(autouse=True)
def declared(tmp_path, monkeypatch):
    """A project folder with two declared markets; that they are is all that params ask of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/markets").mkdir(parents=True)
    for market in ("town", "city"):
        (tmp_path / f"data/markets/{market}.yaml").touch()


def test_every_value_is_typed(tmp_path):
    params = _load(tmp_path, PARAMS)
    assert params.market_file == Path("data/markets/town.yaml")
    assert (params.split.fold_count, params.validate.max_shift, params.serve.level) == (3, 0.25, 0.9)
    assert params.tune.search == {
        "num_leaves": SearchRange(8, 64, log=True, integer=True),
        "lambda_l2": SearchRange(0.0, 9.5),
    }
    assert (params.gate.min_rows, params.gate.figures) == (40, {"mdape": (None, 0.2)})


def test_the_projects_own_file_is_allowed(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert load_params().market_file.is_file()


def test_what_may_be_searched_overrides_nothing_that_is_fixed():
    assert not {*SEARCHABLE} & {*FIXED, "seed", "monotone_constraints"}


@pytest.mark.parametrize(
    ("right", "wrong", "answer"),
    [
        ("seed: 1", "sed: 1", ":2: sed: unknown key; allowed: market, seed, .*; did you mean 'seed'"),
        ("seed: 1\n", "", ":1: the key 'seed' is missing"),
        ("seed: 1", "seed: 1.5", ":2: seed: is 1.5; allowed: a whole number from 0 to 2147483647"),
        ("seed: 1", "seed: true", ":2: seed: is True; allowed: a whole number"),
        ("max_shift: 0.25", "max_shift: -1", ":3: validate.max_shift: is -1; allowed: a number from 0 to 1"),
        ("fold_count: 3", "fold_count: 0", ":4: split.fold_count: is 0; allowed: a whole number of at least 1"),
        ("trials: 5", "trials: many", ":6: tune.trials: is 'many'; allowed: a whole number"),
        ("high: 64", "high: 64.5", ":10: tune.search.num_leaves.high: is 64.5; allowed: a whole number"),
        ("high: 64", "high: 8", ":10: tune.search.num_leaves.high: is 8; allowed: a number above low"),
        ("low: 0, high", "low: 0, log: true, high", ":11: tune.search.lambda_l2.low: is 0; allowed: a number above 0"),
        ("low: 0, high", "lo: 0, high", ":11: tune.search.lambda_l2.lo: unknown key; .*did you mean 'low'"),
        ("level: 0.9", "level: 90", ":13: serve.level: is 90; allowed: a number from 0.5 to 0.99"),
        ("bags: 3", "bags: 0", ":12: train.bags: is 0; allowed: a whole number from 1 to 100"),
        (SEARCH, "search: {}", ":9: tune.search: names no LightGBM parameter"),
        (SEARCH, "search: [num_leaves]", ":9: tune.search: must be a mapping with the keys alpha, learning_rate, "),
        ("lambda_l2: {", "lamda_l2: {", ":11: tune.search.lamda_l2: unknown key; .*did you mean 'lambda_l2'"),
        ("lambda_l2: {", "reg_lambda: {", ":11: tune.search.reg_lambda: unknown key; allowed: alpha, learning_rate, "),
        ("lambda_l2: {", "num_threads: {", ":11: tune.search.num_threads: unknown key"),
        ("9.5}", "9, integer: true}", ":11: tune.search.lambda_l2.integer: lambda_l2 takes any number"),
        (", integer: true", "", ":10: tune.search.num_leaves: num_leaves takes whole numbers alone; set integer: true"),
        ("integer: true", "integer: false", ":10: tune.search.num_leaves.integer: num_leaves takes whole numbers"),
        ("num_leaves: {low: 8, high: 64, log: true, integer: true}", "num_leaves: 8", ":10: .*must be a mapping"),
        ("horizon_days: 372", "horizon_days: 371", ":13: serve.horizon_days: is 371; allowed: .* at least 372, "),
        (GATE, "gate: 3", ":14: gate: must be a mapping"),
        (GATE, "gate:", ":14: gate: is empty"),
        ("rate: 0.1", "rate: 0", ":24: gate.default.stability.rate: is 0, which nothing could pass"),
        ("margin: 0.002", "margin: 2", ":20: gate.default.champion.margin: is 2; allowed: a number from 0 to 1"),
        ("town: {min_rows: 40}", "town: []", ":28: gate.markets.town: must be a mapping"),
        ("town: {min_rows: 40}", "city: {min_rows: no}", ":28: gate.markets.city.min_rows: is 'no'; allowed"),
        ("town: {min_rows", "toun: {min_rows", ":28: gate.markets.toun: unknown key; .*did you mean 'town'"),
        ("seed: 1\n", "seed: 1\nseed: 2\n", ":3: seed: the key is given twice, first in line 2"),
    ],
)
def test_a_fault_is_answered_with_its_line(tmp_path, right, wrong, answer):
    assert right in PARAMS
    with pytest.raises(ParamsError, match=re.escape(str(tmp_path / "params.yaml")) + answer):
        _load(tmp_path, PARAMS.replace(right, wrong, 1))


def test_an_absent_file_is_a_fault(tmp_path):
    with pytest.raises(ParamsError, match=r"params.yaml: can't be read"):
        load_params(tmp_path / "params.yaml")


def _load(folder, text):
    path = folder / "params.yaml"
    path.write_text(text)
    return load_params(path)
