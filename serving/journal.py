"""The journal: one line of JSON for each value told, with all that is needed to tell it again.

Each worker appends to files of its own, `<UTC day>-<pid>.jsonl` and from the second on
`<UTC day>-<pid>.<n>.jsonl`. A thread writes what a bounded queue holds, so that no answer waits
for a disk; `serving.past` reads.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import orjson

from serving.breaker import Breaker
from serving.logs import Seldom, tell
from serving.metrics import EVENTS_LOST, EVENTS_WAITING, EVENTS_WRITTEN

#: Events that may wait in memory, about 1.6 KB each: a batch's of a moment, or some minutes' of a disk that is full.
MOST_WAITING = 30_000
#: A file that has reached this many bytes is followed by the next.
MOST_BYTES = 64 << 20
#: Seconds between two writes, and between two times the disk is made to keep them.
WRITE_EVERY, SYNC_EVERY = 0.2, 1.0
#: Seconds by which wall and monotonic clock may part between two writes before somebody has set one.
SET_CLOCK = 2.0
#: Lines written at once: a megabyte or so, and the queue has room again soon.
_BATCH = 500
#: Numbers of NumPy as the numbers they are; what is missing, a NaN, becomes null.
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
Lines = Callable[[], Sequence[dict[str, Any]]]


def folder_of_events() -> Path:
    """Where events go; relative to the directory the server was started in."""
    return Path(os.environ.get("ASSAY_EVENTS", ".assay/events"))


class Journal:
    """Appends the events of one process; `close` when the last request has been answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queue: deque[tuple[int, Lines]] = deque()
        self._lines: deque[bytes] = deque()  # rendered, and next to be written
        self._lock = Lock()
        self._taken = self._done = 0  # events ever taken; and written or given up
        self._file = _File(folder)
        self._breaker = Breaker("events")
        self._alert = Seldom()
        self._lost = self._told_lost = 0
        self._ending = Event()
        self._drift = time.time() - time.monotonic()
        self._thread = Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, count: int, lines: Lines) -> bool:
        """Takes `count` events, which `lines` renders later in another thread; false when there is no room and they
        are lost. Never waits for the disk.
        """
        with self._lock:
            if self._taken - self._done + count > MOST_WAITING:
                self._lost += count
                EVENTS_LOST.inc(count)
                return False
            self._taken += count
        self._queue.append((count, lines))
        return True

    def close(self, seconds: float = 3.0) -> None:
        """Writes what waits, for at most so many seconds."""
        self._ending.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        ending = False
        synced = time.monotonic()
        while not ending:
            ending = self._ending.wait(WRITE_EVERY)
            self._watch_the_clock()
            self._write(ending)
            if ending or time.monotonic() >= synced + SYNC_EVERY:
                self._sync()
                synced = time.monotonic()
            if ending:
                self._give_up(self._taken - self._done)
            self._tell_losses(ending)
            EVENTS_WAITING.set(self._taken - self._done)
        self._file.close()

    def _write(self, at_all_costs: bool) -> None:
        while self._queue:
            self._render(*self._queue.popleft())
        while self._lines and (self._breaker.allows() or at_all_costs):
            batch = list(islice(self._lines, _BATCH))
            try:
                count = self._file.append(batch)
            except OSError as error:
                self._breaker.failed(error)
                return
            self._breaker.succeeded()
            for _ in range(count):
                self._lines.popleft()
            self._done += count
            EVENTS_WRITTEN.inc(count)

    def _render(self, count: int, lines: Lines) -> None:
        try:
            rendered = [orjson.dumps(line, option=_OPTIONS) + b"\n" for line in lines()]
        except Exception:
            tell("request-failed", logging.ERROR, trace=True, doing="writing down an answer that was told")
            self._give_up(count)
        else:
            self._lines.extend(rendered)

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            self._breaker.failed(error)

    def _give_up(self, count: int) -> None:
        self._done += count
        self._lost += count
        EVENTS_LOST.inc(count)

    def _tell_losses(self, at_last: bool) -> None:
        if (lost := self._lost - self._told_lost) and (self._alert.now() or at_last):
            self._told_lost += lost
            waiting = self._taken - self._done
            tell("events-lost", logging.ERROR, lost=lost, waiting=waiting, folder=str(self._folder))

    def _watch_the_clock(self) -> None:
        drift = time.time() - time.monotonic()
        if abs(drift - self._drift) > SET_CLOCK:
            tell("clock-jumped", logging.WARNING, seconds=round(drift - self._drift, 1))
        self._drift = drift


class _File:
    """The file that is appended to: opened with the first line of a day, followed by another when it is full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._day = ""
        self._number = 0
        self._torn = False  # it ends within a line, which the next is to be kept apart from
        self._dirty = False

    def append(self, lines: Sequence[bytes]) -> int:
        """How many of the lines have been written whole, at least one unless the disk takes a little at a time.

        Raises:
            OSError: when none was.
        """
        descriptor = self._opened()
        start = b"\n" if self._torn else b""
        told = start + b"".join(lines)
        written = os.write(descriptor, told)
        self._dirty = True
        self._torn = written < len(told)
        return told[len(start) : written].count(b"\n")

    def sync(self) -> None:
        if self._descriptor is not None and self._dirty:
            os.fsync(self._descriptor)
            self._dirty = False

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        today = datetime.now(UTC).date().isoformat()
        if self._descriptor is not None:
            state = os.fstat(self._descriptor)
            if today == self._day and state.st_size < MOST_BYTES and state.st_nlink:
                return self._descriptor
            self.sync()
            self.close()
        if today != self._day:
            self._day, self._number = today, 0
        self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        """The first of the day's files that has room: a worker that has its number again goes on where it was."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            suffix = f".{self._number}" if self._number else ""
            path = self._folder / f"{self._day}-{os.getpid()}{suffix}.jsonl"
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = os.fstat(descriptor).st_size
            if size < MOST_BYTES:
                self._torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                return descriptor
            os.close(descriptor)
            self._number += 1
