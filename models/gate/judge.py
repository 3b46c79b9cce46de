"""The verdict on one candidate: figures, comparison and bounds go in, checks come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.gate.accuracy import accuracy_checks
from models.gate.bounds import Bounds
from models.gate.champion import Comparison, champion_checks
from models.gate.check import Check, Verdict
from models.gate.equity import equity_checks
from models.gate.measures import behaviour_checks, calibration_checks, cost_checks


def judge(
    evaluation: Mapping[str, Any],
    comparison: Comparison | None,
    cost: Mapping[str, Any],
    shown: Sequence[Check],
    bounds: Bounds,
) -> Verdict:
    """The verdict; a part of the evaluation that is missing passes nothing.

    Args:
        evaluation: as `pipelines/evaluate.py` writes it.
        comparison: with the current champion; None when there is none yet.
        cost: as `cost_checks` takes it.
        shown: checks that rest on files rather than on the evaluation: provenance, segments.
    """
    return Verdict(
        (
            *shown,
            *accuracy_checks(evaluation, bounds),
            *equity_checks(evaluation, bounds),
            *calibration_checks(evaluation, comparison, bounds),
            *behaviour_checks(evaluation, bounds),
            *champion_checks(comparison, bounds),
            *cost_checks(cost, comparison, bounds),
        )
    )
