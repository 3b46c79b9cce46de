"""tune: Optuna looks for the forest's parameters over rolling-origin folds.

A study survives its process: each trial is in a journal under `.assay/studies/`, keyed by all that
decides its outcome, and a later run takes up where the last one stopped. Each trial's sampler is
seeded by the number of finished trials, so that a study stopped and resumed ends as one that was not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from models.fault import Fault
from models.files import digest, file_digest, read_json, write_json, write_parquet
from models.forest import spread_about_median
from models.market import Market
from models.ratio_study import study
from models.split import Split
from models.training import STALE_SHARE, Fold, make_fold
from pipelines import tracking
from pipelines.market_file import load_market
from pipelines.params import Params, load_params
from pipelines.past import learn_from
from pipelines.places import BEST, STATE, STUDY, TRAIN, TRIALS, WINDOWS
from pipelines.stage import run
from pipelines.study_plots import draw_study

JOURNALS = STATE / "studies"
WARM_UP = 5  # trials before any is pruned
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
FORESTS = 3  # of a trial: what they lose to each other tells what many would gain
ROUNDS = 50  # boosting rounds between two looks at the error
FAILURES = 3  # in a row, after which the search gives up
#: What a PRB of 1 costs in log price. Forests of little regularisation buy the last hundredth of accuracy with it.
UNEVEN = 0.05
#: What a distance of 1 between two forests of a trial costs: forests that follow every sale move with the next ones.
UNSTEADY = 0.05


class TuneError(Fault):
    """The search found nothing to train with; the text says what was tried and what to do."""


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    windows = Split.from_dict(read_json(WINDOWS)).folds
    learnt = learn_from(pd.read_parquet(TRAIN), market, "tune")
    folds = [make_fold(learnt, window) for window in windows]
    key = study_key(params, market)
    found = open_study(JOURNALS / f"{key}.journal")
    search(found, folds, params)
    told = first_trials(found, params.tune.trials)
    write_parquet(TRIALS, trial_table(told))
    write_json(BEST, best_trial(told, key))
    draw_study(told, STUDY)
    tracking.record_study(params.market, params.tune.keep_best)
    best = told.best_trial
    print(f"best trial {best.number}: error {best.value:.5f} in log price, {best.user_attrs['rounds']} trees")


def study_key(params: Params, market: Market) -> str:
    """What a trial's outcome hangs on: data, search, code and the libraries that decide."""
    code = {name: module.__file__ for name, module in sys.modules.items() if name.startswith("models.")}
    code["pipelines.tune"] = __file__
    said = json.dumps(
        {
            "data": [file_digest(TRAIN), file_digest(WINDOWS)],
            "market": market.to_dict(),
            "search": {name: vars(span) for name, span in params.tune.search.items()},
            "rounds": params.tune.max_rounds,
            "seed": params.seed,
            "code": {name: file_digest(path) for name, path in code.items() if path},
            "libraries": [version(name) for name in ("lightgbm", "numpy", "optuna", "scipy")],
        },
        sort_keys=True,
    )
    return digest(said.encode())[:16]


