"""Figures of two public libraries, kept as golden vectors in ratio_studies.json; run by hand when they change.

assesspy is AGPL and ratio_study is GPL, so they are no dependencies of this project. In an environment of
their own (`pip install assesspy==2.0.2 ratio_study==1.0.1`):

    python tests/golden/ratio_studies.py data/reports/holdout.parquet
"""

import json
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

SIZES = (20, 50, 51, 54, 400, 501, 900)  # on both sides of where the VEI's groups change


def vectors(holdout: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Real sales, and made-up ones whose values are far from fair. In the order of price and value: among sales of one
    price assesspy's MKI depends on the order that they come in."""
    told = holdout.sort_values("sale_id")
    ordered = {n: told.head(n).sort_values(["price", "value"]) for n in SIZES}
    found = {f"{n} sales": (of["value"].to_numpy(), of["price"].to_numpy()) for n, of in ordered.items()}
    prices = np.round(np.exp(np.random.default_rng(1).normal(13, 0.6, 200)))
    return found | {"regressive": (np.round(prices**0.7 * np.median(prices) ** 0.3), prices)}


def figures(values: np.ndarray, prices: np.ndarray) -> dict[str, dict[str, float]]:
    ap, rs = import_module("assesspy"), import_module("ratio_study.indicators")
    ratio, asked = values / prices, (pd.Series(values), pd.Series(prices))
    median = float(np.median(ratio))
    vei = rs.vei_analysis(ratio, (prices + values / median) / 2, print_settings=False)
    return {
        "assesspy": {name: getattr(ap, name)(*asked) for name in ("cod", "prd", "prb", "mki")},
        "ratio_study": {
            "median_ratio": rs.asr_median(ratio),
            "cod": rs.cod(ratio),
            "prd": rs.prd(prices, ratio),
            "prb": rs.prb(prices, values, ratio, req_significance=None)[0],
            "vei": float(vei["vei"]),
        },
    }


if __name__ == "__main__":
    told = {
        "versions": {name: version(name) for name in ("assesspy", "ratio_study")},
        "vectors": {
            name: {"values": values.tolist(), "prices": prices.tolist(), "told": figures(values, prices)}
            for name, (values, prices) in vectors(pd.read_parquet(sys.argv[1])).items()
        },
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(told) + "\n")
