"""evaluate: the bundle on the hold-out, beside the reference models; figures, plots and one row a sale."""

from __future__ import annotations

import pandas as pd

from models.bundle import read_bundle
from models.evaluation import evaluation, reference_values, valued_holdout
from models.fault import Fault
from models.files import read_json, write_json, write_parquet
from models.valuer import AsOfError, Valuer
from pipelines.evaluation_plots import draw_evaluation
from pipelines.params import load_params
from pipelines.places import BEST, BUNDLE, EVALUATION, HOLDOUT, METRICS, PLOTS, TRAIN, VALUED
from pipelines.shap_plots import draw_shap
from pipelines.stage import run


def main() -> None:
    seed = load_params().seed
    valuer, digest = read_bundle(BUNDLE)
    train, holdout, best = pd.read_parquet(TRAIN), pd.read_parquet(HOLDOUT), read_json(BEST)
    valued = value_holdout(valuer, holdout)
    references = reference_values(train, holdout, valuer.market, best["searched"], best["rounds"], seed)
    figures = evaluation(valuer, holdout, valued, references, train)
    write_parquet(VALUED, valued)
    write_json(METRICS, figures["figures"] | {"coverage": figures["range"]["coverage"]})
    write_json(EVALUATION, {"market": valuer.market.name, "model": digest, **figures})
    draw_evaluation(valuer, holdout, valued, figures, PLOTS)
    draw_shap(valuer, holdout, seed, PLOTS)
    print_figures(figures)


def value_holdout(valuer: Valuer, holdout: pd.DataFrame) -> pd.DataFrame:
    """Raises: Fault when the hold-out reaches beyond what the model may be asked."""
    try:
        return valued_holdout(valuer, holdout)
    except AsOfError as error:
        raise Fault(
            f"a hold-out sale lies outside what the model can value: {error}. Raise serve.horizon_days in params.yaml "
            f"(now {valuer.horizon_days}) or lower split.holdout_months, then run `dvc repro`"
        ) from error


def print_figures(figures: dict) -> None:
    print(f"{'':20}{'MdAPE':>8}{'PPE10':>8}{'R²':>8}{'ratio':>8}{'COD':>8}")
    for name, row in {"candidate": figures["figures"], **figures["references"]}.items():
        told = [row["mdape"], row["ppe10"], row["r2"], row["median_ratio"], row["cod"]]
        print(f"{name:20}" + "".join(f"{'-':>8}" if f is None else f"{f:8.3f}" for f in told))


if __name__ == "__main__":
    run(main)
