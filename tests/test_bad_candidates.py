"""A battery of bad candidates: each is refused, for its own reason and no other kind; a good one passes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.bundle import BundleError, read_bundle
from models.files import read_json, write_bytes, write_json, write_text
from models.fit import fit_valuer, judge_folds
from models.forest import Bag
from models.gate.bounds import Bounds
from models.memory import build_memory
from models.split import before
from models.training import learn, make_fold
from models.valuer import Valuer
from pipelines.decision import Decision
from tests.line import (
    GATE,
    GOOD,
    OTHER,
    asked,
    lay_candidate,
    lay_evaluation,
    lay_line,
    sales,
    settings,
    split,
)
from tests.promotion import agree, run

EVALUATION = "data/reports/evaluation.json"
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def champion(line: str) -> str:
    """A good candidate passed and serves; another good one, which would pass too, is laid to be spoilt."""
    decision = run()
    assert decision.what == "promoted"
    assert {check["outcome"] for check in decision.card["verdict"]["checks"]} == {"pass"}
    lay_line(OTHER)
    return line


def refused_for(decision: Decision, *about: str) -> list[str]:
    """The reasons, where they are about these things alone."""
    checks = [check for check in decision.card["verdict"]["checks"] if check["outcome"] != "pass"]
    assert decision.what == "refused"
    assert {check["about"] for check in checks} == set(about)
    return [check["reason"] for check in checks]


def trained(truth: pd.DataFrame) -> Valuer:
    """A model of the same making, taught by these sales instead."""
    learnt = learn(build_memory(before(truth, split().train_end), sales_market()))
    judged = judge_folds([make_fold(learnt, window) for window in split().folds], settings(GOOD))
    return fit_valuer(learnt, judged, settings(GOOD), level=0.9, horizon_days=400)


def sales_market() -> Any:
    return read_bundle("data/model")[0].market


def respoken(change: Change) -> None:
    """The candidate says something else of the hold-out, and is judged by that."""
    valuer, digest = read_bundle("data/model")
    valued = change(pd.read_parquet("data/reports/holdout.parquet"))
    lay_evaluation(valuer.refreshed(sales()), digest, valued, OTHER, asked(OTHER))


def told_otherwise(**figures: Any) -> None:
    told = read_json(EVALUATION)
    told["figures"] |= figures
    write_bytes(EVALUATION, json.dumps(told).encode())


def test_a_good_one_takes_over(champion):
    decision = run()
    assert decision.what == "promoted"
    assert decision.card["verdict"]["reasons"] == []


def test_one_that_is_worse_overall(champion):
    respoken(lambda told: told.assign(value=told["value"] * np.where(np.arange(len(told)) % 2, 1.05, 1 / 1.05)))
    reasons = refused_for(run(), "champion")
    assert "points higher than v1's" in reasons[0]


def test_one_that_is_better_overall_and_bad_in_one_segment(champion):
    def change(told: pd.DataFrame) -> pd.DataFrame:
        annexed = np.arange(len(told)) % 13 == 0
        value = np.where(annexed, told["value"] * 1.25, np.sqrt(told["value"] * told["price"])).round()
        where = np.where(annexed, "annexed", told["segment.neighbourhood"])
        return told.assign(**{"value": value, "segment.neighbourhood": where})

    respoken(change)
    decision = run()
    reasons = refused_for(decision, "segments")
    assert "neighbourhood annexed: " in reasons[0]
    assert decision.card["verdict"]["champion"]["comparison"]["high"] < 0


@pytest.mark.parametrize("figure", [math.nan, None])
def test_one_with_a_figure_that_is_no_number(champion, figure):
    told_otherwise(mdape=figure)
    reasons = refused_for(run(), "accuracy", "sanity", "references")
    assert any("No usable figure for mdape" in reason for reason in reasons)


def test_one_with_a_figure_missing(champion):
    told = read_json(EVALUATION)
    del told["figures"]["prb"]
    write_json(EVALUATION, told)
    reasons = refused_for(run(), "accuracy", "equity")
    assert "No usable figure for prb" in reasons[0]


def test_one_with_an_empty_holdout(champion):
    for path in ("data/split/holdout.parquet", "data/reports/holdout.parquet"):
        pd.read_parquet(path).head(0).to_parquet(path)
    told = read_json(EVALUATION)
    nothing = dict.fromkeys(told["figures"]) | {"n": 0}
    told |= {"figures": nothing, "intervals": {}, "holdout": {"rows": 0, "first": None, "last": None}}
    told["references"] = dict.fromkeys(told["references"], nothing)
    told["ranges"] = {level: {"level": float(level), "coverage": None} for level in told["ranges"]}
    write_json(EVALUATION, told | {"range": {"level": 0.9, "coverage": None, "median_width": None}})
    decision = run()
    assert decision.what == "refused"
    assert decision.card["verdict"]["outcome"] == "cannot tell"
    assert any("only 0 hold-out sales" in reason for reason in decision.card["verdict"]["reasons"])


def test_one_with_narrow_ranges(champion):
    def change(told: pd.DataFrame) -> pd.DataFrame:
        ends = [name for name in map(str, told) if name.startswith(("low_", "high_"))]
        return told.assign(**{name: told["value"] + 0.6 * (told[name] - told["value"]) for name in ends})

    respoken(change)
    reasons = refused_for(run(), "calibration", "segments")
    assert any("of the prices lie inside the 90 % range" in reason for reason in reasons)


def test_one_taught_the_prices_of_other_homes(champion):
    truth = sales().copy()
    known = (truth["sale_date"] < split().train_end).to_numpy()
    shuffled = np.random.default_rng(1).permutation(truth.loc[known, "price"].to_numpy())
    truth.loc[known, "price"] = shuffled
    lay_candidate(trained(truth), GOOD, asked(GOOD))
    decision = run()
    assert decision.what == "refused"
    reasons = decision.card["verdict"]["reasons"]
    assert any("it must be lower than the shuffled target model's" in reason for reason in reasons)


def test_one_that_knows_the_future(champion):
    """A fact that is written after the sale, from its price, is a leak that looks like a triumph."""
    draw = np.random.default_rng(1)
    leaked = sales().assign(noise=lambda told: -np.log(told["price"]) * 100 + draw.normal(0, 0.3, len(told)))
    lay_candidate(trained(leaked), GOOD, asked(GOOD), leaked)
    decision = run()
    assert decision.what == "refused"
    assert any("too good to be true" in reason for reason in decision.card["verdict"]["reasons"])


def test_one_that_moves_values_for_nothing(champion):
    tight = Bounds.from_params(GATE | {"markets": {"town": {"stability": {"free": 0.0005, "most": 0.001}}}}, "town")
    reasons = refused_for(run(bounds=tight), "stability")
    assert "is free, and 0.00 points less error beyond chance pay for 0.00 % more" in reasons[0]


def test_one_that_is_slow(champion):
    valuer, _ = read_bundle("data/model")
    slow = Bag(valuer.bag.forests * 60, valuer.bag.reach)
    lay_slow = replace(valuer, bag=slow, leaves=np.tile(valuer.leaves, (60, 1)))
    lay_candidate(lay_slow, OTHER, asked(OTHER))
    reasons = refused_for(run(), "cost")
    assert "One home valued, against v1 in the same run" in reasons[0]


def test_one_that_was_tampered_with(champion):
    path = Path("data/model/forest_00.txt")
    path.write_bytes(path.read_bytes().replace(b"leaf_value=", b"leaf_value=9", 1))
    with pytest.raises(BundleError, match=r"forest_00\.txt has digest .* it was damaged or altered"):
        run()
    assert agree(champion) == "1"


def test_one_of_sales_that_were_never_validated(champion):
    write_json("data/reports/validation.json", {"passed": True, "sales": "0" * 64})
    reasons = refused_for(run(), "provenance")
    assert "are not those that passed validation" in reasons[0]


def test_one_of_code_that_is_no_commit(champion):
    write_text("params.yaml", Path("params.yaml").read_text() + "# tried\n")
    reasons = refused_for(run(), "provenance")
    assert "differs from commit" in reasons[0]
    assert "in params.yaml: commit it, then run `dvc repro`" in reasons[0]


def test_one_of_other_libraries(champion):
    lock = Path("requirements.lock")
    write_text(lock, lock.read_text().replace("lightgbm==", "lightgbm==0."))
    reasons = refused_for(run(), "provenance")
    assert any("Libraries differ from requirements.lock: lightgbm" in reason for reason in reasons)


def test_one_whose_study_says_otherwise(champion):
    best = read_json("data/study/best.json")
    write_json("data/study/best.json", best | {"trial": 3})
    reasons = refused_for(run(), "provenance")
    assert "Trial 3, whose parameters it has, is not the best of the study" in reasons[0]


def test_one_that_values_twins_differently_falls_off_a_step_or_is_misled(champion):
    for part, key, figure in (
        ("twins", "differing", 2),
        ("cliff", "largest", 0.4),
        ("poison", "largest", 0.9),
        ("what_ifs", "wrong", 3),
    ):
        lay_line(OTHER)
        told = read_json(EVALUATION)
        told["behaviour"][part][key] = figure
        write_json(EVALUATION, told)
        assert len(refused_for(run(), "behaviour")) == 1
    assert agree(champion) == "1"
