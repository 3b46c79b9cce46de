"""Load in the background of a drill, whose answers can be looked at while it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from tests.bench import load
from tests.bench.load import Cell, Load


class Pressure:
    """`with Pressure(cell) as pressure`: asks until the block ends, or the cell's own end."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.load = cell, Load()
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pressure")

    def __enter__(self) -> Pressure:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._failed is not None:
            raise self._failed

    def taken(self) -> list[tuple[bytes, int, bytes]]:
        """What was answered since the last time, which the load then forgets."""
        answers, self.load.answers = self.load.answers, []
        return answers

    def wait_for(self, seen: Callable[[Load], bool], seconds: float) -> bool:
        """Whether `seen` became true of the load in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._thread.is_alive():
            if seen(self.load):
                return True
            time.sleep(0.02)
        return seen(self.load)

    def _run(self) -> None:
        try:
            load.run(self.cell, self._stop.is_set, self.load)
        except BaseException as error:
            self._failed = error
