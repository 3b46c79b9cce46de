"""Running a suite over a table of sales, and what each of its rules found.

Great Expectations reports a failure in several shapes: rows, one observed figure, or an exception
in either of two layouts. Here each becomes a `Check`, and whatever isn't a plain success is a failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from models.fault import Fault

MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Check:
    """What a rule found. `severity` is critical, warning or info; `failed_count` counts rows and is 0
    where the rule is about the table as a whole; `was_run` is False where a column it needs is unusable."""

    rule: str
    severity: str
    passed: bool
    failed_count: int = 0
    detail: str = ""
    examples: tuple[str, ...] = ()
    was_run: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "severity": self.severity,
            "passed": self.passed,
            "failed_count": self.failed_count,
            "detail": self.detail,
            "examples": list(self.examples),
        }


class SuiteError(Fault):
    """A suite's file can't be used; the text names the file and what it needs."""


@dataclass(frozen=True)
class Expected:
    """One expectation: the library's `type` and `kwargs`, the rule in words, and the columns that an
    example shows where they aren't those that the expectation is about."""

    type: str
    kwargs: Mapping[str, Any]
    rule: str
    severity: str = "critical"
    shown: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        single = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return [*single, *self.kwargs.get("column_list", ())]


def load_suite(path: Path) -> list[Expected]:
    """The expectations of a hand-written suite, in the library's own format: a name, and expectations
    without ids whose `meta` holds the rule in words.

    Raises:
        SuiteError: the file is absent, isn't a suite, or holds an expectation without a rule or a severity.
    """
    try:
        written = json.loads(path.read_text())["expectations"]
        return [Expected(e["type"], e["kwargs"], e["meta"]["rule"], e["severity"]) for e in written]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        needs = "each needs type, kwargs, severity and meta with the rule in words"
        raise SuiteError(f"{path} is not a suite of expectations, {needs} ({problem})") from error


def run_suite(
    name: str, sales: pd.DataFrame, suite: Sequence[Expected], derived: Mapping[str, pd.Series] | None = None
) -> list[Check]:
    """One check for each expectation, in the suite's order.

    Args:
        name: what the suite is called.
        sales: the table; examples are rows of it.
        suite: an empty one fails.
        derived: further columns that expectations look at and examples don't show.
    """
    if not suite:
        return [Check(f"the suite {name!r} has rules", "critical", False, detail="it is empty: nothing was checked")]
    table = sales.assign(**derived) if derived else sales
    runnable = {place: e for place, e in enumerate(suite) if all(column in table for column in e.columns)}
    results = _results(name, table, runnable) if runnable else {}
    return [
        _check(expected, results.get(place), sales) if place in runnable else _unchecked(expected, table)
        for place, expected in enumerate(suite)
    ]


@cache
def _context() -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _results(name: str, table: pd.DataFrame, suite: Mapping[int, Expected]) -> dict[int, Any]:
    """The library's results by place in the suite: it gives them in an order of its own."""
    expectations = [
        {"type": e.type, "kwargs": dict(e.kwargs), "severity": e.severity, "meta": {"place": place}}
        for place, e in suite.items()
    ]
    source = _context().data_sources.add_or_update_pandas("sales")
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
    report = batch.validate(gx.ExpectationSuite(name, expectations), result_format={"result_format": "COMPLETE"})
    return {result.expectation_config.meta["place"]: result for result in report.results}


def _unchecked(expected: Expected, table: pd.DataFrame) -> Check:
    absent = next(column for column in expected.columns if column not in table)
    detail = f"not checked: {absent} is missing or unreadable"
    return Check(expected.rule, expected.severity, False, detail=detail, was_run=False)


def _check(expected: Expected, result: Any, sales: pd.DataFrame) -> Check:
    rule, severity = expected.rule, expected.severity
    if result is None:
        return Check(rule, severity, False, detail="the check gave no result")
    if error := _exception(result.exception_info or {}):
        return Check(rule, severity, False, detail=f"the check itself failed: {error}")
    found, passed = result.result, bool(result.success)
    rows = list(found.get("unexpected_index_list") or ())
    detail = _observed(found)
    if "unexpected_count" in found:
        detail = f"{len(rows):,} of {len(sales):,} sales" if rows else ""
    shown = expected.shown or [column for column in expected.columns if column in sales]
    return Check(rule, severity, passed, 0 if passed else len(rows), detail, examples(sales, rows, shown))


def _exception(info: Mapping[str, Any]) -> str | None:
    """The message of what was raised, if anything was: the library nests it by metric, or doesn't."""
    layouts = [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, Mapping)]
    raised = [str(part.get("exception_message")) for part in layouts if part.get("raised_exception")]
    return raised[0] if raised else None


def _observed(found: Mapping[str, Any]) -> str:
    mismatched = (found.get("details") or {}).get("mismatched")
    if mismatched:
        return "; ".join(f"{kind}: {', '.join(map(str, names))}" for kind, names in sorted(mismatched.items()))
    observed = found.get("observed_value")
    return "" if observed is None or isinstance(observed, list) else f"found {cell(observed)}"


def examples(sales: pd.DataFrame, rows: Sequence[Any], shown: Sequence[str]) -> tuple[str, ...]:
    """The first few of `rows` (labels of the table's index) in words, with the values of the columns `shown`."""
    return tuple(_example(sales.loc[row], shown) for row in rows[:MAX_EXAMPLES])


def _example(row: pd.Series, shown: Sequence[str]) -> str:
    known = "sale_id" in row.index and pd.notna(row["sale_id"])
    sale = f"sale {row['sale_id']}" if known else f"row {row.name}"
    values = ", ".join(f"{column} = {cell(row[column])}" for column in shown)
    return f"{sale}: {values}" if values else sale


def cell(value: Any) -> str:
    """A cell as people write it: dates without time, whole numbers without ".0"."""
    if pd.isna(value):
        return "missing"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
