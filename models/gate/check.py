"""A check of the gate, the verdict that checks add up to, and figures in words.

It fails closed: a figure that is missing, NaN or rests on too few sales never passes, and neither does a
verdict without checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"

#: What each figure of a ratio study says.
MEANINGS = {
    "n": "hold-out sales",
    "mdape": "typical error (MdAPE)",
    "ppe5": "share of values within 5 % of the price",
    "ppe10": "share of values within 10 % of the price",
    "ppe20": "share of values within 20 % of the price",
    "rmse_log": "RMSE of log price",
    "r2": "share of price differences explained (R²)",
    "median_ratio": "median of value / price",
    "cod": "uniformity (COD)",
    "prd": "balance of cheap against dear homes (PRD)",
    "prb": "change of the ratio as value doubles (PRB)",
    "mki": "equity over all prices (MKI)",
    "vei": "dearest homes' ratio above the cheapest's, in percent (VEI)",
}
SHARES = ("mdape", "ppe5", "ppe10", "ppe20")
PERCENTS = ("cod", "vei")


@dataclass(frozen=True)
class Check:
    """One question put to the candidate.

    Attributes:
        about: what it is about, such as "equity"; checks are grouped by it.
        outcome: "pass", "fail" or "cannot tell".
        figure: what was measured, or None where it could not be.
        told: the figure as people read it.
        bound: what is allowed, in words.
        low, high: the figure's interval, where it has one.
        n: what it rests on: sales, homes or questions.
        rows: what it was worked out from, as a table, where that helps a reviewer.
    """

    name: str
    about: str
    outcome: str
    figure: float | None
    told: str
    bound: str
    reason: str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    rows: tuple[Mapping[str, Any], ...] = ()


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
        checks = [asdict(c) | {"rows": list(map(dict, c.rows))} for c in self.checks]
        return {"outcome": self.outcome, "reasons": list(self.reasons), "checks": checks}


def shown(name: str, value: float | None) -> str:
    """A figure for people, such as '8.9 %' or '0.871'."""
    if value is None:
        return "none"
    if name == "n":
        return f"{value:,.0f}"
    if name in PERCENTS:
        return f"{value:.1f}"
    return share(value) if name in SHARES else f"{value:.3f}"


def share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.2f} %"


def allowed(name: str, low: float | None, high: float | None) -> str:
    """The bounds of a figure in words."""
    if low is not None and high is not None:
        return f"{shown(name, low)} to {shown(name, high)}"
    return f"at least {shown(name, low)}" if high is None else f"at most {shown(name, high)}"


def at_most(name: str, about: str, raw: Any, most: float, what: str, tell: Any = share, n: int | None = None) -> Check:
    """A figure that may not pass a bound, told in one sentence.

    Args:
        what: the figure in words, the subject of the sentence.
        tell: puts a number into words.
    """
    figure, bound = finite(raw), f"at most {tell(most)}"
    if figure is None:
        return Check(name, about, CANNOT_TELL, None, "none", bound, f"{what} could not be measured.", n=n)
    outcome = PASS if figure <= most else FAIL
    return Check(name, about, outcome, figure, tell(figure), bound, f"{what}: {tell(figure)}; allowed: {bound}.", n=n)


def finite(raw: Any) -> float | None:
    """`raw` if it is a finite number, else None."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | np.floating | np.integer):
        return None
    return float(raw) if math.isfinite(raw) else None


def mapping(raw: Any) -> Mapping[str, Any]:
    """`raw` if it is a mapping, else an empty one."""
    return raw if isinstance(raw, Mapping) else {}


def ends(raw: Any) -> tuple[float | None, float | None]:
    """An interval as JSON holds it; None for what is none."""
    if not isinstance(raw, list | tuple) or len(raw) != 2:
        return None, None
    return finite(raw[0]), finite(raw[1])
