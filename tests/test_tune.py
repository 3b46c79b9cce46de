"""A study survives kill -9: what is finished is not done again, and the end is the same as without it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from models.split import plan_split
from models.training import make_fold
from pipelines.params import Params, SearchRange, ServeParams, SplitParams, TuneParams, ValidateParams
from pipelines.tune import FINISHED, best_trial, open_study, search, trial_table
from tests.town import town, town_sales

ROOT = Path(__file__).parents[1]
TRIALS = 9


def params(trials: int = TRIALS) -> Params:
    span = {
        "learning_rate": SearchRange(0.02, 0.1, log=True),
        "num_leaves": SearchRange(4, 31, log=True, integer=True),
        "lambda_l2": SearchRange(0.1, 10, log=True),
    }
    return Params(
        market="town",
        seed=5,
        validate=ValidateParams(0.1, 0.1, 0.3),
        split=SplitParams(12, 2, 12),
        tune=TuneParams(trials=trials, keep_best=3, max_rounds=400, patience=30, search=span),
        serve=ServeParams(365, 0.9),
        gate={},
    )


def folds():
    sales = town_sales(6000)
    return [make_fold(sales, window, town()) for window in plan_split(sales["sale_date"], 12, 2, 12).folds]


def run_study(journal: Path, trials: int = TRIALS) -> optuna.Study:
    study = open_study(journal)
    search(study, folds(), params(trials))
    return study


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
    kept = {t.number: t.datetime_complete for t in resumed.trials}
    assert all(kept[t.number] == t.datetime_complete for t in before), "a finished trial was done again"
    assert trial_table(resumed).equals(trial_table(uninterrupted))
    assert best_trial(resumed, "k") == best_trial(uninterrupted, "k")


def test_a_larger_budget_continues_the_same_study(uninterrupted, tmp_path):
    journal = tmp_path / "grown.journal"
    run_study(journal, trials=4)
    grown = run_study(journal)
    assert trial_table(grown).equals(trial_table(uninterrupted))


def test_poor_trials_are_pruned_and_still_in_the_table(uninterrupted):
    table = trial_table(uninterrupted)
    assert len(table) == TRIALS
    assert set(table["state"]) == {"COMPLETE", "PRUNED"}
    assert table.loc[table["state"] == "PRUNED", "value"].isna().all()
