"""The files that the stages before promote leave, for a made-up town, in the current folder."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.behaviour import behaviour, poisoned, some
from models.bundle import write_bundle
from models.churn import churn_figures
from models.evaluation import backtest_figures, evaluation, valued_holdout
from models.files import file_digest, write_json, write_parquet, write_text
from models.fit import Judged, Settings, backtest, fit_valuer, judge_folds
from models.gate.bounds import Bounds
from models.memory import build_memory
from models.references import reference_values
from models.split import Split, Window, before, plan_split, within
from models.training import Learnt, learn, make_fold
from models.valuer import Valuer
from tests.town import SEARCHED, town, town_sales

GATE: dict[str, Any] = {
    "default": {
        "min_rows": 100,
        "figures": {"mdape": {"at_most": 0.1}, "r2": {"at_least": 0.5}},
        "equity": {
            "median_ratio": {"at_least": 0.9, "at_most": 1.1},
            "cod": {"at_most": 15},
            "prb": {"at_least": -0.1, "at_most": 0.1},
        },
        "too_good": 0.02,
        "references": {"last_sale_indexed": 0, "median_per_area": 0, "hedonic": 0, "shuffled_target": 0.25},
        "champion": {"margin": 0.01, "min_rows": 100},
        "segments": {
            "min_rows": 30,
            "mdape": 0.15,
            "median_ratio": {"at_least": 0.9, "at_most": 1.1},
            "coverage_within": 0.15,
            "margin": 0.02,
        },
        "calibration": {"coverage_within": 0.07, "width": 1.5},
        "stability": {"free": 0.05, "rate": 0.1, "most": 0.2},
        "behaviour": {"what_ifs": 1000, "cliff": 0.1, "poisoned": 0.5},
        "cost": {"milliseconds": 5000, "times": 5, "megabytes": 100, "load_seconds": 60},
    },
}
BOUNDS = Bounds.from_params(GATE, "town")
ROOT = Path(__file__).resolve().parent.parent
GOOD, OTHER, BETTER, WORSE = 80, 90, 100, 3  # rounds of boosting
BAGS = 2


@cache
def sales() -> pd.DataFrame:
    return town_sales(4000)


@cache
def split() -> Split:
    return plan_split(sales()["sale_date"], 12, 2, 12)


@cache
def split_sales() -> tuple[pd.DataFrame, pd.DataFrame]:
    return before(sales(), split().train_end), within(sales(), split().holdout)


@cache
def learnt() -> Learnt:
    """Of all sales; what was known of the earlier ones is the same as without the later."""
    return learn(build_memory(sales(), town()))


@cache
def judged(rounds: int) -> list[Judged]:
    return judge_folds([make_fold(learnt(), window) for window in split().folds], settings(rounds))


def settings(rounds: int) -> Settings:
    return Settings(SEARCHED, rounds, BAGS, 7)


@cache
def valuer(rounds: int) -> Valuer:
    known = replace(learnt().rows(None, split().train_end), memory=learnt().memory.before(split().train_end))
    return fit_valuer(known, judged(rounds), settings(rounds), level=0.9, horizon_days=400)


@cache
def references(window: Window) -> dict[str, np.ndarray]:
    return reference_values(learnt(), window, 7)


def lay_line(rounds: int = GOOD) -> str:
    """All of `data/` as the line leaves it for a candidate of so many trees; the bundle's digest."""
    return lay_candidate(valuer(rounds), rounds, asked(rounds))


def lay_candidate(model: Valuer, rounds: int, behaves: dict[str, Any], truth: pd.DataFrame | None = None) -> str:
    """The same for any model, judged on these sales."""
    truth = sales() if truth is None else truth
    train, holdout = before(truth, split().train_end), within(truth, split().holdout)
    write_parquet("data/validated/sales.parquet", truth)
    write_parquet("data/split/holdout.parquet", holdout)
    lay_study(rounds)
    shutil.rmtree("data/model", ignore_errors=True)
    digest = write_bundle("data/model", model)
    live = model.refreshed(truth)
    lay_evaluation(live, digest, valued_holdout(model, live, holdout, train), rounds, behaves)
    write_text("data/reports/validation.html", "<p>All well.</p>")
    passed = file_digest("data/validated/sales.parquet")
    write_json("data/reports/validation.json", {"passed": True, "sales": passed})
    write_text("data/reports/plots/errors.png", "a picture")
    shutil.copy(ROOT / "requirements.lock", "requirements.lock")
    return digest


def lay_evaluation(live: Valuer, digest: str, valued: pd.DataFrame, rounds: int, behaves: dict[str, Any]) -> None:
    """The reports on the hold-out as it was valued."""
    write_parquet("data/reports/holdout.parquet", valued)
    told = backtest(judged(rounds)).merge(split_sales()[0][["sale_id", "price"]], on="sale_id")
    figures = evaluation(live, valued, references(split().holdout), 7) | {
        "backtest": backtest_figures(told, {f"{w.first:%Y-%m}": references(w) for w in split().folds}),
        "churn": churn_figures({"seed": np.array([0.001, 0.002]), "data": np.array([0.002, 0.004])}),
        "behaviour": behaves,
    }
    write_json("data/reports/evaluation.json", {"market": "town", "model": digest, **figures})


@cache
def asked(rounds: int) -> dict[str, Any]:
    """The candidate's behaviour, of few homes and questions."""
    train, holdout = split_sales()
    live, homes = valuer(rounds).refreshed(sales()), some(holdout, 7).head(100)
    poison = poisoned(valuer(rounds), train, settings(rounds), holdout, 7)
    return behaviour(live, homes, 7, what_ifs=1000) | {"poison": poison}


def commit_all() -> None:
    """The project's own files become a commit; what the line makes is not among them, as in the project itself."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
    if not Path(".git").exists():
        write_text(".gitignore", "*\n!params.yaml\n!requirements.lock\n")
        subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "the project"], check=True)


def lay_study(rounds: int = GOOD) -> Path:
    study = Path("data/study")
    trials = pd.DataFrame(
        {
            "number": range(4),
            "state": ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"],
            "value": [0.3, 0.1, np.nan, 0.2],
            "params_num_leaves": [4, 15, 5, 9],
            "fold_2018_01": [0.3, 0.1, 0.9, 0.2],
            "rounds": [20, rounds, np.nan, 30],
        }
    )
    write_parquet(study / "trials.parquet", trials)
    best = {"study": "0123456789abcdef", "trial": 1, "trials": 4, "error": 0.1, "rounds": rounds, "searched": SEARCHED}
    write_json(study / "best.json", best)
    write_text(study / "history.png", "a picture")
    return study
