"""One look for every plot, and PNG files whose bytes depend on the picture alone."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from models.files import write_bytes

plt.switch_backend("Agg")  # a stage has no screen
mpl.rcParams.update(
    {"figure.dpi": 110, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False}
)
BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the picture without the version of the program that drew it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
    plt.close(figure)
