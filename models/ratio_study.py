"""How valuations are judged against sale prices: as lenders read it and as assessors do.

ratio = value / price, error = |value - price| / price. Definitions of COD, PRD, PRB and VEI follow the
IAAO Standard on Ratio Studies (2013; the VEI: 2026, appendix E), MKI follows Quintos (2020).
"""

from __future__ import annotations

import numpy as np

from models.fault import Fault

FIGURES = (
    "n", "mdape", "ppe5", "ppe10", "ppe20", "rmse_log", "r2", "median_ratio", "cod", "prd", "prb", "mki",
    "vei",
)  # fmt: skip

#: Groups by value that the VEI compares the ends of, from so many sales on (table E.3.1).
VEI_GROUPS = ((501, 10), (51, 4), (20, 2))
RESAMPLES = 500  # of the bootstrap: the ends of an interval then hold to about a tenth of its width


def study(values: np.ndarray, prices: np.ndarray) -> dict[str, float | int | None]:
    """The figures of one set of sales.

    `mdape`, `ppe5`, `ppe10`, `ppe20` and `r2` are fractions, `rmse_log` is in log price, `cod` in
    percent of the median ratio. A figure that the sales can't give, because there are none or they
    are too few or all alike, is None, which no gate passes.

    Args:
        values, prices: shape (n,), in one currency.

    Raises:
        ValueError: when the shapes differ.
        Fault: when a value or price is not a positive finite number.
    """
    values, prices = np.asarray(values, dtype="float64"), np.asarray(prices, dtype="float64")
    if values.shape != prices.shape or values.ndim != 1:
        raise ValueError(f"values have shape {values.shape} and prices {prices.shape}; both must be (n,)")
    for name, numbers in (("value", values), ("price", prices)):
        if len(wrong := numbers[~(np.isfinite(numbers) & (numbers > 0))]):
            raise Fault(f"{len(wrong)} of {len(numbers)} {name}s are not positive finite numbers, such as {wrong[0]}")
    if not len(values):
        return {"n": 0} | dict.fromkeys(FIGURES[1:])
    ratio = values / prices
    error = np.abs(values - prices) / prices
    median = float(np.median(ratio))
    figures = {
        "mdape": np.median(error),
        "ppe5": np.mean(error <= 0.05),
        "ppe10": np.mean(error <= 0.10),
        "ppe20": np.mean(error <= 0.20),
        "rmse_log": np.sqrt(np.mean(np.log(ratio) ** 2)),
        "r2": _r2(values, prices),
        "median_ratio": median,
        "cod": 100 * np.mean(np.abs(ratio - median)) / median,
        "prd": np.mean(ratio) / (float(values.sum()) / float(prices.sum())),
        "prb": _prb(ratio, values, prices, median),
        "mki": _mki(values, prices),
        "vei": _vei(ratio, _proxy(values, prices, median), median),
    }
    return {"n": len(values)} | {name: float(f) if np.isfinite(f) else None for name, f in figures.items()}


def intervals(values: np.ndarray, prices: np.ndarray, seed: int) -> dict[str, tuple[float, float] | None]:
    """95 % intervals of the figures: the percentile bootstrap over sales (Efron 1979), `RESAMPLES` times.

    Raises as `study` does.
    """
    draw = np.random.default_rng(seed)
    told = [study(values[rows], prices[rows]) for rows in draw.integers(0, len(values), (RESAMPLES, len(values)))]
    return {name: _middle([row[name] for row in told]) for name in FIGURES[1:]}


def _middle(figures: list[float | int | None]) -> tuple[float, float] | None:
    known = [figure for figure in figures if figure is not None]
    if len(known) < len(figures) or not known:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _r2(values: np.ndarray, prices: np.ndarray) -> float:
    spread = float(((prices - prices.mean()) ** 2).sum())
    return 1 - float(((values - prices) ** 2).sum()) / spread if spread > 1e-12 * float((prices**2).sum()) else np.nan


def _prb(ratio: np.ndarray, values: np.ndarray, prices: np.ndarray, median: float) -> float:
    """Slope of the relative ratio on log2 of the market-value proxy: its change as value doubles."""
    proxy = np.log2(_proxy(values, prices, median))
    spread = float(((proxy - proxy.mean()) ** 2).sum())
    if len(ratio) < 3 or spread <= 1e-12:
        return np.nan
    return float(((proxy - proxy.mean()) * (ratio - median) / median).sum()) / spread


def _proxy(values: np.ndarray, prices: np.ndarray, median: float) -> np.ndarray:
    """Of market value: half the price, half the value at the median level."""
    return np.asarray((prices + values / median) / 2)


def _vei(ratio: np.ndarray, proxy: np.ndarray, median: float) -> float:
    """By how many percent of the median ratio the dearest group's is above the cheapest's; negative is regressive.

    Groups end where the percentiles of the standard's method R7 do; below 20 sales there are none.
    """
    n = len(ratio)
    groups = next((count for least, count in VEI_GROUPS if n >= least), 0)
    if not groups:
        return np.nan
    by_value = ratio[np.argsort(proxy, kind="stable")]
    first, last = by_value[: (n - 1) // groups + 1], by_value[(n - 1) * (groups - 1) // groups + 1 :]
    return 100 * float(np.median(last) - np.median(first)) / median


def _mki(values: np.ndarray, prices: np.ndarray) -> float:
    """Gini of the values over Gini of the prices, both in order of price."""
    order = np.lexsort((values, prices))
    of_prices = _gini(prices[order])
    return _gini(values[order]) / of_prices if of_prices > 1e-12 else np.nan


def _gini(ordered: np.ndarray) -> float:
    n = len(ordered)
    rank = np.arange(1, n + 1)
    return float((2 * rank * ordered).sum() / (n * ordered.sum()) - (n + 1) / n)
