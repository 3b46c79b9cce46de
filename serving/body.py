"""A request's body, read whole before anything works on it: within a limit of bytes, of time, and of memory."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from serving.admission import too_large
from serving.problems import Problem, retry_after
from serving.routes import Route

#: A body up to this size is always read; what is beyond counts towards `MOST_ARRIVING`.
SMALL = 1 << 16
#: Bytes of large bodies that may be arriving at once in one worker.
MOST_ARRIVING = 128 << 20
#: Seconds of rest after each piece of a body that is larger than one about one home ever is: many such, read as fast as
#: they come, would hold up those who are answered.
REST_SECONDS = 0.005
#: Seconds in which whoever is refused while he still sends can read why.
LAST_SECONDS = 0.25


async def let_read() -> None:
    """A connection closed on unread bytes is reset, and a refusal lost that the caller has not read yet. What he still
    sends stays in the network's buffers: to take it in, only to throw it away, would cost others their time."""
    await asyncio.sleep(LAST_SECONDS)


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
                if route.lane == "one" and len(body) > SMALL:
                    await asyncio.sleep(REST_SECONDS)
                if (more := len(body) - SMALL - counted) > 0:
                    counted += more
                    self._arriving += more
                    if self._arriving > MOST_ARRIVING:
                        raise _too_much()
            return None
        finally:
            body.clear()  # which a problem's traceback would keep while the caller reads it
            self._arriving -= counted


def _too_much() -> Problem:
    detail = "too many large bodies are arriving; send this one again later"
    return Problem(503, "busy", detail, headers=retry_after(2) | {"Connection": "close"})
