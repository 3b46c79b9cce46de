"""How long the work for one request may go on: until its time is over, or nobody waits for it any more."""

from __future__ import annotations

import time

from serving.problems import Problem


class Deadline:
    """Made by the edge, in `scope["state"]["deadline"]`; long work calls `check` between its slices, in any thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._abandoned = False

    def abandon(self) -> None:
        """The caller has hung up."""
        self._abandoned = True

    def left(self) -> float:
        """Seconds; 0 or less when the work is to stop."""
        return 0.0 if self._abandoned else self._until - time.monotonic()

    def check(self) -> None:
        """Raises a Problem when the work is to stop."""
        if self._abandoned:
            raise Problem(503, "abandoned", "the caller hung up")
        if time.monotonic() >= self._until:
            raise timeout(self._seconds)


def timeout(seconds: float) -> Problem:
    return Problem(504, "timeout", f"the work took longer than {seconds:g} seconds; send fewer homes at once")
