"""What is shown beside a model's card: plots, the sales it rests on, the study behind it, what else was tried.

Read from the line's files alone: what MLflow holds may be altered by others, and these pages are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from models.files import read_json
from pipelines.document import QUIET, Block, Cell, Heading, Items, Link, Paragraph, Picture, Section, Table
from pipelines.places import BEST, EVALUATION, EXPERIMENTS, PLOTS, STUDY, TRIALS, VALIDATION, VALIDATION_PAGE

#: Plots by their file, in the order in which they are shown: what each is called and how it is read.
PICTURES = {
    "references": ("Beside the simple ways", "Shorter is better; all valued the same sales."),
    "backtest": ("Error by year", "Each year valued from the years before it; the blue line should be the lowest."),
    "error_by_tier": ("Error by price", "From the cheapest fifth of homes to the dearest; bars should be alike."),
    "error_by_kind": ("Error by kind of home", "Bars should be alike; one that rests on few sales varies more."),
    "error_by_neighbourhood": ("Error by neighbourhood", "A bar that stands out is a place that is valued badly."),
    "value_by_price": ("Value against price paid", "On the line both are the same; darker is more homes."),
    "ratio_by_month": ("Level by month", "The line should stay at 1; above it, values were too high that month."),
    "ranges_kept": ("Coverage of the ranges", "On the line, or at it, ranges hold as many prices as they promise."),
    "confidence_kept": ("Is the confidence earned?", "On the line, values are as often right as they claim to be."),
    "churn": ("What moves values", "The further left a line, the less values move for nothing."),
    "shap_summary": ("What values rest on (SHAP)", "The heaviest fact on top; right of the middle it raises a value."),
    "ratio_map": (
        "Where values are high or low",
        "Red is above the price, blue below; no patch should be one colour.",
    ),
    "location_effect": ("What the place is worth", "The same home, moved over the map."),
    "market_index": ("The market's level", "What an unchanged home would have fetched, by month."),
    "shap_interaction": ("Two facts together (SHAP)", "The darker, the more one fact's worth hangs on the other."),
}
#: The same of plots that are drawn for each of several facts.
FAMILIES = {
    "shap_": ("{} in each home (SHAP)", "What the fact adds to or takes from each home's value."),
    "partial_": ("{} changed alone", "The mean value of the same homes where this fact is another."),
}
SEARCH = {
    "history": ("How the search went", "The error of each trial, and the best so far."),
    "importances": ("What mattered in the search", "The longer the bar, the more the error hung on it."),
}
NAMED = 3  # of the best trials, and of the worst


@dataclass(frozen=True)
class Exhibits:
    """A part that is not there is not shown.

    Attributes:
        plots, search: of the evaluation and of the study: name -> PNG.
        validation: as `pipelines/validate.py` writes it; `validation_page` is its Data Docs page.
        best, trials: as `pipelines/tune.py` writes them.
        experiments: Markdown, as `pipelines/experiments_page.py` writes it.
    """

    plots: Mapping[str, bytes] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    validation_page: bytes | None = None
    search: Mapping[str, bytes] = field(default_factory=dict)
    best: Mapping[str, Any] = field(default_factory=dict)
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    experiments: str = ""


def exhibits_of(card: Mapping[str, Any]) -> Exhibits:
    """The line's files, where they are of the card's model; else nothing.

    Raises:
        OSError, ValueError: for a file that is there and can't be read.
    """
    if not EVALUATION.is_file() or read_json(EVALUATION).get("model") != card["digest"]:
        return Exhibits()
    return Exhibits(
        plots=_pictures(PLOTS),
        validation=read_json(VALIDATION) if VALIDATION.is_file() else {},
        validation_page=VALIDATION_PAGE.read_bytes() if VALIDATION_PAGE.is_file() else None,
        search=_pictures(STUDY),
        best=read_json(BEST) if BEST.is_file() else {},
        trials=pd.read_parquet(TRIALS) if TRIALS.is_file() else pd.DataFrame(),
        experiments=EXPERIMENTS.read_text("utf-8") if EXPERIMENTS.is_file() else "",
    )


def pictures_section(plots: Mapping[str, bytes]) -> Section | None:
    """Every plot there is: those with a sentence of their own first."""
    order = [*(name for name in PICTURES if name in plots), *(name for name in plots if name not in PICTURES)]
    told = [Picture(f"{PLOTS.name}/{name}.png", *_read_as(name), plots[name]) for name in order]
    return Section("In pictures", told) if told else None


def data_section(card: Mapping[str, Any], exhibits: Exhibits) -> Section:
    """The sales behind the model: how many, of when, which were set aside and why."""
    found, holdout = exhibits.validation, card["holdout"]
    period = f"{card.get('memory_start', 'the first known')} to {card['memory_end']}"
    facts = [
        f"the model knows sales of {period}; it was judged on {holdout['rows']:,} sales of {holdout['first']} to "
        f"{holdout['last']}",
        f"data `{card['data']}`",
    ]
    if "rows" in found:
        facts.insert(0, f"{found['rows']:,} sales were read; {found.get('accepted') or 0:,} passed every rule")
    blocks: list[Block] = [Items(facts)]
    if reasons := {reason: n for reason, n in (found.get("set_aside") or {}).items() if n}:
        rows = [[Cell(reason), Cell(f"{n:,}")] for reason, n in sorted(reasons.items(), key=lambda one: -one[1])]
        blocks.append(Table("Set aside; each sale counts under the first reason that fits.", ("reason", "sales"), rows))
    if exhibits.validation_page is not None:
        blocks.append(Link(VALIDATION_PAGE.name, "Every rule and what it found (Data Docs)"))
    return Section("The sales behind it", blocks)


def study_section(exhibits: Exhibits) -> Section | None:
    """The search for parameters: the best trials beside the worst."""
    best, trials = exhibits.best, exhibits.trials
    if not best or trials.empty:
        return None
    finished = trials[trials["state"] == "COMPLETE"].sort_values(["value", "number"])
    stopped = len(trials) - len(finished)
    says = (
        f"{len(trials):,} trials: {len(finished):,} were finished, {stopped:,} stopped early as hopeless. The model "
        f"has the parameters of trial {best['trial']}."
    )
    searched = [str(name) for name in finished if str(name).startswith("params_")]
    few = pd.concat([finished.head(NAMED), finished.iloc[NAMED:].tail(NAMED)])
    rows = [
        [Cell(f"trial {row['number']}"), Cell(f"{100 * row['value']:.2f}"), Cell(f"{row['rounds']:,.0f}")]
        + [Cell(f"{row[name]:.4g}") for name in searched]
        for row in few.to_dict("records")
    ]
    heads = ("trial", "error", "rounds", *(name.removeprefix("params_").replace("_", " ") for name in searched))
    told = f"The best {NAMED} trials, then the worst that were finished; error of log price on the folds, times 100."
    pictures = [Picture("", *said, exhibits.search[name]) for name, said in SEARCH.items() if name in exhibits.search]
    return Section("How its parameters were found", [Paragraph(says), Table(told, heads, rows), *pictures])


def experiments_section(card: Mapping[str, Any], experiments: str) -> Section | None:
    """What was tried and failed: the tables of the experiments' page, where they are of the card's market."""
    if card["market"]["label"] not in experiments:
        return None
    says = (
        "Variants on the folds, never on the hold-out. Worse by: error of log price above that of the model as it is, "
        "in hundredths, with its 95 % interval; one that holds zero can't be told from chance."
    )
    blocks: list[Block] = [Paragraph(says, tone=QUIET)]
    for part in experiments.split("\n## ")[1:]:
        title, _, rest = part.partition("\n")
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in rest.split("\n") if line[:1] == "|"]
        if len(rows) > 2:  # heads and rule
            words = [i for i, rule in enumerate(rows[1]) if not rule.endswith(":")] or [0]
            cells = [[Cell(text) for text in row] for row in rows[2:]]
            blocks += [Heading(title), Table("", rows[0], cells, words)]
    return Section("What was tried, and what failed", blocks) if len(blocks) > 1 else None


def _pictures(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def _read_as(name: str) -> tuple[str, str]:
    """What a plot is called and how it is read."""
    if name in PICTURES:
        return PICTURES[name]
    for family, (title, says) in FAMILIES.items():
        if name.startswith(family):
            return title.format(name.removeprefix(family).replace("_", " ").capitalize()), says
    return name.replace("_", " ").capitalize(), ""
