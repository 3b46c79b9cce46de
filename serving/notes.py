"""What is noted of one request while it is answered; `serving.records` makes of it what is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from models.appraisal import Appraisal, Range
from serving.champion import Champion


@dataclass(frozen=True, slots=True)
class Valued:
    """One value as it was told, with what is needed to come by it again.

    Attributes:
        home: as it was parsed.
        features: the forests' row for it, NaN where something is missing; None where nobody kept it.
        part: which part of the answer it is: the row of a batch, or the side of a comparison.
    """

    id: str
    home: Mapping[str, Any]
    as_of: date
    value: float
    ranges: Sequence[Range] = ()
    features: Sequence[float] | None = None
    part: int | str | None = None

    @classmethod
    def of(
        cls, told_id: str, home: Mapping[str, Any], as_of: date, appraisal: Appraisal, part: int | str | None = None
    ) -> Valued:
        return cls(told_id, home, as_of, appraisal.value, appraisal.ranges, appraisal.features, part)


@dataclass(slots=True)
class Notes:
    """Of one request. Times are those of `time.perf_counter`.

    Attributes:
        key_id: who asks; None where no keys are in force.
        champion: who answered, once somebody has.
        valued: told, and not yet in the journal.
        cached: whether the answer is one that was told before.
        laps: stage, beginning and end, as they followed each other.
    """

    request_id: str = ""
    key_id: str | None = None
    champion: Champion | None = None
    valued: list[Valued] = field(default_factory=list)
    cached: bool = False
    laps: list[tuple[str, float, float]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str | None) -> None:
        """What was done since the last lap was this stage, one of `serving.metrics.STAGES`; None for waiting."""
        now = time.perf_counter()
        if stage is not None:
            self.laps.append((stage, self._last, now))
        self._last = now
