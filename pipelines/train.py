"""train: the forest with the parameters found, its range calibrated out of time, written as a bundle."""

from __future__ import annotations

import pandas as pd
from tqdm import tqdm

from models.bundle import write_bundle
from models.files import read_json
from models.split import Split
from models.training import fit_valuer, make_fold
from pipelines.market_file import load_market
from pipelines.params import load_params
from pipelines.places import BEST, BUNDLE, TRAIN, WINDOWS
from pipelines.stage import run


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    sales, best = pd.read_parquet(TRAIN), read_json(BEST)
    windows = Split.from_dict(read_json(WINDOWS)).folds
    folds = [make_fold(sales, window, market) for window in tqdm(windows, desc="train: calibration folds")]
    valuer = fit_valuer(
        sales,
        market,
        folds,
        best["searched"],
        best["rounds"],
        params.seed,
        params.serve.level,
        params.serve.horizon_days,
    )
    digest = write_bundle(BUNDLE, valuer)
    print(f"{valuer.forest.num_trees()} trees on {len(sales):,} sales up to {valuer.memory_end}: bundle {digest[:12]}")


if __name__ == "__main__":
    run(main)
