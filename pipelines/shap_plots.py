"""What moves values, for reviewers: SHAP summary, dependence and interaction, partial dependence, location.

In log price, a fact's hedonic share and the forests' contribution to it are one effect, as in the reasons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shap
from matplotlib.figure import Figure

from models.valuer import Valuer
from pipelines.figures import BLUE, ORANGE, save_figure

SAMPLE = 600  # homes; enough for the picture, seconds to compute
FEW = 100  # homes of the interaction plot, which costs the square
SHOWN = 4  # facts with a dependence plot
STEPS = 15  # points of a partial dependence


def draw_shap(valuer: Valuer, holdout: pd.DataFrame, seed: int, directory: Path) -> None:
    """Writes `shap_summary.png`, `shap_interaction.png`, `location_effect.png` where the market has coordinates, and
    for each of the facts that weigh most `shap_<name>.png` and `partial_<name>.png`."""
    homes = holdout.sample(min(SAMPLE, len(holdout)), random_state=seed) if len(holdout) else holdout
    if homes.empty:
        return
    view = valuer.view(homes, valuer.current_day)
    effects = valuer.bag.contributions(view.matrix)[:, :-1]
    facts = len(valuer.market.fields)
    effects[:, :facts] += view.facts
    save_figure(_summary(valuer, effects, view.matrix, seed), directory / "shap_summary.png")
    save_figure(_interaction(valuer, view.matrix[:FEW]), directory / "shap_interaction.png")
    for i in np.argsort(-np.abs(effects[:, :facts]).mean(axis=0), kind="stable")[:SHOWN]:
        name = valuer.market.fields[i].name
        save_figure(_dependence(valuer, i, homes, effects[:, i]), directory / f"shap_{name}.png")
        save_figure(_partial(valuer, i, homes), directory / f"partial_{name}.png")
    if valuer.market.role("longitude") is not None:
        where = [i for i, group in enumerate(valuer.features.groups) if group in ("location", "comparables")]
        save_figure(_location(valuer, homes, effects[:, where].sum(axis=1)), directory / "location_effect.png")


def _summary(valuer: Valuer, effects: np.ndarray, matrix: np.ndarray, seed: int) -> Figure:
    shap.summary_plot(
        effects,
        matrix,
        feature_names=valuer.features.labels,
        show=False,
        plot_size=(9, 7),
        rng=np.random.default_rng(seed),
    )
    figure = plt.gcf()
    figure.axes[0].set_xlabel("effect on log price")
    return figure


def _interaction(valuer: Valuer, matrix: np.ndarray) -> Figure:
    """Mean size of the interactions of one forest's features that interact most."""
    bag = valuer.bag
    values = shap.TreeExplainer(bag.forests[0]).shap_interaction_values(matrix + bag.aside[0])
    told = np.abs(np.asarray(values)).mean(axis=0)
    pairs = told - np.diag(np.diag(told))
    chosen = np.argsort(-pairs.sum(axis=0), kind="stable")[:10]
    labels = [valuer.features.labels[i] for i in chosen]
    figure, axes = plt.subplots(figsize=(7, 6))
    image = axes.imshow(pairs[np.ix_(chosen, chosen)], cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(visible=False)
    figure.colorbar(image, label="mean interaction, log price", shrink=0.7)
    axes.set_title("What works together")
    return figure


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


def _partial(valuer: Valuer, i: int, homes: pd.DataFrame) -> Figure:
    """The mean value of the same homes as one fact is changed in all of them."""
    field, sample = valuer.market.fields[i], homes.head(FEW)
    known = sample[field.name].dropna()
    points: list[Any] = (
        sorted(known.unique())
        if field.is_category or field.type == "flag"
        else list(np.unique(known.quantile(np.linspace(0.02, 0.98, STEPS))))
    )
    means = [valuer.value(sample.assign(**{field.name: point}), valuer.current_day).mean() for point in points]
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([str(p) for p in points] if field.is_category else points, means, marker="o", color=ORANGE)
    axes.tick_params(axis="x", rotation=90 if field.is_category else 0)
    axes.set(xlabel=field.label, ylabel=f"mean value ({valuer.market.currency})")
    axes.set_title(f"{field.label}: the same homes with another one")
    return figure


def _location(valuer: Valuer, homes: pd.DataFrame, effect: np.ndarray) -> Figure:
    longitude, latitude = valuer.market.role("longitude"), valuer.market.role("latitude")
    assert longitude is not None
    assert latitude is not None
    figure, axes = plt.subplots(figsize=(6, 8))
    dots = axes.scatter(homes[longitude.name], homes[latitude.name], c=effect, s=8, cmap="viridis")
    axes.set_aspect(1 / np.cos(np.radians(homes[latitude.name].mean())))
    figure.colorbar(dots, label="effect of the place on log price", shrink=0.6)
    axes.set(title="What the place does to the value", xlabel=longitude.name, ylabel=latitude.name)
    return figure
