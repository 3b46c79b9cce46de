"""train: the forests with the parameters found, their ranges calibrated out of time, written as a bundle."""

from __future__ import annotations

import pandas as pd
from tqdm import tqdm

from models.bundle import write_bundle
from models.files import read_json, write_parquet
from models.fit import backtest, fit_valuer, judge_folds
from models.split import Split
from models.training import make_fold
from pipelines.market_file import load_market
from pipelines.params import load_params
from pipelines.past import learn_from
from pipelines.places import BACKTEST, BUNDLE, TRAIN, WINDOWS
from pipelines.settings import found_settings
from pipelines.stage import run


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    settings = found_settings(params)
    learnt = learn_from(pd.read_parquet(TRAIN), market, "train")
    windows = Split.from_dict(read_json(WINDOWS)).folds
    folds = [make_fold(learnt, window) for window in windows]
    judged = judge_folds(folds, settings, lambda those: tqdm(those, desc="train: backtest by fold"))
    valuer = fit_valuer(learnt, judged, settings, params.serve.level, params.serve.horizon_days)
    write_parquet(BACKTEST, backtest(judged))
    digest = write_bundle(BUNDLE, valuer)
    print(
        f"{len(valuer.bag.forests)} forests, {valuer.bag.trees:,} trees, on {len(learnt.sales):,} sales "
        f"up to {valuer.memory_end}: bundle {digest[:12]}"
    )


if __name__ == "__main__":
    run(main)
