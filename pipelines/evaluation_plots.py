"""The hold-out in pictures: where the candidate is right, where it is not, and beside what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.valuer import Valuer
from pipelines.figures import BLUE, GREY, ORANGE, save_figure

OWN_PLOT = ("price_tier", "neighbourhood")  # ways to group that have a plot to themselves


def draw_evaluation(
    valuer: Valuer, holdout: pd.DataFrame, valued: pd.DataFrame, figures: dict[str, Any], directory: Path
) -> None:
    """Writes the plots; a market without coordinates has no map, one without areas no plot of them.

    Args:
        valuer: with the hold-out's sales in its memory.
    """
    if valued.empty:
        return
    save_figure(_price_and_value(valued, valuer.market.currency), directory / "value_by_price.png")
    save_figure(_by_month(valued), directory / "ratio_by_month.png")
    save_figure(_by_group(figures["segments"]["price_tier"], "Error by tier of value"), directory / "error_by_tier.png")
    if kinds := {name: groups for name, groups in figures["segments"].items() if name not in OWN_PLOT}:
        save_figure(_by_kind(kinds), directory / "error_by_kind.png")
    save_figure(_beside_references(figures), directory / "references.png")
    save_figure(_index(valuer), directory / "market_index.png")
    if "neighbourhood" in figures["segments"]:
        areas = figures["segments"]["neighbourhood"]
        save_figure(_by_group(areas, "Error by neighbourhood"), directory / "error_by_neighbourhood.png")
    longitude, latitude = valuer.market.role("longitude"), valuer.market.role("latitude")
    if longitude is not None and latitude is not None:
        ratio = valued["value"] / valued["price"]
        save_figure(_map(holdout[longitude.name], holdout[latitude.name], ratio), directory / "ratio_map.png")


def _price_and_value(valued: pd.DataFrame, currency: str) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.hexbin(
        valued["price"], valued["value"], xscale="log", yscale="log", gridsize=60, mincnt=1, cmap="Blues", bins="log"
    )
    ends = [valued["price"].min(), valued["price"].max()]
    axes.plot(ends, ends, color=ORANGE, linewidth=1)
    axes.set(xlabel=f"price paid ({currency})", ylabel=f"value ({currency})", title="Value against price, hold-out")
    return figure


def _by_month(valued: pd.DataFrame) -> Figure:
    ratio = valued["value"] / valued["price"]
    months = ratio.groupby(valued["sale_date"].dt.to_period("M").astype("str"))
    figure, axes = plt.subplots(figsize=(8, 4))
    middle = months.median()
    axes.fill_between(
        middle.index, months.quantile(0.25), months.quantile(0.75), color=BLUE, alpha=0.2, label="middle half"
    )
    axes.plot(middle.index, middle, color=BLUE, marker="o", label="median")
    axes.axhline(1, color=ORANGE, linewidth=1)
    axes.tick_params(axis="x", rotation=90)
    axes.set(ylabel="value / price", title="Does the level follow the market?")
    axes.legend()
    return figure


def _by_group(groups: dict[str, dict[str, Any]], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(max(5, 0.35 * len(groups)), 4))
    _bars(axes, groups)
    axes.set(ylabel="median error, %", title=f"{title} (sales in white)")
    return figure


def _by_kind(segments: dict[str, dict[str, dict[str, Any]]]) -> Figure:
    widths = [len(groups) for groups in segments.values()]
    size = (max(5, 0.8 * sum(widths)), 4)
    figure, drawn = plt.subplots(1, len(widths), figsize=size, sharey=True, squeeze=False, width_ratios=widths)
    for axes, (name, groups) in zip(drawn[0], segments.items(), strict=True):
        _bars(axes, groups)
        axes.set(title=name.replace("_", " "))
    drawn[0][0].set(ylabel="median error, % (sales in white)")
    return figure


def _bars(axes: Axes, groups: dict[str, dict[str, Any]]) -> None:
    names = list(groups)
    axes.bar(names, [100 * groups[n]["mdape"] for n in names], color=BLUE)
    for i, name in enumerate(names):
        axes.annotate(f"{groups[name]['n']}", (i, 0), ha="center", va="bottom", rotation=90, fontsize=7, color="white")
    axes.tick_params(axis="x", rotation=90)


def _beside_references(figures: dict[str, Any]) -> Figure:
    rows = {"candidate": figures["figures"], **figures["references"]}
    figure, axes = plt.subplots(figsize=(7, 3))
    colours = [BLUE, *[GREY] * len(figures["references"])]
    bars = axes.barh(list(rows), [100 * row["mdape"] for row in rows.values()], color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="median error, %", title="Beside the reference models, same sales")
    return figure


def _index(valuer: Valuer) -> Figure:
    days = pd.date_range(valuer.first_day, valuer.last_day, freq="D")
    index = valuer.memory.index(valuer.memory.end_month)
    level = 100 * np.exp(index.level(days.to_numpy()) - index.level([valuer.first_day]))
    known = days.date <= valuer.memory_end
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.plot(days[known], level[known], color=BLUE, label="from sales")
    axes.plot(days[~known], level[~known], color=ORANGE, linestyle="--", label="trend carried on")
    axes.set(ylabel=f"{valuer.first_day:%B %Y} = 100", title="Market index")
    axes.legend()
    return figure


def _map(longitude: pd.Series, latitude: pd.Series, ratio: pd.Series) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 8))
    error = 100 * (ratio.to_numpy() - 1)
    dots = axes.scatter(longitude, latitude, c=error, s=3, cmap="RdBu_r", vmin=-30, vmax=30)
    axes.set_aspect(1 / np.cos(np.radians(latitude.mean())))
    figure.colorbar(dots, label="value above (red) or below (blue) the price, %", shrink=0.6)
    axes.set(title="Where values are high or low", xlabel=longitude.name, ylabel=latitude.name)
    return figure
