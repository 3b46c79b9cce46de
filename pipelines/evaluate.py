"""evaluate: the bundle on the hold-out, beside the reference models; figures, plots and one row a sale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from models.behaviour import behaviour, poisoned, some
from models.bundle import read_bundle
from models.churn import churn_figures, data_churn, sales_churn, seed_churn
from models.evaluation import backtest_figures, evaluation, valued_holdout
from models.fault import Fault
from models.files import read_json, write_json, write_parquet
from models.fit import Settings
from models.references import reference_values
from models.split import Split, Window
from models.training import Learnt, learn
from models.valuer import AsOfError, Valuer
from pipelines.evaluation_plots import draw_evaluation
from pipelines.params import load_params
from pipelines.places import BACKTEST, BUNDLE, EVALUATION, HOLDOUT, METRICS, PLOTS, TRAIN, VALUED, WINDOWS
from pipelines.settings import found_settings
from pipelines.shap_plots import draw_shap
from pipelines.stage import run
from pipelines.trust_plots import draw_trust


def main() -> None:
    params = load_params()
    frozen, digest = read_bundle(BUNDLE)
    train, holdout = pd.read_parquet(TRAIN), pd.read_parquet(HOLDOUT)
    split = Split.from_dict(read_json(WINDOWS))
    live = frozen.refreshed(pd.concat([train, holdout], ignore_index=True))
    learnt = learn(live.memory, lambda months: tqdm(months, desc="evaluate: evidence by month"))
    valued = value_holdout(frozen, live, holdout, train)
    references = {
        window: reference_values(learnt, window, params.seed)
        for window in tqdm((*split.folds, split.holdout), desc="evaluate: reference models by year")
    }
    settings = found_settings(params)
    churned = churn(frozen, learnt.rows(None, split.train_end), holdout, settings)
    asked = behaviour(
        live, some(holdout, params.seed), params.seed, lambda turns: tqdm(turns, desc="evaluate: what-ifs")
    )
    figures = evaluation(live, valued, references[split.holdout], params.seed) | {
        "backtest": backtest_of(train, split, references),
        "churn": churn_figures(churned),
        "behaviour": asked | {"poison": poisoned(frozen, train, settings, holdout, params.seed)},
    }
    beside = {f"reference.{name}": values for name, values in references[split.holdout].items()}
    write_parquet(VALUED, valued.assign(**beside))
    write_json(METRICS, figures["figures"] | {"coverage": figures["range"]["coverage"]} | figures["churn"])
    write_json(EVALUATION, {"market": live.market.name, "model": digest, **figures})
    draw_evaluation(live, holdout, valued, figures, PLOTS)
    draw_trust(valued, figures, churned, PLOTS)
    draw_shap(live, holdout, params.seed, PLOTS)
    print_figures(figures)


def value_holdout(frozen: Valuer, live: Valuer, holdout: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Raises: Fault when the hold-out reaches beyond what the model may be asked."""
    try:
        return valued_holdout(frozen, live, holdout, train)
    except AsOfError as error:
        raise Fault(
            f"a hold-out sale lies outside what the model can value: {error}. Raise serve.horizon_days in params.yaml "
            f"(now {frozen.horizon_days}) or lower split.holdout_months, then run `dvc repro`"
        ) from error


def churn(valuer: Valuer, known: Learnt, homes: pd.DataFrame, settings: Settings) -> dict[str, np.ndarray]:
    """How far the values of these homes move with another seed, trained on a quarter of sales more, and by the
    quarter's sales through the memory."""
    view = valuer.view(homes, valuer.trained_day)
    retrain = {"seed": seed_churn, "data": data_churn}
    moved = {
        kind: again(valuer, known, settings, view)
        for kind, again in tqdm(retrain.items(), desc="evaluate: trained again for the churn")
    }
    return moved | {"sales": sales_churn(valuer, homes, view)}


def backtest_of(train: pd.DataFrame, split: Split, references: dict[Window, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Every fold's year as it would have been valued live, beside the reference models."""
    told = pd.read_parquet(BACKTEST).merge(train[["sale_id", "price"]], on="sale_id", validate="one_to_one")
    return backtest_figures(told, {f"{window.first:%Y-%m}": references[window] for window in split.folds})


def print_figures(figures: dict[str, Any]) -> None:
    rows = {"candidate, live": figures["figures"], "candidate, frozen": figures["frozen"], **figures["references"]}
    print_table("hold-out", rows)
    for fold, models in figures["backtest"].items():
        print_table(f"year from {fold}", models)


def print_table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    names = ("mdape", "ppe10", "r2", "median_ratio", "cod", "prd", "prb")
    print(f"\n{title:20}" + "".join(f"{name:>13}" for name in names))
    for name, row in rows.items():
        print(f"{name:20}" + "".join(f"{'-':>13}" if row[f] is None else f"{row[f]:13.4f}" for f in names))


if __name__ == "__main__":
    run(main)
