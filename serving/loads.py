"""How many callers each worker has, in memory that all share, so that the one with the fewest takes the next."""

from __future__ import annotations

import mmap

from serving.rates import BYTES as BEFORE

MOST_WORKERS = 64
#: Of the shared memory: first what `serving.rates` keeps, then a number for each worker.
BYTES = BEFORE + 8 * MOST_WORKERS


class Loads:
    """The numbers of all workers behind a file descriptor of `BYTES` bytes. 0 stands for a worker that takes nobody."""

    def __init__(self, fd: int) -> None:
        self._callers = memoryview(mmap.mmap(fd, BYTES)).cast("q")[BEFORE // 8 :]

    def tell(self, worker: int, callers: int) -> None:
        self._callers[worker] = callers + 1

    def leave(self, worker: int) -> None:
        self._callers[worker] = 0

    def is_anybody_there(self) -> bool:
        """Whether some worker takes callers."""
        return any(self._callers)

    def has_fewest(self, worker: int) -> bool:
        return self._callers[worker] <= min((n for n in self._callers if n), default=0)
