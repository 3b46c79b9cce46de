"""split: sales out of time into training, rolling-origin folds and hold-out."""

from __future__ import annotations

import pandas as pd

from models.files import write_json, write_parquet
from models.split import before, plan_split, within
from pipelines.params import load_params
from pipelines.places import HOLDOUT, SALES, TRAIN, WINDOWS
from pipelines.stage import run


def main() -> None:
    wanted = load_params().split
    sales = pd.read_parquet(SALES)
    split = plan_split(sales["sale_date"], wanted.holdout_months, wanted.fold_count, wanted.fold_months)
    train, holdout = before(sales, split.train_end), within(sales, split.holdout)
    write_parquet(TRAIN, train)
    write_parquet(HOLDOUT, holdout)
    write_json(WINDOWS, split.to_dict())
    print(f"train     {len(train):>7,} sales before {split.train_end:%Y-%m-%d}")
    for fold in split.folds:
        print(f"fold      {len(within(train, fold)):>7,} sales {fold}")
    print(f"hold-out  {len(holdout):>7,} sales {split.holdout}")


if __name__ == "__main__":
    run(main)
