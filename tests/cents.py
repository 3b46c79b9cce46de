"""Appraisals by the kernel beside those by LightGBM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from models.appraisal import Appraisal
from models.reasons import Lines, Reasons


def same_to_a_cent(ours: Sequence[Appraisal], theirs: Sequence[Appraisal]) -> None:
    """Values and choices are the same; what they are made of, told by the kernel and by LightGBM, to a cent."""

    def figures(told: Appraisal) -> dict[str, float]:
        lines = [
            *((why.name, why.lines) for why in told.reasons),
            *((s.sale_id, s.adjustments) for s in told.comparables),
        ]
        return {f"{of}.{line.name}": line.amount for of, some in lines for line in some if line.name != "rounding"}

    for one, other in zip(ours, theirs, strict=True):
        chosen = [[sale._replace(adjustments=Lines()) for sale in told.comparables] for told in (one, other)]
        assert chosen[0] == chosen[1]
        bare = [replace(told, base=0.0, reasons=Reasons(), comparables=()) for told in (one, other)]
        assert bare[0] == bare[1]
        assert one.base == pytest.approx(other.base, rel=0, abs=0.0101)
        assert figures(one) == pytest.approx(figures(other), rel=0, abs=0.0101)
