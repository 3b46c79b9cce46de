"""One JSON line an event on standard error, whichever server runs us.

All that a caller sent is escaped to plain ASCII, so no line break, control character or change of
writing direction of theirs gets into the log.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from traceback import format_exc
from typing import Any

NAME = "bentoml.assay"
#: Seconds between two lines about the same lasting trouble.
PAUSE = 60.0
_log = logging.getLogger(NAME)


class Lines(logging.Formatter):
    """Our lines as they are; those of libraries in the same shape, as the event `library`."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == NAME:
            return record.getMessage()
        told = {"logger": record.name, "message": record.getMessage()[:2000]}
        trace = self.formatException(record.exc_info) if record.exc_info else None
        return _line(record.levelname, "library", told, trace)


def start() -> None:
    """All lines go to standard error from here on, ours and those of libraries, whatever log these have set up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.getLogger().handlers[:] = [handler]
    _log.setLevel(logging.INFO)
    for name in ("bentoml", "uvicorn"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


def tell(
    event: str, level: int = logging.INFO, *, request_id: str | None = None, trace: bool = False, **fields: Any
) -> None:
    """Logs an event of `serving.events.EVENTS`.

    Each line has the `pid` of the process that tells it, or that which `fields` says it is about.

    Args:
        trace: with the traceback of the exception that is being handled.
        fields: what to know about it; texts are shortened by whoever calls.
    """
    if not _log.isEnabledFor(level):
        return
    named = fields if request_id is None else {"request_id": request_id, **fields}
    _log.log(level, "%s", _line(logging.getLevelName(level), event, named, format_exc() if trace else None))


class Seldom:
    """Lets a line about a lasting trouble through once in so many seconds.

    Attributes:
        skipped: how many it did not let through before the last that it did.
    """

    def __init__(self, seconds: float = PAUSE) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._skipping = self.skipped = 0

    def now(self) -> bool:
        if (moment := time.monotonic()) < self._next:
            self._skipping += 1
            return False
        self._next = moment + self._seconds
        self.skipped, self._skipping = self._skipping, 0
        return True


def _line(level: str, event: str, fields: dict[str, Any], trace: str | None) -> str:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = {"time": moment, "level": level.lower(), "event": event, "pid": os.getpid(), **fields}
    return json.dumps(told if trace is None else told | {"trace": trace}, default=str)
