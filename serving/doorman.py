"""Who answers new callers while the workers finish what they have begun: come again, somewhere or sometime else."""

from __future__ import annotations

import asyncio
import contextlib
import json

#: Seconds that a caller has for the head of a request; bytes that it may have.
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


async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads what was asked before it answers: a connection closed on unread bytes is reset, and the answer lost."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_ANSWER)
            await writer.drain()
            await reader.read(MOST_HEAD_BYTES)
    writer.close()
