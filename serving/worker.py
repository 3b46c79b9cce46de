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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import logs
from serving.protocol import BoundedProtocol
from serving.wire import end_when_alone, tell

#: Seconds that requests in flight have when the worker is told to end.
DRAIN_SECONDS = 8
KEEP_ALIVE_SECONDS = 20
BACKLOG = 2048
#: Seconds to wait for a model, which takes less unless it must be laid out first.
SETTLE_SECONDS = 5.0


class WorkerServer(uvicorn.Server):
    """Tells the supervisor how it goes, and drains however often it is told to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        tell(ready=self.started)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # a second
            state = self.server_state
            tell(connections=len(state.connections), working=len(state.tasks), answered=state.total_requests)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn would drop requests at a second Ctrl-C, and die by the signal before our files are closed."""
        self.should_exit = True


def when_settled(app: ASGIApp, is_settled: Callable[[], bool]) -> ASGIApp:
    """The app, its start complete only when `is_settled`, or after `SETTLE_SECONDS`. Until then callers are left to
    workers that can answer, or wait in the socket."""

    async def settling(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_settled(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                give_up = time.monotonic() + SETTLE_SECONDS
                while not is_settled() and time.monotonic() < give_up:
                    await asyncio.sleep(0.01)
            await send(message)

        await app(scope, receive, send_settled if scope["type"] == "lifespan" else send)

    return settling


def main(fd: int) -> None:
    logs.start()
    end_when_alone()
    from serving.service import Valuation, holder

    service: Any = Valuation
    server_context.service_type = "entry_service"
    server_context.service_name = service.name
    config = uvicorn.Config(
        when_settled(service.to_asgi(), lambda: holder.champion is not None or holder.swaps.refused > 0),
        http=BoundedProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    WorkerServer(config).run([socket.socket(fileno=fd)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
