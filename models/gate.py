"""The gate: whether a candidate may serve, and why, in sentences a valuer understands.

Pure: figures and bounds go in, a verdict comes out. It fails closed: a figure that is missing, NaN or
rests on too few sales never passes, and neither does a verdict without checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.gate_bounds import Bounds
from models.ratio_study import FIGURES

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"

#: What each figure says.
MEANINGS = {
    "n": "hold-out sales",
    "mdape": "typical error (MdAPE)",
    "ppe5": "values within 5 % of the price",
    "ppe10": "values within 10 % of the price",
    "ppe20": "values within 20 % of the price",
    "rmse_log": "RMSE of log price",
    "r2": "share of price differences explained (R²)",
    "median_ratio": "median of value / price",
    "cod": "uniformity (COD)",
    "prd": "balance of cheap against dear homes (PRD)",
    "prb": "change of the ratio as value doubles (PRB)",
    "mki": "equity over all prices (MKI)",
}
SHARES = ("mdape", "ppe5", "ppe10", "ppe20")


@dataclass(frozen=True)
class Check:
    """One question put to the candidate.

    Attributes:
        outcome: "pass", "fail" or "cannot tell".
        figure: what was measured, or None where it could not be.
        bound: what is allowed, in words.
    """

    name: str
    outcome: str
    figure: float | None
    bound: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> str:
        outcomes = {check.outcome for check in self.checks}
        if FAIL in outcomes:
            return FAIL
        return PASS if outcomes == {PASS} else CANNOT_TELL

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused, failures first; empty for a pass."""
        refused = sorted((c for c in self.checks if c.outcome != PASS), key=lambda c: c.outcome != FAIL)
        return tuple(c.reason for c in refused) if self.checks else ("Nothing was checked.",)

    def to_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome, "reasons": list(self.reasons), "checks": [asdict(c) for c in self.checks]}


@dataclass(frozen=True)
class Comparison:
    """Candidate against champion, sale by sale, over sales that the champion has never seen.

    Attributes:
        champion: what the champion is called.
        n: the sales compared.
        mean, low, high: mean of |log(value / price)| of the candidate less that of the champion, with
            its 95 % interval; below zero the candidate is better.
        problem: why the two could not be compared; empty if they could.
        outdated: the champion is of a format that can be read and served no more.
    """

    champion: str
    n: int = 0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    problem: str = ""
    outdated: bool = False


