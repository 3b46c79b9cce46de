"""Optuna's own plots of a study: how the search went, and what mattered in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from optuna.visualization import matplotlib as optuna_plots

from pipelines.figures import save_figure


def draw_study(study: optuna.Study, directory: Path) -> None:
    """Writes history, slices and parallel coordinates, and the importances once two trials are complete."""
    draw: dict[str, Callable[[optuna.Study], Any]] = {
        "history": optuna_plots.plot_optimization_history,
        "slices": optuna_plots.plot_slice,
        "parallel": optuna_plots.plot_parallel_coordinate,
    }
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) > 1:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        draw["importances"] = lambda study: optuna_plots.plot_param_importances(study, evaluator=evaluator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its matplotlib plots experimental, once a plot
        for name, plot in draw.items():
            axes = np.ravel(plot(study))
            save_figure(axes[0].figure, directory / f"{name}.png")
