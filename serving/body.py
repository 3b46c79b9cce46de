"""A request's body, read whole before anything works on it: within a limit of bytes, of time, and of memory."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Receive

from serving.admission import too_large
from serving.problems import Problem, retry_after
from serving.routes import Route

#: A body up to this size is always read; what is beyond counts towards `MOST_ARRIVING`.
SMALL = 1 << 16
#: Bytes of large bodies that may be arriving at once in one worker.
MOST_ARRIVING = 128 << 20
#: What is still taken in, and thrown away, of a body that was refused: seconds, and bytes.
LAST_SECONDS, LAST_BYTES = 1.0, 8 << 20


async def hear_out(receive: Receive) -> None:
    """A connection closed on unread bytes is reset, and the refusal lost before the caller has read it."""
    left = LAST_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            while left > 0 and (message := await receive()).get("more_body", False):
                left -= len(message["body"])


class BodyReader:
    """Reads the bodies of one worker, and knows how much of them lies in memory while they arrive."""

    def __init__(self) -> None:
        self._arriving = 0

    async def read(self, receive: Receive, route: Route) -> bytes | None:
        """The whole body; None when the caller has gone.

        Raises:
            Problem: 408 when it is slow, 413 as soon as it is too large, 503 when too much arrives at once.
        """
        if route.most_bytes == 0:
            return b""
        try:
            async with asyncio.timeout(route.body_seconds):
                return await self._read(receive, route)
        except TimeoutError:
            detail = f"the body did not arrive within {route.body_seconds:g} seconds"
            raise Problem(408, "request-timeout", detail, headers={"Connection": "close"}) from None

    async def _read(self, receive: Receive, route: Route) -> bytes | None:
        body, counted = bytearray(), 0
        try:
            while (message := await receive())["type"] == "http.request":
                body += message.get("body", b"")
                if len(body) > route.most_bytes:
                    raise too_large(route)
                if not message.get("more_body", False):
                    return bytes(body)
                if (more := len(body) - SMALL - counted) > 0:
                    counted += more
                    self._arriving += more
                    if self._arriving > MOST_ARRIVING:
                        raise _too_much()
            return None
        finally:
            self._arriving -= counted


def _too_much() -> Problem:
    detail = "too many large bodies are arriving; send this one again later"
    return Problem(503, "busy", detail, headers=retry_after(2) | {"Connection": "close"})
