"""The candidate put to the proof beside the champion: what is measured, and the verdict that comes of it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.appraisal import appraise
from models.bundle import read_bundle
from models.comparables import TOLD
from models.evaluation import range_columns
from models.fault import Fault
from models.files import read_json
from models.gate.bounds import Bounds
from models.gate.champion import Comparison, compare, differences
from models.gate.check import Verdict
from models.gate.judge import judge
from models.gate.segments import segment_check
from models.ratio_study import study
from models.segments import groups
from models.valuer import PROPERTY, Valuer
from pipelines import ledger, store
from pipelines.places import BUNDLE, EVALUATION, HOLDOUT, SALES, VALUED
from pipelines.provenance import provenance_checks

SEED = 1  # of what is drawn by lot here: the same candidate gets the same verdict
PORTFOLIO = 2_000  # homes whose values must not move for nothing
TIMED = 9  # answers that are timed


class TrialError(Fault):
    """The candidate's files don't belong together; the text says which and what to do."""


@dataclass(frozen=True)
class Champion:
    """The model that serves: whole, wherever it was found."""

    card: dict[str, Any]
    bundle: Path

    @property
    def called(self) -> str:
        return f"v{self.card['version']}"

    @property
    def tag(self) -> str:
        return f"{self.card['name']}:{self.called}"


@dataclass(frozen=True)
class Candidate:
    valuer: Valuer
    digest: str
    evaluation: dict[str, Any]
    load_seconds: float

    @property
    def market(self) -> str:
        return self.valuer.market.name

    @cached_property
    def sales(self) -> pd.DataFrame:
        return pd.read_parquet(SALES)

    @cached_property
    def homes(self) -> pd.DataFrame:
        """The hold-out: the facts of each home, its sale, and what the candidate says of it."""
        homes, valued = pd.read_parquet(HOLDOUT), pd.read_parquet(VALUED)
        if sorted(homes["sale_id"]) != sorted(valued["sale_id"]):
            raise TrialError(f"{HOLDOUT} and {VALUED} hold different sales; run `dvc repro`")
        return homes.merge(valued.drop(columns=["property_id", "sale_date", "price"]), on="sale_id", validate="1:1")


def read_candidate() -> Candidate:
    """Raises: TrialError, BundleError when its files are damaged or don't belong together."""
    began = time.perf_counter()
    valuer, digest = read_bundle(BUNDLE)
    seconds = time.perf_counter() - began
    evaluation = read_json(EVALUATION)
    if evaluation.get("model") != digest or evaluation.get("market") != valuer.market.name:
        raise TrialError(
            f"{EVALUATION} is about model {evaluation.get('model')} of {evaluation.get('market')}, "
            f"{BUNDLE} holds {digest} of {valuer.market.name}; run `dvc repro`"
        )
    return Candidate(valuer, digest, evaluation, seconds)


def judged(
    candidate: Candidate, champion: Champion | None, standing: ledger.Line | None, bounds: Bounds
) -> tuple[Verdict, dict[str, Any] | None]:
    """The verdict, and what is told of the champion beside it.

    Args:
        standing: the ledger's decision; it names a champion also where that can be read no more.
    """
    comparison, beside, rival = None, None, None
    difference = np.full(len(candidate.homes), np.nan)
    if champion is not None:
        comparison, figures, difference, rival = against(candidate, champion)
        digest = champion.card["digest"]
        beside = {"tag": champion.tag, "digest": digest, "figures": figures, "comparison": _plain(comparison)}
    elif standing is not None and (old := store.outdated(candidate.market, standing.digest)):
        comparison = Comparison(old, outdated=True)
    low, high = range_columns(candidate.valuer.level)
    told = candidate.homes.rename(columns={low: "low", high: "high"})
    shown = [
        *provenance_checks(candidate.valuer, candidate.digest, candidate.sales, candidate.homes),
        segment_check(told, groups(told), difference, candidate.valuer.level, bounds),
    ]
    return judge(candidate.evaluation, comparison, cost(candidate, rival), shown, bounds), beside


