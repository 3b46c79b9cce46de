"""The order of the checks: what stops the line first, then what is set aside, then what has changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from expectations import declared, drift
from expectations.checks import Check, Expected, load_suite, run_suite
from expectations.suspicious import Suspicion, find_suspicious, suspicions
from models.market import Market

SUITES = Path(__file__).parent


@dataclass(frozen=True)
class Limits:
    """Shares from 0 to 1: of sales set aside, of sales fewer than before, and of a column's shift."""

    max_set_aside_share: float
    max_row_drop_share: float
    max_shift: float


@dataclass(frozen=True)
class Validation:
    """What was found. `accepted` and `profile` are there only where no critical rule failed."""

    market: Market
    sales: pd.DataFrame
    checks: tuple[Check, ...]
    suspicions: tuple[Check, ...] = ()
    set_aside: pd.DataFrame | None = None
    accepted: pd.DataFrame | None = None
    profile: dict[str, Any] | None = None

    @property
    def passed(self) -> bool:
        return not self.critical

    @property
    def critical(self) -> list[Check]:
        return _failed(self.checks, "critical")

    @property
    def warnings(self) -> list[Check]:
        return _failed(self.checks, "warning")

    def to_dict(self) -> dict[str, Any]:
        return {
            "market": self.market.name,
            "rows": len(self.sales),
            "accepted": 0 if self.accepted is None else len(self.accepted),
            "set_aside": {check.rule: check.failed_count for check in self.suspicions},
            "passed": self.passed,
            "checks": [check.to_dict() for check in (*self.checks, *self.suspicions)],
        }


def validate(
    sales: pd.DataFrame, market: Market, limits: Limits, earlier: Iterable[Any], today: dt.date, suites: Path = SUITES
) -> Validation:
    """Judge a canonical table of sales; the first group of rules with a critical failure ends it.

    Args:
        sales: as `canonical_sales` gives it, in its order and with index labels 0, 1, ...
        earlier: profiles of versions of the data that came before, newest first; read only as far as needed.
        today: no sale can be later.
        suites: the folder of the hand-written suites.
    """
    checks = check_cells(sales, market, today, suites)
    if _failed(checks, "critical"):
        return Validation(market, sales, tuple(checks))

    reason = find_suspicious(sales, market)
    suspected, share = _check_set_aside(sales.assign(reason=reason), suspicions(market), limits.max_set_aside_share)
    checks.append(share)
    set_aside = sales.assign(reason=reason).dropna(subset="reason").reset_index(drop=True)
    accepted = sales[reason.isna()].reset_index(drop=True)
    checks += run_suite("accepted", accepted, load_suite(suites / "accepted.json"))
    if _failed(checks, "critical"):
        return Validation(market, sales, tuple(checks), tuple(suspected), set_aside)

    profile = drift.profile(accepted, market)
    checks += _compare(accepted, drift.version_before(profile, earlier), limits)
    if _failed(checks, "critical"):
        return Validation(market, sales, tuple(checks), tuple(suspected), set_aside)
    return Validation(market, sales, tuple(checks), tuple(suspected), set_aside, accepted, profile)


def check_cells(sales: pd.DataFrame, market: Market, today: dt.date, suites: Path = SUITES) -> list[Check]:
    """Columns, types, then every cell. A column that is absent or of another type fails there, once;
    the rules about its cells are kept as not checked."""
    (columns,) = run_suite("columns", sales, declared.column_expectations(market))
    checks = [declared.with_source_columns(columns, sales, market)]
    types = declared.type_expectations(market)
    unusable = []
    for column, check in zip(types, run_suite("types", sales, list(types.values())), strict=True):
        checks.append(declared.with_cells(check, sales, market, column))
        if not check.passed and column in sales:
            unusable.append(column)
    usable = sales.drop(columns=unusable)
    checks += run_suite("sales", usable, load_suite(suites / "sales.json"))
    expectations = declared.value_expectations(market, today)
    return checks + run_suite("values", usable, expectations, declared.derived_columns(usable, market))


def _check_set_aside(
    sales: pd.DataFrame, suspected: Sequence[Suspicion], max_share: float
) -> tuple[list[Check], Check]:
    """A warning for each reason that a sale was set aside for, and the rule that they aren't too many."""
    expectations = [
        Expected(
            "expect_column_values_to_not_be_in_set",
            {"column": "reason", "value_set": [suspicion.reason]},
            suspicion.reason,
            "warning",
            suspicion.shown,
        )
        for suspicion in suspected
    ]
    few = f"at most {100 * max_share:g} % of the sales are set aside"
    expectations.append(Expected("expect_column_values_to_be_null", {"column": "reason", "mostly": 1 - max_share}, few))
    *reasons, share = run_suite("set aside", sales, expectations)
    return reasons, share


def _compare(accepted: pd.DataFrame, before: Any, limits: Limits) -> list[Check]:
    if before is None:
        rule = "compared with the version of the data before"
        return [Check(rule, "info", True, detail="no earlier version: nothing to compare")]
    checks = run_suite("volume", accepted, drift.volume_expectations(before, limits.max_row_drop_share))
    moved = drift.shifts(accepted, before)
    table = pd.DataFrame([moved], dtype="float64")
    return checks + run_suite("shift", table, drift.shift_expectations(moved, limits.max_shift))


def _failed(checks: Sequence[Check], severity: str) -> list[Check]:
    return [check for check in checks if check.severity == severity and not check.passed]
