"""What a worker serves right now: one reference, so that a swap is one assignment and no answer mixes two models.

A thread looks at the pointer. When promotion, a refresh or a rollback has moved it, the new version is laid out by a
child process, mapped and proven, and only then takes the place of the old one; each worker does so for itself, and the
one that was first makes the layout for all. Whatever is wrong with the new version, the old one serves on.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from serving import records
from serving.champion import Champion, NoChampion, Pointer
from serving.layouts import Layouts

#: Seconds between two looks at the pointer; a look costs microseconds.
LOOK = 0.2
#: Seconds after which a version that was refused is tried again though nothing has changed.
AGAIN = 60.0
#: Objects that a worker makes, and still holds, between two searches for circles: more than eight answers hold while
#: they are worked out.
SELDOM = 5000

Promoted = tuple[Pointer, bytes]


@dataclass
class Swaps:
    """How often another version took the place of the one before, how often one was refused, and why at last."""

    done: int = 0
    refused: int = 0
    why: str = ""


class Holder:
    """The champion of this worker, or why there is none.

    Attributes:
        champion: None until one was loaded. Whoever answers a request reads it once and keeps to what it read.
        missing: what is missing, and what to do about it.
    """

    def __init__(self, promoted: Callable[[], Promoted], layouts: Layouts) -> None:
        self._promoted = promoted
        self._layouts = layouts
        self.champion: Champion | None = None
        self.missing = "the model is still being made ready"
        self.swaps = Swaps()
        self._serves: Promoted | None = None
        self._refused: tuple[Promoted | str, float] | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Looks once, and again and again until `stop`; does not wait for a version to be laid out."""
        threading.Thread(target=self._watch, name="champion", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:
                records.look_failed()
                if self.champion is None:
                    self.missing = f"a fault of ours keeps the model from being read: {error!r}; the log has the trace"
            if self._stopping.wait(LOOK):
                return

    def look(self) -> None:
        """Takes the promoted version into service if it is another than the one that serves."""
        try:
            promoted = self._promoted()
        except NoChampion as error:
            self._refuse(str(error), str(error))
            return
        if promoted == self._serves or (self._refused and self._refused[0] == promoted and self._still_refused()):
            return
        try:
            champion = self._layouts.load(*promoted)
        except NoChampion as error:
            self._refuse(promoted, str(error))
        else:
            self._take(promoted, champion)

    def _take(self, promoted: Promoted, champion: Champion) -> None:
        before, self.champion = self.champion, champion
        self._serves, self._refused = promoted, None
        if before is not None:
            self.swaps.done += 1
        records.model_serves(champion)
        if before is None:
            gc.collect()
            gc.freeze()  # what a worker has imported stays: collections that walk it cost tenths of a second
            gc.set_threshold(SELDOM)

    def _refuse(self, what: Promoted | str, why: str) -> None:
        if self._refused and self._refused[0] == what and self._still_refused():
            return
        self._refused = what, time.monotonic()
        self.swaps.refused += 1
        self.swaps.why = why
        if self.champion is None:
            self.missing = why
        records.model_refused(why, self.champion)

    def _still_refused(self) -> bool:
        return self._refused is not None and time.monotonic() - self._refused[1] < AGAIN
