"""The attackers, each made to run in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from tests.bench import load
from tests.bench.load import HOST, Cell

#: Seconds after which an attacker who is still let in gives up, and between two bytes of a slow head.
PATIENCE, PAUSE = 30.0, 0.5
HUGE = 200 << 20
AT_ONCE = 10
Attacker = Callable[[], Awaitable[tuple[bytes, float]]]
_BLOCK = b" " * (64 << 10)
_HEAD = f"POST /value HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"


@dataclass
class Refusals:
    """How attackers were refused: how often by each status (0: cut without a word), and how many not as all must be.

    Attributes:
        seconds: until each was.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    malformed: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, answer: bytes, seconds: float) -> None:
        status = int(answer[9:12] or 0)
        self.statuses[status] += 1
        self.seconds.append(seconds)
        self.malformed += status not in (0, 200) and not is_problem(answer)

    def __iadd__(self, others: Refusals) -> Refusals:
        self.statuses += others.statuses
        self.malformed += others.malformed
        self.seconds += others.seconds
        return self

    def point(self, percent: int) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def is_problem(answer: bytes) -> bool:
    """Whether a refusal has the shape that all have, and says when to come again where that helps."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12])
    try:
        told = json.loads(body)
    except ValueError:
        return False
    waits = status not in (429, 503) or b"\r\nretry-after:" in head.lower()
    return b"application/problem+json" in head.lower() and told.get("status") == status and waits


def slowloris(port: int, sockets: int) -> Refusals:
    """So many heads, a byte every now and then, until each is cut."""

    async def one() -> tuple[bytes, float]:
        reader, writer = await asyncio.open_connection(HOST, port)
        begin = time.perf_counter()
        reading = asyncio.create_task(_read(reader))
        with contextlib.suppress(OSError):
            for byte in _HEAD * 99:
                writer.write(byte.encode())
                await asyncio.wait([reading], timeout=PAUSE)
                if reading.done() or time.perf_counter() - begin > PATIENCE:
                    break
        return await _end(reading, writer), time.perf_counter() - begin

    return asyncio.run(_all(one, sockets, sockets))


def huge(port: int, bodies: int, header: str, seconds: float) -> Refusals:
    """So many bodies of `HUGE` bytes, every other in chunks, sent until the server says something; then as many again
    until the time is over: refused at once, they leave next to no time in which others could be held up."""
    _stand_back()
    numbers, until = count(), time.monotonic() + seconds

    async def one() -> tuple[bytes, float]:
        chunked = next(numbers) % 2
        reader, writer = await asyncio.open_connection(HOST, port)
        begin = time.perf_counter()
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {HUGE}"
        writer.write(f"{_HEAD}{header}\r\n{length}\r\n\r\n".encode())
        block = b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK) if chunked else _BLOCK
        reading = asyncio.create_task(_read(reader))
        sending = asyncio.create_task(_send(writer, block, HUGE // len(_BLOCK)))
        await asyncio.wait([reading], timeout=PATIENCE)
        taken = time.perf_counter() - begin
        sending.cancel()
        return await _end(reading, writer), taken

    refusals = Refusals()
    while not refusals.seconds or time.monotonic() < until:
        refusals += asyncio.run(_all(one, bodies, AT_ONCE))
    return refusals


def overload(cell: Cell) -> Refusals:
    """More than there is."""
    _stand_back()
    told, refusals = load.run(cell), Refusals()
    refusals.statuses[200] = told.statuses[200]
    refusals.statuses[0] = told.statuses[0]
    for seconds, answer in told.refusals:
        refusals.add(answer, seconds)
    return refusals


def _stand_back() -> None:
    """The attacker's own work stands back behind the server's, as if it came from elsewhere."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)


async def _all(one: Attacker, number: int, at_once: int) -> Refusals:
    turns, refusals = asyncio.Semaphore(at_once), Refusals()

    async def turn() -> None:
        async with turns:
            refusals.add(*await one())

    await asyncio.gather(*(turn() for _ in range(number)))
    return refusals


async def _send(writer: asyncio.StreamWriter, block: bytes, times: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(times):
            writer.write(block)
            await writer.drain()
            await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The whole answer, or what is said of it until it breaks off."""
    said = b""
    with contextlib.suppress(OSError):
        while not 0 < load.whole(said) <= len(said) and (more := await reader.read(1 << 16)):
            said += more
    return said


async def _end(reading: asyncio.Task[bytes], writer: asyncio.StreamWriter) -> bytes:
    said = reading.result() if reading.done() else b""
    reading.cancel()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return said
