"""Long answers, sent piece by piece while the next piece is worked out in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.types import Send

from serving.deadline import Deadline
from serving.encoding import compressor
from serving.problems import Problem
from serving.replies import stream_headers

#: How the answer ends when something goes wrong after it has begun; None where it can only break off.
LastWords = Callable[[Problem], bytes]


async def send_pieces(
    send: Send,
    kind: bytes,
    coding: str,
    pieces: Iterator[bytes],
    limiter: CapacityLimiter,
    deadline: Deadline,
    told: Callable[[], None],
    last_words: LastWords | None = None,
) -> None:
    """Sends each piece as soon as it is there. Nothing is sent before the first, so that it can still be refused.

    Args:
        pieces: stepped in a thread, between two looks at the deadline.
        told: called after each piece.

    Raises:
        Problem: what the pieces or the deadline raise, unless there are last words for it.
    """
    compress, begun = compressor(coding), False
    try:
        while (piece := await run_sync(next, pieces, None, limiter=limiter)) is not None:
            deadline.check()
            if not begun:
                start = {"type": "http.response.start", "status": 200, "headers": stream_headers(kind, coding)}
                await send(start)
                begun = True
            await send({"type": "http.response.body", "body": compress.piece(piece), "more_body": True})
            told()
    except Problem as problem:
        if not begun or last_words is None:
            raise
        await send({"type": "http.response.body", "body": compress.piece(last_words(problem)), "more_body": True})
    await send({"type": "http.response.body", "body": compress.end()})