def against(candidate: Candidate, champion: Champion) -> tuple[Comparison, dict[str, Any], np.ndarray, Valuer | None]:
    """Both on the hold-out sales that the champion can value; compared on those it has never seen.

    Returns:
        the comparison, the champion's figures, for each hold-out sale the candidate's error less the champion's (NaN
        where it has seen the sale or can't value it), and the champion as it was read.
    """
    homes, nothing = candidate.homes, np.full(len(candidate.homes), np.nan)
    try:
        rival = read_bundle(champion.bundle, seal=champion.card["digest"])[0]
        if absent := [name for name in rival.market.field_names if name not in homes]:
            problem = f"it values by {', '.join(absent)}, which these sales lack"
            return Comparison(champion.called, problem=problem), {}, nothing, None
        both = homes[homes["sale_date"] >= pd.Timestamp(rival.first_day)]
        if both.empty:
            return Comparison(champion.called), {}, nothing, rival
        # As it serves: with the months before each sale in its memory, as the candidate has them.
        living = rival.refreshed(candidate.sales)
        view = living.view(both, both["sale_date"])
        values = living.told(view)
        figures = study(values, both["price"].to_numpy())
        moved = _moves(candidate.valuer, living, candidate.sales)
    except ValueError as error:
        problem = f"it can't value this hold-out ({error})"
        return Comparison(champion.called, problem=problem), {}, nothing, None
    unseen = (both["sale_date"] >= pd.Timestamp(rival.trained_day)).to_numpy()
    paired = differences(both["price"].to_numpy("float64"), both["value"].to_numpy("float64"), values)[unseen]
    fair = both[unseen]
    comparison = replace(
        compare(champion.called, paired, _clusters(candidate.valuer, fair), SEED),
        width=_width(candidate.valuer, fair, living.ranges(view), unseen),
        moved=float(np.median(moved)) if len(moved) else np.nan,
        moved_most=float(np.quantile(moved, 0.95)) if len(moved) else np.nan,
    )
    difference = pd.Series(nothing, index=homes.index)
    difference[fair.index] = paired
    return comparison, figures, difference.to_numpy(), rival


def cost(candidate: Candidate, rival: Valuer | None) -> dict[str, float]:
    """What serving the candidate costs; beside the champion, in turn, where there is one."""
    valuer = candidate.valuer
    own, times = [], []
    for turn in range(TIMED + 1):
        spent = _seconds(valuer)
        beside = _seconds(rival) if rival is not None else np.nan
        if turn:  # the first is a warm-up
            own.append(spent)
            times.append(spent / beside)
    size = sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file())
    return {
        "milliseconds": 1000 * float(np.median(own)),
        "times": float(np.median(times)),
        "megabytes": size / 1e6,
        "load_seconds": candidate.load_seconds,
    }


def _seconds(valuer: Valuer) -> float:
    """Of one whole answer: value, ranges, reasons and comparables."""
    began = time.perf_counter()
    appraise(valuer, [dict(valuer.typical)], valuer.current_day, TOLD)
    return time.perf_counter() - began


def _moves(valuer: Valuer, champion: Valuer, sales: pd.DataFrame) -> np.ndarray:
    """How far values of the reference portfolio move from the champion's, the market's level taken out, shape (homes,).

    The portfolio is drawn from the homes sold before the candidate's training ended; both value it on that day.
    """
    known = sales[sales["sale_date"] < pd.Timestamp(valuer.trained_day)].drop_duplicates(PROPERTY)
    portfolio = known.sample(min(PORTFOLIO, len(known)), random_state=SEED)
    moved = np.log(valuer.value(portfolio, valuer.trained_day) / champion.value(portfolio, valuer.trained_day))
    return np.asarray(np.abs(np.expm1(moved - np.median(moved)))) if len(moved) else moved


def _clusters(valuer: Valuer, sales: pd.DataFrame) -> dict[str, np.ndarray]:
    """What errors may go together by."""
    clusters = {"month": sales["sale_date"].dt.strftime("%Y-%m").to_numpy()}
    if (area := valuer.market.role("neighbourhood")) is not None:
        clusters["neighbourhood"] = sales[area.name].fillna("missing").to_numpy(dtype=str)
    return clusters


def _width(
    valuer: Valuer, fair: pd.DataFrame, ranges: dict[float, tuple[np.ndarray, np.ndarray]], unseen: np.ndarray
) -> float:
    """The candidate's median range over the champion's, at the widest that both tell."""
    common = set(valuer.levels) & set(ranges)
    if not common or fair.empty:
        return np.nan
    low, high = (fair[name] for name in range_columns(max(common)))
    least, most = (ends[unseen] for ends in ranges[max(common)])
    return float(np.median(high - low) / np.median(most - least))


def _plain(comparison: Comparison) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(comparison).items()}
