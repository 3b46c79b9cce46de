"""One worker: the service behind the supervisor's socket. Started by `serving.server`, not by people."""

from __future__ import annotations

import socket
import sys
from types import FrameType
from typing import Any

import uvicorn
from bentoml._internal.context import server_context

from serving import logs
from serving.protocol import BoundedProtocol
from serving.wire import end_when_alone, tell

#: Seconds that requests in flight have when the worker is told to end.
DRAIN_SECONDS = 8
KEEP_ALIVE_SECONDS = 20
BACKLOG = 2048


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


def main(fd: int) -> None:
    logs.start()
    end_when_alone()
    from serving.service import Valuation

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
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    WorkerServer(config).run([socket.socket(fileno=fd)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
