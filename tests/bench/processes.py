"""Servers as processes: started on a free port, asked until they answer, their memory read, ended."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import HOST
from tests.served import free_port

#: Seconds in which a server must have answered.
START = 120.0
_KIB = 1024


@dataclass(frozen=True)
class Running:
    """A server that answers. `start` is the seconds from its spawn to its first answer."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    start: float

    @property
    def pids(self) -> list[int]:
        """Its processes that listen or work: itself and whatever it started."""
        return family(self.process.pid)


@dataclass(frozen=True)
class Memory:
    """Of one process in bytes: `uss` is its own alone, `pss` adds its part of what is `shared`."""

    pss: int
    uss: int
    shared: int

    @property
    def rss(self) -> int:
        return self.uss + self.shared


@contextlib.contextmanager
def started(
    command: Sequence[str], first: bytes, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Running]:
    """The server, once it has answered the request `first` with 200; `{port}` in the command becomes its port.

    Raises:
        RuntimeError: when it ended, or did not answer in time; with the end of its log.
    """
    port = free_port()
    begin = time.perf_counter()
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [part.format(port=port) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=dict(os.environ if env is None else env),
            cwd=cwd,
        ) as process,
    ):
        try:
            await_answer(port, first, process, log)
            yield Running(port, process, log, time.perf_counter() - begin)
        finally:
            _end(process)


def await_answer(port: int, request: bytes, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START
    while time.monotonic() < give_up and process.poll() is None:
        if status(port, request) == 200:
            return
        time.sleep(0.01)
    raise RuntimeError(f"the server did not answer (exit code {process.poll()}):\n{log.read_text()[-3000:]}")


def status(port: int, request: bytes) -> int | None:
    """What the server says to these bytes; None when it says nothing."""
    try:
        with socket.create_connection((HOST, port), timeout=30) as connection:
            connection.sendall(request)
            said = connection.makefile("rb").readline()
            return int(said.split()[1]) if said else None
    except OSError:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """By SIGTERM; whoever does not go, and what a killed parent left, by SIGKILL."""
    every = family(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        for pid in every:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(15)


def family(pid: int) -> list[int]:
    """The process and its descendants, itself first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def memory(pid: int) -> Memory:
    """Raises OSError when the process is gone."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", told, re.MULTILINE)}
    uss = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["Pss"] * _KIB, uss * _KIB, (kib["Rss"] - uss) * _KIB)


def own_memory(pid: int) -> int:
    """Bytes that no file is behind, by the kernel's own count: `memory` looks at every page, and holds the process up
    that is measured. Raises OSError when the process is gone."""
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(shared)) * resource.getpagesize()
