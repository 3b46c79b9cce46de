"""Keeps workers alive on one socket, tells how they are, and ends them so that no request is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving import metrics_folder
from serving.doorman import Doorman
from serving.loads import Loads
from serving.logs import tell
from serving.rates import RATES_FD
from serving.wire import WIRE_FD

#: Seconds after which a worker that has not ended is killed.
STOP_SECONDS = 9.5
#: Seconds without a sign of life after which a worker is killed: once it is ready, and before.
SILENT_SECONDS, START_SECONDS = 30.0, 120.0
#: So many ends within so many seconds are a crash loop: the pauses before a new start then grow.
LOOP_ENDS, LOOP_SECONDS, LONGEST_PAUSE = 5, 60.0, 5.0
#: What else runs in the supervisor, once the workers have been started, until it is cancelled.
Companion = Callable[["Supervisor"], Coroutine[Any, Any, None]]


@dataclass
class Worker:
    """One running worker and what it last told of itself."""

    process: asyncio.subprocess.Process
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return bool(self.told.get("ready"))

    @property
    def is_silent(self) -> bool:
        silent = time.monotonic() - self.heard
        return silent > (SILENT_SECONDS if self.is_ready else START_SECONDS)


class Supervisor:
    """As many workers as asked for, until SIGTERM or SIGINT."""

    def __init__(
        self, listener: socket.socket, count: int, shared_fd: int, companions: Sequence[Companion] = ()
    ) -> None:
        self._listener = listener
        self._count = count
        self._companions = companions
        self._shared_fd = shared_fd
        self._loads = Loads(shared_fd)
        self._stop = asyncio.Event()
        self._was_ready = False
        self._failed = False
        self._ends: deque[float] = deque(maxlen=LOOP_ENDS)
        self._workers: list[Worker] = []
        self.worker_environment = metrics_folder.prepare()
        self.restarts = 0

    async def run(self) -> int:
        """The exit status: 0 after a signal, 1 when no worker could be started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self._count)]
        await asyncio.sleep(0)
        companions = [asyncio.create_task(companion(self)) for companion in self._companions]
        await self._stop.wait()
        await self._drain(keepers)
        for task in companions:
            task.cancel()
        await asyncio.gather(*companions, return_exceptions=True)
        return 1 if self._failed else 0

    def status(self) -> dict[str, Any]:
        """How many workers there are, how often one was started anew, and what each last told of itself."""
        now = time.monotonic()
        workers = [
            {"pid": w.process.pid, "up_seconds": round(now - w.started), "ready": w.is_ready, **w.told}
            for w in self._workers
        ]
        return {"stopping": self._stop.is_set(), "restarts": self.restarts, "workers": workers}

    async def _keep(self, number: int) -> None:
        """One worker after the other, until the end."""
        while not self._stop.is_set():
            worker, wire = await self._start(number)
            listening = asyncio.create_task(self._listen(worker, wire))
            code = await worker.process.wait()
            await listening
            self._loads.leave(number)
            self._workers.remove(worker)
            if self._stop.is_set():
                return
            if not self._was_ready:
                tell("start-failed", logging.CRITICAL, status=code)
                self._failed = True
                self._stop.set()
                return
            self.restarts += 1
            self._ends.append(time.monotonic())
            tell("worker-ended", logging.ERROR, pid=worker.process.pid, status=code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._pause())

    def _pause(self) -> float:
        """Seconds before the next start; none unless workers keep ending."""
        if len(self._ends) < LOOP_ENDS or time.monotonic() - self._ends[0] > LOOP_SECONDS:
            return 0.0
        tell("crash-loop", logging.CRITICAL, ends=LOOP_ENDS, within_s=LOOP_SECONDS, next_start_in_s=LONGEST_PAUSE)
        return LONGEST_PAUSE

    async def _start(self, number: int) -> tuple[Worker, socket.socket]:
        ours, theirs = socket.socketpair()
        fds = (self._listener.fileno(), theirs.fileno(), self._shared_fd)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "serving.worker", str(fds[0]), str(number), str(fds[2])),
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | self.worker_environment | {WIRE_FD: str(fds[1]), RATES_FD: str(fds[2])},
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C at a terminal reaches the workers through us alone
            )
        worker = Worker(process)
        self._workers.append(worker)
        return worker, ours

    async def _listen(self, worker: Worker, wire: socket.socket) -> None:
        """Takes down what the worker tells, and kills it when it has told nothing for too long."""
        reader, writer = await asyncio.open_connection(sock=wire)
        try:
            while True:
                try:
                    line = await asyncio.wait_for(reader.readline(), 1.0)
                except TimeoutError:
                    if worker.is_silent:
                        tell("worker-silent", logging.ERROR, pid=worker.process.pid)
                        worker.process.kill()
                    continue
                if not line:
                    return
                worker.heard = time.monotonic()
                worker.told |= json.loads(line)
                if worker.is_ready and not self._was_ready:
                    self._was_ready = True
                    host, port = self._listener.getsockname()[:2]
                    tell("server-answering", host=host, port=port)
        finally:
            writer.close()

    async def _drain(self, keepers: list[asyncio.Task[None]]) -> None:
        """Requests in flight are answered, new ones are told to come again, and then everybody ends."""
        doorman = Doorman()
        await doorman.open(self._listener)
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()
        _, late = await asyncio.wait(keepers, timeout=STOP_SECONDS)
        for worker in self._workers:
            tell("worker-late", logging.ERROR, pid=worker.process.pid, killed_after_s=STOP_SECONDS)
            worker.process.kill()
        await asyncio.gather(*late)
        await doorman.close()
