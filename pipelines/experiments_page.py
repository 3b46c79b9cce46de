"""The experiments as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.fit import FOLD_BAGS
from models.gate.check import shown
from models.training import Fold


@dataclass(frozen=True)
class Row:
    """A variant over all folds; `difference` is its mean error of log price less that of the model as it is."""

    name: str
    asks: str
    figures: Mapping[str, float]
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Frontier:
    """One choice of bags and rounds."""

    bags: int
    rounds: int
    trees: int
    figures: Mapping[str, Any]
    churn: Mapping[str, Any]


def page(
    label: str,
    folds: Sequence[Fold],
    base: Row,
    removed: Sequence[Row],
    tried: Sequence[Row],
    points: Sequence[Frontier],
) -> str:
    sales = sum(len(fold.later.sales) for fold in folds)
    windows = ", ".join(str(fold.window) for fold in folds)
    return "\n".join(
        [
            "# Experiments",
            "",
            f"Written by `make experiments`: {label}, {sales:,} sales of the rolling-origin folds ({windows}), each",
            "valued live by a model that was trained on the sales before its fold. The hold-out is not looked at.",
            "Figures are means over the folds. The last column is the paired difference of the mean error of log",
            "price, in hundredths, with its 95 % interval: above zero the variant is worse. An interval that holds",
            f"zero is a difference that these sales can't tell from chance. A fold is valued by {FOLD_BAGS} forests.",
            "",
            "## What each part is worth",
            "",
            *_table([base, *removed]),
            "## What else was tried",
            "",
            *_table([base, *tried]),
            "## Accuracy, churn and size",
            "",
            f"The last fold ({folds[-1].window}) before any drift. Latency grows with the trees. Churn: how far values",
            "move when only the seed is another.",
            "",
            "| forests | rounds | trees | MdAPE | PPE10 | PRB | churn median | P99 | most |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *(_point(point) for point in points),
            "",
        ]
    )


def _table(rows: Sequence[Row]) -> list[str]:
    return [
        "| variant | the question | MdAPE | PPE10 | COD | PRD | PRB | worse by (× 100) |",
        "|---|---|---:|---:|---:|---:|---:|---|",
        *(_row(row) for row in rows),
        "",
    ]


def _row(row: Row) -> str:
    figures = " | ".join(shown(name, figure) for name, figure in row.figures.items())
    moved = f"{100 * row.difference:+.3f} ({100 * row.low:+.3f} to {100 * row.high:+.3f})"
    return f"| {row.name} | {row.asks} | {figures} | {moved} |"


def _point(point: Frontier) -> str:
    accuracy = " | ".join(shown(name, point.figures[name]) for name in ("mdape", "ppe10", "prb"))
    churn = " | ".join(shown("mdape", point.churn[f"churn_seed_{what}"]) for what in ("median", "p99", "max"))
    return f"| {point.bags} | {point.rounds} | {point.trees:,} | {accuracy} | {churn} |"
