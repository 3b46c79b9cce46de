"""validate: sales that may be learned from, those set aside, and a report of every rule."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from expectations.checks import Check
from expectations.report import page
from expectations.validation import Limits, Validation, validate
from models.files import digest, parquet_bytes, write_bytes, write_json, write_parquet, write_text
from models.market import Market
from pipelines.market_file import load_market
from pipelines.params import Params, load_params
from pipelines.places import PROFILE, RAW, SALES, SET_ASIDE, VALIDATION, VALIDATION_PAGE
from pipelines.stage import run


def main() -> None:
    params = load_params()
    market = load_market(params.market_file)
    found = judge(params, market, pd.read_parquet(RAW), earlier_profiles())
    if not found.passed:
        sys.exit(refusal(found, params.market_file))
    print(summary(found))


def judge(params: Params, market: Market, sales: pd.DataFrame, earlier: Iterator[Any]) -> Validation:
    """Judge the sales and write what was found; the sales themselves only where they passed."""
    for output in (SALES, SET_ASIDE, PROFILE, VALIDATION, VALIDATION_PAGE):
        Path(output).unlink(missing_ok=True)  # what an earlier run accepted must not outlive a refusal
    limits = Limits(params.validate.max_set_aside_share, params.validate.max_row_drop_share, params.validate.max_shift)
    found = validate(sales, market, limits, earlier, dt.date.today())
    write_text(VALIDATION_PAGE, page(found))
    accepted = None if found.accepted is None else parquet_bytes(found.accepted)
    passed = None if accepted is None else digest(accepted)
    write_json(VALIDATION, found.to_dict() | {"sales": passed})  # the gate takes no others
    if accepted is not None and found.set_aside is not None:
        write_bytes(SALES, accepted)
        write_parquet(SET_ASIDE, found.set_aside)
        write_json(PROFILE, found.profile)
    return found


def earlier_profiles() -> Iterator[Any]:
    """The profiles committed with earlier versions of the data, newest first; none outside a git repository.

    The newest may be of the very sales at hand, committed after they were made: the one before is then
    the version to compare with, in the author's folder and in every clone alike.
    """
    for commit in (_git("log", "--format=%H", "--", str(PROFILE)) or "").split():
        # Paths in `git show` count from the repository's root; "./" makes this one count from here.
        if (text := _git("show", f"{commit}:./{PROFILE}")) is not None:
            try:
                yield json.loads(text)
            except ValueError:
                continue  # not written by this stage, so nothing to compare with


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def refusal(found: Validation, market_file: Path) -> str:
    """What stopped the line, for the person who must act on it."""
    causes = [check for check in found.critical if check.was_run]
    unchecked = len(found.critical) - len(causes)
    lines = [f"validate: the {found.market.name} sales stop the line; {_count(len(causes), 'critical rule')} failed:"]
    lines += [f"  - {_finding(check)}" for check in causes]
    if unchecked:
        lines.append(f"  ({_count(unchecked, 'further rule')} could not be checked because of these)")
    lines.append(f"Correct the source, or {market_file} and params.yaml where the data is right, and run it again.")
    lines.append(f"report: {VALIDATION_PAGE}")
    return "\n".join(lines)


def summary(found: Validation) -> str:
    rows, accepted = len(found.sales), 0 if found.accepted is None else len(found.accepted)
    lines = [f"{accepted:>9,} of {rows:,} sales go on; {len(found.checks)} rules checked"]
    lines += [f"{check.failed_count:>9,} set aside: {check.rule}" for check in found.suspicions if check.failed_count]
    lines += [f"  warning: {_finding(check)}" for check in found.warnings]
    lines += [f"     note: {_finding(check)}" for check in found.checks if check.severity == "info"]
    return "\n".join([*lines, f"   report: {VALIDATION_PAGE}"])


def _finding(check: Check) -> str:
    found = f"{check.rule}: {check.detail}" if check.detail else check.rule
    return "; e.g. ".join([found, *check.examples[:1]]) + "".join(f"; {example}" for example in check.examples[1:3])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    run(main)
