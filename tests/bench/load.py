"""The load generator: a closed loop over kept-alive connections, with requests made beforehand.

It keeps one core busy at most and says how busy it was: a cell in which it was is a cell of its own limits. It knows
no more of HTTP than where an answer ends.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import cast

import uvloop

HOST = "127.0.0.1"
#: Seconds that an answer may take before it counts as one that never came.
HUNG = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Load:
    """What a cell of load measured.

    Attributes:
        latency: of each request that was answered with 200, in seconds.
        statuses: how often each status was answered; 0 stands for a connection that broke before its answer was whole.
        answers: request, status and body, where they were asked for.
        refusals: of each other than 200 seconds and the whole answer, head and body.
        seconds: from the first request to the last answer.
        busy: the share of that time in which the generator itself was at work.
    """

    latency: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    answers: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    refusals: list[tuple[float, bytes]] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    @property
    def failures(self) -> str:
        """How many, and what was answered instead."""
        kinds = [f"{count} × {status or 'cut off'}" for status, count in sorted(self.statuses.items()) if status != 200]
        return f"{self.failed} ({', '.join(kinds)})" if kinds else "0"

    @property
    def asked(self) -> int:
        return self.statuses.total()

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latency) / self.seconds if self.seconds else 0.0

    def says(self) -> str:
        p50, p99, most = (1000 * self.point(percent) for percent in (50, 99, 100))
        return f"{self.rate:,.0f} a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {most:.0f} ms"

    def point(self, percent: int) -> float:
        """A percentile of the latencies, in seconds."""
        ordered = sorted(self.latency)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


@dataclass(frozen=True)
class Cell:
    """Load to be made: so many connections for so many seconds, or until the requests have run out.

    Attributes:
        again: begin anew with the first request after the last.
        pace: seconds from one request of a connection to its next, at least; 0 asks as soon as it was answered.
        keep: whether to keep what was answered.
    """

    port: int
    requests: Iterable[bytes]
    connections: int = 1
    seconds: float = 1.0
    again: bool = True
    pace: float = 0.0
    keep: bool = False

    def at(self, port: int) -> Cell:
        """The same load on another port."""
        return replace(self, port=port)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a request with a JSON body."""
    length = f"Content-Length: {len(body)}"
    head = (f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json", length, *headers, "", "")
    return "\r\n".join(head).encode() + body


def run(cell: Cell, stop: Callable[[], bool] = lambda: False, load: Load | None = None) -> Load:
    """Makes the load, and ends it early once `stop()`; `load` can be looked at meanwhile.

    Raises:
        TimeoutError: when an answer did not come within `HUNG` seconds.
    """
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_run(cell, stop, Load() if load is None else load))
    finally:
        gc.enable()


async def _run(cell: Cell, stop: Callable[[], bool], load: Load) -> Load:
    requests = cycle(cell.requests) if cell.again else iter(cell.requests)
    begin, work = time.perf_counter(), time.process_time()
    until = begin + cell.seconds

    def over() -> bool:
        return time.perf_counter() >= until or stop()

    callers = [_Caller(cell, requests, load, over) for _ in range(cell.connections)]
    await asyncio.gather(*(caller.open() for caller in callers))
    async with asyncio.timeout(cell.seconds + HUNG):
        await asyncio.gather(*(caller.done for caller in callers))
    load.seconds = time.perf_counter() - begin
    load.busy = (time.process_time() - work) / load.seconds
    return load


class _Caller(asyncio.Protocol):
    """One connection, opened again whenever it breaks."""

    def __init__(self, cell: Cell, requests: Iterator[bytes], load: Load, over: Callable[[], bool]) -> None:
        self.cell, self.requests, self.load, self.over = cell, requests, load, over
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.asked, self.sent, self.received, self.whole = b"", 0.0, b"", 0
        self.opening: asyncio.Task[None] | None = None
        self.next: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        while not self.done.done():
            try:
                await self.loop.create_connection(lambda: self, HOST, self.cell.port)
            except OSError:  # nobody listens
                self.load.statuses[0] += 1
                if self.over():
                    self._finish()
                await asyncio.sleep(0.01)
            else:
                return

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own, which is none by class
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked:
            self.load.statuses[0] += 1
            self.asked, self.received, self.whole = b"", b"", 0
        if self.next is not None:
            self.next.cancel()  # whoever connects anew asks at once
        if not self.done.done():
            self.opening = self.loop.create_task(self.open())

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        if not self.whole:
            self.whole = whole(self.received)
        if self.whole > 0:
            if len(self.received) < self.whole:
                return
        elif self.whole == 0 or not self.received.endswith(_LAST_CHUNK):
            return
        self._told()

    def _told(self) -> None:
        now, load = time.perf_counter(), self.load
        status = int(self.received[9:12])
        load.statuses[status] += 1
        if status == 200:
            load.latency.append(now - self.sent)
        else:
            load.refusals.append((now - self.sent, self.received))
        if self.cell.keep:
            load.answers.append((self.asked, status, self.received.partition(b"\r\n\r\n")[2]))
        self.asked, self.received, self.whole = b"", b"", 0
        if self.cell.pace:
            self.next = self.loop.call_later(max(0.0, self.sent + self.cell.pace - now), self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        if self.transport.is_closing():  # `connection_lost` opens another, which asks
            return
        request = None if self.over() else next(self.requests, None)
        if request is None:
            self._finish()
            self.transport.close()
            return
        self.asked, self.sent = request, time.perf_counter()
        self.transport.write(request)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def whole(received: bytes) -> int:
    """Length of the whole answer in bytes: 0 while its head is not there, -1 when it comes in chunks."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    told = _LENGTH.search(received, 0, end + 2)
    return end + 4 + int(told[1]) if told else -1
