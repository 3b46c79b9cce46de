"""How often: requests a minute, counted in memory that all workers share.

A bucket holds a minute's worth of requests and fills up evenly. All that is kept of it is one number, the time by
which it will be full again (the generic cell rate algorithm), so workers share a bucket by sharing eight bytes.
Two that write at the same instant may let one request too many pass. Time is monotonic: a clock that is set
locks nobody out. There too stands whether keys are asked for at all.
"""

from __future__ import annotations

import mmap
import os
import time
import zlib
from dataclasses import dataclass
from functools import cache

MINUTE = 60.0
#: Buckets of keys, by their place in the file, and of addresses, by a hash.
KEYS, ADDRESSES = 4096, 1024
_KEYED = KEYS + ADDRESSES
BYTES = 8 * (_KEYED + 1)
#: What tells a worker the descriptor of the memory that all workers share.
RATES_FD = "ASSAY_RATES_FD"


@dataclass(frozen=True)
class Bucket:
    """What is left of a caller's requests after this one.

    Attributes:
        allowed: whether this request is within the limit.
        left: requests that may follow at once.
        seconds: until the bucket is full again; where this request is refused, until one is allowed.
    """

    allowed: bool
    left: int
    seconds: float


class Rates:
    """Buckets in the memory behind a file descriptor of at least `BYTES` bytes; without one, in this process's own."""

    def __init__(self, fd: int = -1) -> None:
        self._full_at = memoryview(mmap.mmap(fd, BYTES)).cast("d")

    def of_key(self, place: int, per_minute: int) -> Bucket:
        return self._take(place % KEYS, per_minute)

    def of_address(self, address: str, per_minute: int) -> Bucket:
        return self._take(KEYS + _hash(address), per_minute)

    @property
    def keys_are_asked_for(self) -> bool:
        """Whether any process that shares this memory has asked a caller for a key."""
        return bool(self._full_at[_KEYED])

    def ask_for_keys(self) -> None:
        """From now on, whatever becomes of the file of keys or of this process."""
        self._full_at[_KEYED] = 1.0

    def _take(self, cell: int, per_minute: int) -> Bucket:
        now = time.monotonic()
        each = MINUTE / per_minute
        full_at = max(self._full_at[cell], now) + each
        if (beyond := full_at - now - MINUTE) > 1e-9:
            return Bucket(False, 0, beyond)
        self._full_at[cell] = full_at
        return Bucket(True, int((MINUTE - (full_at - now)) / each + 1e-6), full_at - now)


def _hash(address: str) -> int:
    return zlib.crc32(address.encode()) % ADDRESSES


@cache
def shared_rates() -> Rates:
    """The one table of this process: the supervisor's, where there is one."""
    return Rates(int(os.environ.get(RATES_FD, "-1")))
