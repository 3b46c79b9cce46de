"""A study survives kill -9: what is finished is not done again, and the end is the same as without it."""

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from models.files import write_text
from models.memory import build_memory
from models.split import plan_split
from models.training import learn, make_fold
from pipelines.params import Params, SearchRange, ServeParams, SplitParams, TrainParams, TuneParams, ValidateParams
from pipelines.places import TRAIN, WINDOWS
from pipelines.study_plots import draw_study
from pipelines.tune import (
    FINISHED,
    TuneError,
    best_trial,
    error_of_many,
    first_trials,
    fold_error,
    open_study,
    search,
    study_key,
    suggest,
    trial_error,
    trial_table,
)
from tests.line import BOUNDS
from tests.town import town, town_sales

ROOT = Path(__file__).parents[1]
TRIALS = 9


def params(trials: int = TRIALS) -> Params:
    span = {
        "learning_rate": SearchRange(0.02, 0.1, log=True),
        "num_leaves": SearchRange(4, 31, log=True, integer=True),
        "alpha": SearchRange(0.05, 0.5, log=True),
    }
    return Params(
        market="town",
        seed=5,
        validate=ValidateParams(0.1, 0.1, 0.3),
        split=SplitParams(12, 2, 12),
        tune=TuneParams(trials=trials, keep_best=3, max_rounds=200, search=span),
        train=TrainParams(2),
        serve=ServeParams(372, 0.9),
        gate=BOUNDS,
    )


def folds():
    learnt = learn(build_memory(town_sales(3000), town()))
    return [make_fold(learnt, window) for window in plan_split(learnt.memory.sales["sale_date"], 12, 2, 12).folds]


def run_study(journal: Path, trials: int = TRIALS) -> optuna.Study:
    """The study as it is reported."""
    study = open_study(journal)
    search(study, folds(), params(trials))
    return first_trials(study, trials)


def report(study: optuna.Study, folder: Path) -> tuple[str, dict, dict[str, bytes]]:
    """All that the stage tells of a study."""
    draw_study(study, folder)
    plots = {path.name: path.read_bytes() for path in folder.iterdir()}
    return trial_table(study).to_csv(), best_trial(study, "k"), plots


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run_study(tmp_path_factory.mktemp("study") / "whole.journal")


def finished_in(journal: Path) -> int:
    """Trials that the journal says are complete or pruned; a line still being written counts for nothing."""
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    return sum(json.loads(line).get("state") in (1, 2) for line in lines if line.endswith("\n"))


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(uninterrupted, tmp_path):
    journal = tmp_path / "killed.journal"
    code = f"from pathlib import Path; from tests.test_tune import run_study; run_study(Path({str(journal)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while finished_in(journal) < 3:
            assert process.poll() is None, "the study ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    before = open_study(journal).get_trials(states=FINISHED)
    assert 3 <= len(before) < TRIALS
    resumed = run_study(journal)
    kept = [t.datetime_complete for t in resumed.trials]
    assert kept[: len(before)] == [t.datetime_complete for t in before], "a finished trial was done again"
    told = report(resumed, tmp_path / "resumed")
    assert "history.png" in told[2]
    assert told == report(uninterrupted, tmp_path / "uninterrupted")


def test_a_larger_budget_continues_the_same_study(uninterrupted, tmp_path):
    journal = tmp_path / "grown.journal"
    run_study(journal, trials=4)
    grown = run_study(journal)
    assert trial_table(grown).equals(trial_table(uninterrupted))


def test_a_smaller_budget_after_a_larger_one_tells_what_a_fresh_run_does(uninterrupted, tmp_path):
    fresh = run_study(tmp_path / "fresh.journal", trials=5)
    assert report(first_trials(uninterrupted, 5), tmp_path / "fewer") == report(fresh, tmp_path / "fresh")


def test_trials_without_an_error_end_the_search(tmp_path, monkeypatch):
    def no_error(trial, folds, params):
        suggest(trial, params.tune.search)
        return math.nan

    monkeypatch.setattr("pipelines.tune.error_over_folds", no_error)
    study = open_study(tmp_path / "nan.journal")
    with pytest.raises(TuneError, match=r"3 trials in a row .*num_leaves \d+.*narrow tune.search"):
        search(study, [], params())
    assert len(study.trials) == 3


def test_a_study_with_no_complete_trial_tells_nothing(tmp_path):
    study = open_study(tmp_path / "empty.journal")
    with pytest.raises(TuneError, match=r"none of 0 trials is complete"):
        first_trials(study, 5)


def test_a_study_is_known_by_what_decides_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(TRAIN, "sales")
    write_text(WINDOWS, "windows")
    key = study_key(params(), town())
    assert study_key(params(trials=5), town()) == key
    assert study_key(replace(params(), seed=6), town()) != key
    assert study_key(params(), replace(town(), price_minimum=1)) != key
    write_text(TRAIN, "other sales")
    assert study_key(params(), town()) != key


def test_sums_are_added_up_in_one_order_whatever_the_environment_says():
    code = "import os, pipelines; print(os.environ['OPENBLAS_NUM_THREADS'])"
    env = os.environ | {"OPENBLAS_NUM_THREADS": "8"}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"


def test_poor_trials_are_pruned_and_still_in_the_table(uninterrupted):
    table = trial_table(uninterrupted)
    assert len(table) == TRIALS
    assert set(table["state"]) == {"COMPLETE", "PRUNED"}
    assert table.loc[table["state"] == "PRUNED", "value"].isna().all()


@pytest.mark.parametrize("count", [2, 4])
def test_the_error_of_a_large_bag_is_told_from_a_few_of_its_forests(count):
    """Forests that err apart: the mean of a few errs more than that of many, and one alone most of all."""
    draw = np.random.default_rng(count)
    log_prices = draw.normal(13, 0.5, 40_000)
    forests = log_prices + draw.normal(0, 0.15, 40_000) + draw.normal(0, 0.06, (100, 40_000))
    many, few = fold_error(forests.mean(axis=0), log_prices), fold_error(forests[:count].mean(axis=0), log_prices)
    told = error_of_many(forests[:count], log_prices)
    assert few > many + 0.002
    assert abs(told - many) < (few - many) / 4


def test_between_two_trials_as_accurate_the_steadier_wins_and_stale_evidence_counts():
    draw = np.random.default_rng(3)
    log_prices = draw.normal(13, 0.5, 20_000)
    close, far = (log_prices + draw.normal(0, 0.15, 20_000) + draw.normal(0, s, (2, 20_000)) for s in (0.01, 0.05))
    assert trial_error(close, close, log_prices) < trial_error(far, close, log_prices)
    worse = close + draw.normal(0, 0.1, 20_000)
    assert trial_error(close, close, log_prices) < trial_error(close, worse, log_prices)
    assert trial_error(close, worse, log_prices) < trial_error(worse, close, log_prices)  # fresh counts more
