"""The page that a pull request is read by: Markdown, what got better and what got worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.better import gain

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Output:
    """A file of the line and its digests; None where the line doesn't make it."""

    path: str
    before: str | None
    now: str | None


@dataclass(frozen=True)
class Plot:
    """A picture that differs, and whether each side's could be had."""

    name: str
    before: bool
    now: bool


@dataclass(frozen=True)
class Comparison:
    """All that is told of a change.

    Attributes:
        base: the commit compared with, in words.
        before, now: the metrics; None where they can't be had.
        level: what the coverage should be near to.
        stale: what differs from what the line was last run with.
        params: a table of the changed ones, or nothing.
        outputs, plots: the changed ones; no plots where they differ and neither side's can be had.
    """

    base: str
    before: Metrics | None
    now: Metrics | None
    level: float
    stale: Sequence[str]
    verdict: Mapping[str, Any] | None
    params: str
    outputs: Sequence[Output]
    plots: Sequence[Plot] | None


def page(told: Comparison, pictures: str | None) -> str:
    """Markdown.

    Args:
        pictures: the folder of the pictures, from the page; None leaves them out.
    """
    parts = [
        [
            "# What this change does to the figures",
            "",
            f"Beside {told.base}. Both sides are as their lines were last run.",
        ],
        _warning(told.stale),
        ["## Metrics", "", *_metrics(told.before, told.now, told.level)],
        ["## Verdict", "", *_verdict(told.verdict)],
        ["## Parameters", "", told.params or "None has changed."],
        ["## Data and outputs", "", *_outputs(told.outputs)],
        ["## Plots", "", *_plots(told.plots, pictures)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _warning(stale: Sequence[str]) -> list[str]:
    if not stale:
        return []
    return [
        "> **These are not the figures of this change.** The line was last run with another version of:",
        *(f"> - `{name}`" for name in stale),
        ">",
        "> Run `dvc repro` and commit `dvc.lock` with what it writes.",
    ]


def _metrics(before: Metrics | None, now: Metrics | None, level: float) -> Iterator[str]:
    if before is None or now is None:
        lost = " and ".join(side for side, has in (("before", before), ("now", now)) if has is None)
        yield f"The metrics of {lost} are neither in git nor in a cache that can be reached, so nothing is compared."
        return
    yield from ("| metric | before | now | change | |", "|---|---:|---:|---:|---|")
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        change = "" if old is None or new is None else _figure(new - old, sign="+")
        yield f"| {name} | {_figure(old)} | {_figure(new)} | {change} | {_judged(name, old, new, level)} |"
    yield from ("", "Small changes can be chance: whether the model is worse is the gate's to say, sale by sale.")


def _judged(name: str, old: float | None, new: float | None, level: float) -> str:
    if old is None or new is None:
        return "" if old is new else "new" if old is None else "gone"
    if old == new:
        return "="
    gained = gain(name, old, new, level)
    return "" if gained is None else "=" if gained == 0 else "▲ better" if gained > 0 else "▼ worse"


def _figure(number: float | None, sign: str = "") -> str:
    if number is None:
        return ""
    return f"{number:{sign},}" if isinstance(number, int) else f"{number:{sign}.4f}"


def _verdict(verdict: Mapping[str, Any] | None) -> Iterator[str]:
    if verdict is None:
        yield "None here: the gate's verdict is written where the line is run, and shown in MLflow."
        return
    yield f"**{verdict['outcome']}**, {len(verdict['checks'])} checks."
    yield from (f"- {reason}" for reason in verdict["reasons"])


def _outputs(outputs: Sequence[Output]) -> Iterator[str]:
    sales = [one for one in outputs if one.path.startswith(("data/raw/", "data/validated/", "data/split/"))]
    yield (
        "**The sales have changed**: figures before and now are of other homes." if sales else "The sales are the same."
    )
    if outputs:
        yield from ("", "| changed | before | now |", "|---|---|---|")
        yield from (f"| {one.path} | {_short(one.before)} | {_short(one.now)} |" for one in outputs)


def _plots(plots: Sequence[Plot] | None, pictures: str | None) -> Iterator[str]:
    if plots is None:
        yield "They differ, and neither side's are in a cache that can be reached: `dvc pull` may bring them."
        return
    if not plots:
        yield "None has changed."
        return
    lost = [plot.name for plot in plots if not (plot.before and plot.now)]
    if lost:
        yield f"Only one side's picture, or none, is in a cache that can be reached: {', '.join(lost)}."
    if pictures is None:
        yield "Changed: " + ", ".join(plot.name for plot in plots if plot.before and plot.now) + "."
        return
    yield from ("", "| | before | now |", "|---|---|---|")
    for plot in plots:
        sides = (("before", plot.before), ("now", plot.now))
        told = [f"![{plot.name}, {side}]({pictures}/{side}/{plot.name})" if has else "not here" for side, has in sides]
        yield f"| {plot.name} | {told[0]} | {told[1]} |"


def _short(digest: str | None) -> str:
    return "" if digest is None else f"`{digest[:12]}`"
