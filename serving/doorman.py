"""Who answers new callers while the workers finish what they have begun: come again, somewhere or sometime else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Any

#: Seconds that a caller has to ask and to read the answer; bytes that are read at once.
PATIENCE = 1.0
MOST_HEAD_BYTES = 1 << 16
_BODY = json.dumps(
    {
        "type": "urn:assay:problem:stopping",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the server is stopping; send the request again",
    }
).encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 2\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Doorman:
    """Answers whoever comes to a listening socket, from `open` until `close`."""

    def __init__(self) -> None:
        self._busy: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._turn_away, sock=listener)

    async def close(self) -> None:
        """Returns when all who came have their answer."""
        self._server.close()
        if self._busy:
            await asyncio.wait(self._busy)

    async def _turn_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads what was asked before it answers: a connection closed on unread bytes is reset, and the answer lost."""
        task: Any = asyncio.current_task()
        self._busy.add(task)
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER)
                writer.write_eof()
                while await reader.read(MOST_HEAD_BYTES):
                    pass
        writer.close()
        self._busy.discard(task)
