"""What moves values, drawn with SHAP from a sample of the hold-out."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shap
from matplotlib.figure import Figure

from models.valuer import Valuer
from pipelines.figures import BLUE, save_figure

SAMPLE = 1000  # homes; enough for the picture, seconds to compute
SHOWN = 4  # features with a dependence plot


def draw_shap(valuer: Valuer, holdout: pd.DataFrame, seed: int, directory: Path) -> None:
    """Writes `shap_summary.png` and one dependence plot for each of the features that weigh most."""
    homes = holdout.sample(min(SAMPLE, len(holdout)), random_state=seed) if len(holdout) else holdout
    if homes.empty:
        return
    matrix = valuer.features.matrix(homes)
    labels = [f.label for f in valuer.market.fields]
    contributions = shap.TreeExplainer(valuer.forest).shap_values(matrix)
    shap.summary_plot(
        contributions, matrix, feature_names=labels, show=False, plot_size=(8, 6), rng=np.random.default_rng(seed)
    )
    figure = plt.gcf()
    figure.axes[0].set_xlabel("effect on log price")
    save_figure(figure, directory / "shap_summary.png")
    weightiest = np.argsort(-np.abs(contributions).mean(axis=0), kind="stable")[:SHOWN]
    for i in weightiest:
        save_figure(
            _dependence(valuer, i, homes, contributions[:, i]), directory / f"shap_{valuer.features.names[i]}.png"
        )


def _dependence(valuer: Valuer, i: int, homes: pd.DataFrame, effect: np.ndarray) -> Figure:
    field = valuer.market.fields[i]
    figure, axes = plt.subplots(figsize=(7, 4))
    if field.is_category:
        groups = pd.Series(effect).groupby(homes[field.name].fillna("missing").to_numpy())
        order = groups.median().sort_values(kind="stable").index
        axes.boxplot([groups.get_group(g).to_numpy() for g in order], tick_labels=list(order), showfliers=False)
        axes.tick_params(axis="x", rotation=90)
    else:
        axes.plot(homes[field.name], effect, ".", color=BLUE, alpha=0.5, markersize=4)
    axes.set(xlabel=f"{field.label}{f' ({field.unit})' if field.unit else ''}", ylabel="effect on log price")
    axes.set_title(f"{field.label}: what it does to the value")
    return figure
