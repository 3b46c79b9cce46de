"""The line between a worker and the supervisor: what a worker tells of itself, and how it notices to be alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from functools import cache
from typing import Any

#: What tells a worker the descriptor of its end.
WIRE_FD = "ASSAY_WIRE_FD"


def tell(**facts: Any) -> None:
    """Facts of this worker, for GET /admin/status; each replaces what was told under its name. Without a supervisor
    nothing happens."""
    wire = _wire()
    if wire is not None:
        line = json.dumps(facts).encode() + b"\n"
        try:
            with _lock:
                wire.sendall(line)
        except OSError:  # the supervisor has gone; `end_when_alone` ends us
            return


def end_when_alone() -> None:
    """Has this process end as by SIGTERM when the supervisor is no more, so that no worker keeps the port."""
    wire = _wire()
    if wire is not None:
        threading.Thread(target=_await_end, args=(wire,), name="wire", daemon=True).start()


def _await_end(wire: socket.socket) -> None:
    try:
        while wire.recv(4096):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@cache
def _wire() -> socket.socket | None:
    number = os.environ.pop(WIRE_FD, None)
    return None if number is None else socket.socket(fileno=int(number))


_lock = threading.Lock()
