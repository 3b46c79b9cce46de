"""One worker: the service behind the supervisor's socket. Started by `serving.server`, not by people."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from bentoml._internal.context import server_context

from serving import logs
from serving.loads import Loads
from serving.protocol import BoundedProtocol
from serving.wire import end_when_alone, tell

#: Seconds that requests in flight have when the worker is told to end.
DRAIN_SECONDS = 8
#: Seconds that whatever still runs then has for its last steps.
LAST_STEPS_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 20
#: Seconds to wait for a model, which takes less unless it must be laid out first: when nobody else answers callers, and
#: when somebody does. The supervisor waits longer for a sign of life.
SETTLE_SECONDS, SPARED_SECONDS = 5.0, 90.0
#: Seconds that a worker with more callers leaves the next one to others.
OTHERS_SECONDS = 0.002
#: Seconds from one caller taken to the next: a crowd that comes at once shall not hold up those who are answered.
NEXT_SECONDS = 0.001
#: Seconds before the next try when callers can't be taken at all.
TROUBLE_SECONDS = 0.1


class WorkerServer(uvicorn.Server):
    """Takes its share of callers, tells the supervisor how it goes, and drains however often it is told to end.

    uvloop would empty the socket's queue whenever it wakes, and leave the other workers next to nothing. Here they
    are taken one by one, and a worker that has more than another leaves that one a moment to be quicker.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        number: int,
        loads: Loads,
        is_settled: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._number = number
        self._loads = loads
        self._is_settled = is_settled
        self._left_to_others = False
        self._accepting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        await self._settle()
        if not self.should_exit:
            self._tell_load()
            self._listen()
        tell(ready=self.started)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._loads.leave(self._number)
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        if self._accepting:
            await asyncio.wait(self._accepting)
        await super().shutdown([])
        # The lifespan has told that it is over before its last step. Cut off there, it would be told as a fault.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=LAST_STEPS_SECONDS)

    async def _settle(self) -> None:
        """Until then callers are left to workers that can answer, or wait in the socket."""
        begun = time.monotonic()
        while not self._is_settled() and not self.should_exit:
            patience = SPARED_SECONDS if self._loads.is_anybody_there() else SETTLE_SECONDS
            if time.monotonic() > begun + patience:
                return
            await asyncio.sleep(0.01)

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """One caller, if no other worker was quicker."""
        if not self._left_to_others and not self._loads.has_fewest(self._number):
            self._left_to_others = True
            self._pause(OTHERS_SECONDS)
            return
        self._left_to_others = False
        try:
            caller, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptors left, say: asking again at once would be all that we do
            self._pause(TROUBLE_SECONDS)
            return
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, caller))
        self._accepting.add(task)
        task.add_done_callback(self._accepted)
        self._tell_load()
        self._pause(NEXT_SECONDS)

    def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(seconds, self._listen)

    def _tell_load(self) -> None:
        self._loads.tell(self._number, len(self.server_state.connections) + len(self._accepting))

    def _accepted(self, task: asyncio.Task[Any]) -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # a caller who has gone already is no news

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        self._tell_load()
        if counter % 10 == 0:  # a second
            state = self.server_state
            tell(connections=len(state.connections), working=len(state.tasks), answered=state.total_requests)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn would drop requests at a second Ctrl-C, and die by the signal before our files are closed."""
        self.should_exit = True


def main(fd: int, number: int, shared_fd: int) -> None:
    logs.start()
    end_when_alone()
    from serving.service import Valuation, holder

    def is_settled() -> bool:
        return holder.champion is not None or holder.swaps.refused > 0

    service: Any = Valuation
    server_context.service_type = "entry_service"
    server_context.service_name = service.name
    config = uvicorn.Config(
        service.to_asgi(),
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    WorkerServer(config, socket.socket(fileno=fd), number, Loads(shared_fd), is_settled).run()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
