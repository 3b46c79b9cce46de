"""Whether the candidate can be trusted, in pictures: its ranges, every earlier year, what a retrain moves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.figures import BLUE, GREY, ORANGE, save_figure


def draw_trust(
    valued: pd.DataFrame, figures: dict[str, Any], churned: Mapping[str, np.ndarray], directory: Path
) -> None:
    """Writes the plots.

    Args:
        valued, figures: as `models/evaluation.py` has them.
        churned: how far values moved, by what moved them.
    """
    if valued.empty:
        return
    save_figure(_kept(figures), directory / "ranges_kept.png")
    save_figure(_confidence(figures["confidence"]), directory / "confidence_kept.png")
    save_figure(_backtest(figures), directory / "backtest.png")
    save_figure(_churn(churned), directory / "churn.png")


def _kept(figures: dict[str, Any]) -> Figure:
    """Promised against kept coverage, and the coverage of each tier of value."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    promised = [row["level"] for row in figures["ranges"].values()]
    left.plot([0, 1], [0, 1], color=ORANGE, linewidth=1)
    left.plot(promised, [row["coverage"] for row in figures["ranges"].values()], "o", color=BLUE)
    left.set(xlabel="promised", ylabel="kept", xlim=(0.4, 1), ylim=(0.4, 1), title="Prices inside the range")
    tiers = figures["segments"]["price_tier"]
    right.bar(list(tiers), [row["coverage"] for row in tiers.values()], color=BLUE)
    right.axhline(figures["range"]["level"], color=ORANGE, linewidth=1)
    right.set(ylim=(0.5, 1), title=f"By tier of value, {100 * figures['range']['level']:.0f} % promised")
    return figure


def _confidence(bands: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4))
    promised, kept = [b["promised"] for b in bands.values()], [b["kept"] for b in bands.values()]
    axes.plot([0, 1], [0, 1], color=ORANGE, linewidth=1)
    axes.scatter(promised, kept, s=[max(b["n"] / 10, 5) for b in bands.values()], color=BLUE)
    axes.set(xlabel="confidence told", ylabel="values within 10 % of the price", title="Is the confidence earned?")
    return figure


def _backtest(figures: dict[str, Any]) -> Figure:
    """Every year from the years before it; the hold-out last."""
    years = dict(figures["backtest"])
    years["hold-out"] = {"candidate": figures["figures"], **figures["references"]}
    figure, axes = plt.subplots(figsize=(8, 4))
    for name in years["hold-out"]:
        told = [100 * models[name]["mdape"] for models in years.values()]
        ours = name == "candidate"
        axes.plot(list(years), told, marker="o", color=BLUE if ours else GREY, alpha=1 if ours else 0.6)
        axes.annotate(name.replace("_", " "), (len(years) - 1, told[-1]), xytext=(6, 0), textcoords="offset points")
    axes.set(ylabel="median error, %", yscale="log", title="Each year, valued from the years before it")
    return figure


def _churn(churned: Mapping[str, np.ndarray]) -> Figure:
    figure, axes = plt.subplots(figsize=(7, 4))
    said = {
        "seed": "trained again with another seed",
        "data": "trained again on a quarter of sales more",
        "sales": "the same model, a quarter of sales more in its memory",
    }
    for (kind, moved), colour in zip(churned.items(), (BLUE, ORANGE, GREY), strict=True):
        axes.plot(100 * np.sort(moved), np.linspace(0, 100, len(moved)), color=colour, label=said[kind])
    axes.set(xlabel="move of the value, % (market level taken out)", ylabel="% of homes", xscale="log")
    axes.set(xlim=(0.01, None), title="What moves values, the market aside")
    axes.legend()
    return figure
