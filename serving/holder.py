"""What a worker serves right now: one reference, so that a swap is one assignment and no answer mixes two models."""

from __future__ import annotations

from collections.abc import Callable

from serving import records
from serving.champion import Champion, NoChampion, Pointer, load_champion


class Holder:
    """The champion of this worker, or why there is none.

    Attributes:
        champion: None until one was loaded. Whoever answers a request reads it once and keeps to what it read.
        missing: what is missing, and what to do about it.
    """

    def __init__(self, promoted: Callable[[], tuple[Pointer, bytes]]) -> None:
        self._promoted = promoted
        self.champion: Champion | None = None
        self.missing = "the model is still being loaded"

    def load(self) -> None:
        """Takes the promoted model into service; keeps what serves where that one can't."""
        try:
            self.champion = load_champion(*self._promoted())
        except NoChampion as error:
            self.missing = str(error)
            records.model_refused(error, self.champion)
        else:
            records.model_serves(self.champion)
