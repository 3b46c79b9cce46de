"""A circuit breaker: what fails again and again is left alone for a while, then tried once.

Our own thirty lines because the libraries at hand time the pause by the wall clock: set back an
hour, it would leave a disk alone that has long been well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

from serving.logs import tell
from serving.metrics import BREAKER_OPEN

#: Failures in a row that open it, and seconds until it is tried again.
FAILURES, PAUSE = 3, 5.0
_known: dict[str, Breaker] = {}


class Breaker:
    """Ask `allows` before each try, and tell it how the try went; for any number of threads.

    Attributes:
        is_open: true from the last of too many failures until a try succeeds.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._tried = 0.0
        self.is_open = False
        self._gauge = BREAKER_OPEN.labels(name)
        _known[name] = self

    def allows(self) -> bool:
        """Whether to try; while it is open, once in `PAUSE` seconds and for one caller."""
        if not self.is_open:
            return True
        with self._lock:
            if self._clock() < self._tried + PAUSE:
                return False
            self._tried = self._clock()
            return True

    def succeeded(self) -> None:
        if not self._failures:
            return
        with self._lock:
            self._failures, was, self.is_open = 0, self.is_open, False
        if was:
            self._gauge.set(0)
            tell("breaker-closed", breaker=self._name)

    def failed(self, why: BaseException) -> None:
        with self._lock:
            self._failures += 1
            self._tried = self._clock()
            opens = self._failures >= FAILURES and not self.is_open
            self.is_open = self.is_open or opens
        if opens:
            self._gauge.set(1)
            tell("breaker-open", logging.WARNING, breaker=self._name, why=repr(why), tried_again_after_s=PAUSE)


def open_breakers() -> list[str]:
    """What serving does without at the moment."""
    return sorted(name for name, breaker in _known.items() if breaker.is_open)