def open_study(journal: Path) -> optuna.Study:
    """The study in that journal, new or old; a trial that a killed run left open is closed as failed."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="forest",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP),
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def search(study: optuna.Study, folds: list[Fold], params: Params) -> None:
    """Adds trials until as many have finished as params ask for.

    Raises:
        TuneError: after three trials in a row whose error is no number.
    """
    objective = partial(error_over_folds, folds=folds, params=params)
    done, failed = _finished(study), 0
    with tqdm(total=params.tune.trials, initial=min(done, params.tune.trials), desc="tune", unit="trial") as bar:
        while done < params.tune.trials:
            study.sampler = optuna.samplers.TPESampler(seed=params.seed + done)
            study.optimize(objective, n_trials=1)
            if _finished(study) == done:
                failed += 1
                if failed == FAILURES:
                    raise TuneError(_why_none(study))
                continue
            done, failed = done + 1, 0
            bar.set_postfix(best=f"{study.best_value:.5f}", refresh=False)
            bar.update()


def error_over_folds(trial: Trial, folds: list[Fold], params: Params) -> float:
    """Mean error of the folds (`trial_error`) at the number of rounds that makes it least.

    The latest fold comes first: it tells most about the hold-out.
    """
    searched = suggest(trial, params.tune.search)
    errors: list[dict[int, float]] = []
    for step, fold in enumerate(reversed(folds)):
        fresh, stale = fold.log_values(searched, params.tune.max_rounds, ROUNDS, FORESTS, params.seed)
        errors.append({r: trial_error(fresh[r], stale[r], fold.log_prices) for r in fresh})
        best, rounds = least_mean(errors)
        trial.report(best, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    for fold, of_fold in zip(reversed(folds), errors, strict=True):
        trial.set_user_attr(f"fold_{fold.window.first:%Y_%m}", of_fold[rounds])
    trial.set_user_attr("rounds", rounds)
    return best


def least_mean(errors: list[dict[int, float]]) -> tuple[float, int]:
    """The least mean over the folds, and the number of rounds that gives it."""
    return min((sum(of_fold[rounds] for of_fold in errors) / len(errors), rounds) for rounds in errors[0])


def trial_error(fresh: np.ndarray, stale: np.ndarray, log_prices: np.ndarray) -> float:
    """What a fold's forests are judged by: their errors as a sale is taught, and a price for disagreeing.

    Args:
        fresh, stale: log values of each forest on fresh and on stale evidence, shape (forests, n).
        log_prices: shape (n,).
    """
    errors = [error_of_many(told, log_prices) for told in (fresh, stale)]
    apart = float(np.abs(np.diff(fresh, axis=0)).mean())
    return (1 - STALE_SHARE) * errors[0] + STALE_SHARE * errors[1] + UNSTEADY * apart


def error_of_many(forests: np.ndarray, log_prices: np.ndarray) -> float:
    """The error (`fold_error`) of a large bag, told from a few of its forests.

    A bag is best with more trees than any of its forests alone. The error of a mean of n forests is that of very
    many and a rest that falls with 1 / n; one forest and all of these give both.

    Args:
        forests: log values of each, shape (forests, n), at least two forests.
        log_prices: shape (n,).
    """
    alone = float(np.mean([fold_error(one, log_prices) for one in forests]))
    together = fold_error(forests.mean(axis=0), log_prices)
    return together - (alone - together) / (len(forests) - 1)


def fold_error(log_values: np.ndarray, log_prices: np.ndarray) -> float:
    """Mean and median distance of log(value / price) from its median, and a price for valuing cheap and dear homes
    unevenly.

    The mean alone hardly tells robust forests apart; the median is what a value is usually off by.
    """
    if not np.isfinite(log_values).all():
        return float("nan")
    prb = study(np.exp(log_values), np.exp(log_prices))["prb"]
    residuals = log_values - log_prices
    typical = float(np.median(np.abs(residuals - np.median(residuals))))
    return spread_about_median(residuals) + typical + UNEVEN * abs(prb or 0.0)


def suggest(trial: Trial, search_space: Mapping[str, Any]) -> dict[str, float | int]:
    return {
        name: trial.suggest_int(name, int(span.low), int(span.high), log=span.log)
        if span.integer
        else trial.suggest_float(name, span.low, span.high, log=span.log)
        for name, span in search_space.items()
    }


def first_trials(study: optuna.Study, count: int) -> optuna.Study:
    """A study in memory of the first `count` finished trials, numbered anew.

    It is what a fresh run with that budget gives, whatever was killed or asked for in between.

    Raises:
        TuneError: when none of them is complete.
    """
    told = optuna.create_study()
    told.add_trials(study.get_trials(deepcopy=False, states=FINISHED)[:count])
    if not told.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise TuneError(f"none of {len(told.trials)} trials is complete; raise tune.trials in params.yaml")
    return told


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: number, state, value, its parameters, its folds' errors and rounds."""
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
        }
        | {f"params_{name}": value for name, value in sorted(trial.params.items())}
        | dict(sorted(trial.user_attrs.items()))
        for trial in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)


def best_trial(study: optuna.Study, key: str) -> dict[str, Any]:
    best = study.best_trial
    return {
        "study": key,
        "trial": best.number,
        "trials": len(study.trials),
        "error": best.value,
        "rounds": best.user_attrs["rounds"],
        "searched": best.params,
    }


def _why_none(study: optuna.Study) -> str:
    tried = ", ".join(f"{name} {value:.6g}" for name, value in study.get_trials(deepcopy=False)[-1].params.items())
    return (
        f"{FAILURES} trials in a row gave an error that is no number, the last with {tried}; narrow tune.search in "
        f"params.yaml, or see whether {TRAIN} has enough sales in every fold"
    )


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINISHED))


if __name__ == "__main__":
    run(main)
