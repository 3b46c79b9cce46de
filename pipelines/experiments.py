"""experiments: each part of the model taken away, and what else was tried, over the rolling-origin folds.

Not a stage of the line: it takes minutes and decides nothing. It writes `docs/experiments.md` and records
the table in MLflow, where a variant is a run that can be compared with the others. The hold-out is not
touched: what is chosen by looking at it can no longer be judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.churn import churn_figures
from models.files import digest, json_bytes, read_json, write_text
from models.fit import Settings
from models.ratio_study import study
from models.split import Split
from models.training import Fold, make_fold
from pipelines import tracking
from pipelines.experiments_page import Frontier, Row, page
from pipelines.market_file import load_market
from pipelines.params import load_params
from pipelines.past import learn_from
from pipelines.places import EXPERIMENTS, TRAIN, WINDOWS
from pipelines.settings import found_settings
from pipelines.stage import run
from pipelines.variants import ABLATIONS, TRIED, Variant, errors_of

#: Points of the frontier: forests, and the share of the rounds found.
FRONTIER = ((1, 1.0), (4, 1.0), (8, 1.0), (16, 1.0), (32, 1.0), (32, 0.5), (32, 0.25))
FIGURES = ("mdape", "ppe10", "cod", "prd", "prb")


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    settings = found_settings(params)
    learnt = learn_from(pd.read_parquet(TRAIN), market, "experiments")
    folds = [make_fold(learnt, window) for window in Split.from_dict(read_json(WINDOWS)).folds]
    base = Variant("as it is", "The model of the line")
    variants = (base, *ABLATIONS, *TRIED)
    errors = {v.name: [errors_of(v, f, settings) for f in folds] for v in tqdm(variants, desc="experiments: variants")}
    rows = [row(v, folds, errors[v.name], errors[base.name]) for v in variants]
    points = [frontier(bags, share, folds, settings) for bags, share in tqdm(FRONTIER, desc="experiments: frontier")]
    text = page(market.label, folds, rows[0], rows[1 : 1 + len(ABLATIONS)], rows[1 + len(ABLATIONS) :], points)
    write_text(EXPERIMENTS, text)
    record(market.name, rows, text)
    print(f"{len(variants)} variants and {len(points)} points of the frontier: {EXPERIMENTS} and MLflow")


def row(variant: Variant, folds: Sequence[Fold], errors: Sequence[np.ndarray], base: Sequence[np.ndarray]) -> Row:
    """Mean figures over the folds, and the paired difference of the mean error of log price with its 95 % interval."""
    told = [_figures(fold, own) for fold, own in zip(folds, errors, strict=True)]
    difference = np.abs(np.concatenate(errors)) - np.abs(np.concatenate(base))
    error = 1.96 * float(difference.std(ddof=1)) / np.sqrt(len(difference))
    mean = float(difference.mean())
    figures = {name: float(np.mean([one[name] for one in told])) for name in FIGURES}
    return Row(variant.name, variant.asks, figures, mean, mean - error, mean + error)


def frontier(bags: int, share: float, folds: Sequence[Fold], settings: Settings) -> Frontier:
    """The last fold valued by fewer or more trees: accuracy, and what another seed moves."""
    rounds, last = max(1, round(share * settings.rounds)), folds[-1]
    bag, other = (last.taught(settings.searched, rounds, bags, seed) for seed in (settings.seed, settings.seed + 1))
    matrix = last.later.matrix(last.features)
    values, again = bag.predict(matrix), other.predict(matrix)
    moved = np.abs(np.expm1(again - values))
    return Frontier(bags, rounds, bag.trees, _figures(last, last.later.target - values), churn_figures({"seed": moved}))


def record(market: str, rows: Sequence[Row], text: str) -> None:
    """A run for each variant under one of all; found again by their content, so that nothing is recorded twice."""
    track = tracking.connect(market)
    with tracking.answering(track.uri):
        key = digest(json_bytes([vars(r) for r in rows]))
        parent = tracking.find_or_create_run(track, "experiments", key, f"{market} experiments")
        tracking.log(track, parent, params={}, metrics={}, tags={tracking.NOTE: text}, texts={"experiments.md": text})
        for one in rows:
            name = f"{key[:40]}-{digest(one.name.encode())[:16]}"
            made = tracking.find_or_create_run(track, "experiment", name, one.name, parent=parent.info.run_id)
            metrics: dict[str, float] = {**one.figures, "mean_difference": one.difference}
            tracking.log(track, made, params={"asks": one.asks}, metrics=metrics, tags={})


def _figures(fold: Fold, errors: np.ndarray) -> dict[str, Any]:
    prices = np.exp(fold.log_prices)
    return study(prices * np.exp(-errors), prices)


if __name__ == "__main__":
    run(main)