def compare(champion: str, prices: np.ndarray, candidate: np.ndarray, champions: np.ndarray) -> Comparison:
    """The paired difference of errors, with a normal interval.

    Args:
        prices, candidate, champions: price paid and the two values of each sale, shape (n,), one currency.
    """
    n = len(prices)
    if n < 2:
        return Comparison(champion, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(np.log(candidate / prices)) - np.abs(np.log(champions / prices))
        mean, error = float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(n)
    return Comparison(champion, n, mean, mean - 1.96 * error, mean + 1.96 * error)


def judge(evaluation: Mapping[str, Any], comparison: Comparison | None, bounds: Bounds) -> Verdict:
    """The verdict on one candidate.

    Args:
        evaluation: `figures`, `range` and `references` as `pipelines/evaluate.py` writes them.
        comparison: with the current champion; None when there is none yet.
    """
    figures, references = _mapping(evaluation.get("figures")), _mapping(evaluation.get("references"))
    return Verdict(
        (
            _enough_rows(figures, bounds),
            _complete(figures),
            *(_within(name, figures.get(name), *bounds.figures[name]) for name in FIGURES if name in bounds.figures),
            _not_too_good(figures, bounds),
            _coverage(_mapping(evaluation.get("range")), bounds),
            *(_reference(name, references.get(name), figures, bounds) for name in bounds.references),
            _champion(comparison, bounds),
        )
    )


def validated(promised: str | None, found: str, strangers: int) -> Check:
    """Whether the sales behind a candidate are those that passed validation.

    Args:
        promised: digest of the sales that passed, None where none did.
        found: digest of the sales that there are.
        strangers: sales of the hold-out that are not among them, or at another price.
    """
    bound = "the sales that passed validation"
    if promised is None:
        return Check("validated", CANNOT_TELL, None, bound, "No validation says that these sales passed.")
    if promised != found:
        reason = f"The sales {found[:12]} behind it are not those that passed validation, {promised[:12]}."
        return Check("validated", FAIL, None, bound, reason)
    if strangers:
        reason = f"{strangers:,} sales of the hold-out are not among those that passed, or not at their price."
        return Check("validated", FAIL, float(strangers), bound, reason)
    return Check("validated", PASS, None, bound, "Every sale behind it passed validation, unchanged since.")


def shown(name: str, value: float | None) -> str:
    """A figure for people, such as '8.9 %' or '0.871'."""
    if value is None:
        return "none"
    if name == "n":
        return f"{value:,.0f}"
    if name == "cod":
        return f"{value:.1f}"
    return f"{100 * value:.2f} %" if name in SHARES else f"{value:.3f}"


def _enough_rows(figures: Mapping[str, Any], bounds: Bounds) -> Check:
    n, bound = finite(figures.get("n")), f"at least {bounds.min_rows:,}"
    if n is None or n < bounds.min_rows:
        found = "no count of hold-out sales" if n is None else f"only {n:,.0f} hold-out sales"
        return Check("rows", CANNOT_TELL, n, bound, f"There are {found}; a verdict needs {bound}.")
    return Check("rows", PASS, n, bound, f"{n:,.0f} hold-out sales are enough to judge by.")


def _complete(figures: Mapping[str, Any]) -> Check:
    missing = [name for name in FIGURES if finite(figures.get(name)) is None]
    found = len(FIGURES) - len(missing)
    if missing:
        reason = f"No usable figure for {', '.join(missing)}: a model is not judged by half its figures."
        return Check("complete", CANNOT_TELL, found, f"all {len(FIGURES)} figures", reason)
    return Check("complete", PASS, found, f"all {len(FIGURES)} figures", "Every figure could be worked out.")


def _within(name: str, raw: Any, low: float | None, high: float | None) -> Check:
    figure, bound = finite(raw), _bound(name, low, high)
    what = MEANINGS[name]
    if figure is None:
        return Check(name, CANNOT_TELL, None, bound, f"The {what} could not be worked out; it must be {bound}.")
    too_low, too_high = low is not None and figure < low, high is not None and figure > high
    if too_low or too_high:
        side = "below" if too_low else "above"
        return Check(
            name, FAIL, figure, bound, f"The {what} is {shown(name, figure)}, {side} what is allowed: {bound}."
        )
    return Check(name, PASS, figure, bound, f"The {what} is {shown(name, figure)}; allowed: {bound}.")


def _bound(name: str, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{shown(name, low)} to {shown(name, high)}"
    return f"at least {shown(name, low)}" if high is None else f"at most {shown(name, high)}"


def _not_too_good(figures: Mapping[str, Any], bounds: Bounds) -> Check:
    figure, bound = finite(figures.get("mdape")), f"at least {shown('mdape', bounds.too_good)}"
    if figure is None:
        return Check("too_good", CANNOT_TELL, None, bound, "Without a typical error, a leak can't be ruled out.")
    if figure < bounds.too_good:
        reason = (
            f"A typical error of {shown('mdape', figure)} is too good to be true (below "
            f"{shown('mdape', bounds.too_good)}): the model has probably seen what it should foretell."
        )
        return Check("too_good", FAIL, figure, bound, reason)
    return Check("too_good", PASS, figure, bound, "The typical error is not suspiciously small.")


def _coverage(interval: Mapping[str, Any], bounds: Bounds) -> Check:
    level, covered = finite(interval.get("level")), finite(interval.get("coverage"))
    if level is None or covered is None:
        reason = "The share of prices inside the stated range could not be worked out."
        return Check("coverage", CANNOT_TELL, covered, "near the stated level", reason)
    allowed = bounds.coverage_within
    bound = f"{100 * (level - allowed):.1f} % to {100 * min(level + allowed, 1):.1f} %"
    reason = f"{100 * covered:.1f} % of the prices lie inside the {100 * level:.0f} % range; allowed: {bound}."
    return Check("coverage", PASS if abs(covered - level) <= allowed else FAIL, covered, bound, reason)


def _reference(name: str, raw: Any, figures: Mapping[str, Any], bounds: Bounds) -> Check:
    """The candidate's typical error must be lower by the margin, on the same sales."""
    reference, margin = _mapping(raw), bounds.references[name]
    check, people = f"reference.{name}", name.replace("_", " ")
    n, its, ours = finite(reference.get("n")), finite(reference.get("mdape")), finite(figures.get("mdape"))
    if not n or n != finite(figures.get("n")) or its is None or ours is None:
        bound = f"lower than the {people} model's"
        return Check(
            check, CANNOT_TELL, ours, bound, f"There is no comparison with the {people} model on the same sales."
        )
    bound = f"lower than {shown('mdape', its * (1 - margin))}"
    less = f" less {100 * margin:.0f} % of it" if margin else ""
    theirs = f"the {people} model's, {shown('mdape', its)}{less}"
    reason = f"The typical error is {shown('mdape', ours)}; it must be lower than {theirs}."
    return Check(check, PASS if ours < its * (1 - margin) else FAIL, ours, bound, reason)


def _champion(comparison: Comparison | None, bounds: Bounds) -> Check:
    """Not worse than the champion by more than the margin, beyond what chance explains.

    Passes when the whole interval lies at or below the margin, fails when the whole interval lies
    above it; in between the sales are too few to tell.
    """
    margin = bounds.champion_margin
    bound = f"at most {_points(margin)} worse"
    if comparison is None:
        return Check("champion", PASS, None, bound, "There is no champion yet: this would be the first champion.")
    who = comparison.champion
    if comparison.outdated:
        reason = (
            f"{who} is of a format that this version can neither compare with nor serve: the candidate would take its "
            f"place on its own figures."
        )
        return Check("champion", PASS, None, bound, reason)
    if comparison.problem:
        return Check(
            "champion", CANNOT_TELL, None, bound, f"It could not be compared with {who}: {comparison.problem}."
        )
    if comparison.n < bounds.champion_min_rows:
        reason = (
            f"Only {comparison.n:,} of the hold-out sales came after {who}'s training; "
            f"a comparison needs {bounds.champion_min_rows:,}."
        )
        return Check("champion", CANNOT_TELL, None, bound, reason)
    if finite(comparison.mean) is None:
        return Check("champion", CANNOT_TELL, None, bound, f"The comparison with {who} gave no usable number.")
    mean = comparison.mean
    side = "lower than" if mean < 0 else "higher than" if mean > 0 else "equal to"
    reason = (
        f"Over {comparison.n:,} sales that {who} has never seen, the candidate's mean error is "
        f"{_points(abs(mean))} {side} {who}'s (95 % interval {_signed(comparison.low)} to {_signed(comparison.high)}); "
        f"it may be {bound}."
    )
    if comparison.high <= margin:
        return Check("champion", PASS, mean, bound, reason)
    if comparison.low > margin:
        return Check("champion", FAIL, mean, bound, reason)
    return Check("champion", CANNOT_TELL, mean, bound, f"{reason} The interval reaches past that on both sides.")


def _points(error: float) -> str:
    return f"{100 * error:.2f} points"


def _signed(error: float) -> str:
    return f"{100 * error:+.2f}"


def finite(raw: Any) -> float | None:
    """`raw` if it is a finite number, else None."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | np.floating | np.integer):
        return None
    return float(raw) if math.isfinite(raw) else None


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}
