"""HTTP as uvicorn reads it, with an end to everybody's patience: slow heads, idle connections and slow readers are cut.

uvicorn itself waits for ever for the rest of a head, and for a reader who has stopped reading.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import time
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

#: Seconds in which a whole head must have arrived, from the first byte or from connecting.
HEAD_SECONDS = 9.0
#: Seconds in which a reader must have taken `HIGH_WATER_LIMIT` bytes more, or all there is.
WRITE_SECONDS = 10.0
#: Seconds between two looks at all connections; a limit is kept to within one.
LOOK_SECONDS = 0.5
MOST_HEAD_BYTES = 1 << 16
#: Of one worker; below the 1,024 files that a process may commonly have open.
MOST_CONNECTIONS = 800
#: Seconds at most, and half of it at least, for which a caller who was told to come again later is not read: those who
#: ask again at once would keep a worker busy with refusals alone, and all of them at the same moment.
REST_SECONDS = 0.2
#: Seconds in which a caller of an idle connection may still ask when the worker is about to end.
LAST_CALL_SECONDS = 0.5


def bound_bentoml() -> None:
    """Gives `bentoml serve` this protocol: it leaves the choice to uvicorn, which looks here after the app is made. And
    no caller's own word for where he comes from is believed."""
    auto.AutoHTTPProtocol = BoundedProtocol
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")


class OnePiece(RequestResponseCycle):
    """Writes a reply whose length is known in one piece: a head that goes ahead costs another system call, here and
    where it is read."""

    _head = b""

    async def send(self, message: Any) -> None:
        if not self.response_started:
            if self.more_body:  # whoever is refused may send on, but nobody takes that in
                self.flow.pause_reading()
            if self._holds_back(message):
                return
        if self._head:
            message = {**message, "body": self._head + message.get("body", b"")}
            self._head = b""
        await super().send(message)

    def _holds_back(self, message: Any) -> bool:
        """Whether it is a head that waits for its body; whatever is out of the ordinary, uvicorn writes itself."""
        headers = [(name.lower(), value) for name, value in (*self.default_headers, *message.get("headers", ()))]
        told = dict(headers)
        if b"content-length" not in told or b"connection" in told or not self.keep_alive:
            return False
        lines = [STATUS_LINE[message["status"]]]
        for name, value in headers:
            lines += name, b": ", value, b"\r\n"
        head = b"".join((*lines, b"\r\n"))
        if self.scope["method"] == "HEAD" or head.count(b"\n") != len(headers) + 2:
            return False
        self._head, self.expected_content_length = head, len(head) + int(told[b"content-length"])
        self.response_started, self.waiting_for_100_continue, self.chunked_encoding = True, False, False
        return True


class BoundedProtocol(HttpToolsProtocol):
    """One connection. It is waiting from `_since` on for a whole head, and not waiting while that is None."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        self._since: float | None = None
        self._in_head = False
        self._head_bytes = 0
        self._data_bytes = 0
        self._unsent = 0
        self._unsent_since = 0.0
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        watch = _watch(self.server_state, self.loop)
        if len(self.connections) > MOST_CONNECTIONS:
            watch.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever works for this caller learns that nobody waits for the answer any more."""
        if self.cycle and not self.cycle.response_complete:
            deadline = self.cycle.scope.get("state", {}).get("deadline")
            if deadline is not None:
                deadline.abandon()
        super().connection_lost(exc)
        if self.cycle:
            self.cycle.body = bytearray()  # what nobody has read would lie here until the collector comes by

    def data_received(self, data: bytes) -> None:
        self._data_bytes = len(data)
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("")
        if self._since is None and (self._in_head or self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._data_bytes > MOST_HEAD_BYTES:  # its last piece may make a head too large
            self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if self._head_bytes > MOST_HEAD_BYTES:
                raise ValueError("the head is too large")  # reaches `send_400_response`
        super().on_headers_complete()
        self._in_head = False
        self._since = None
        if self._leaving:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = OnePiece
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        refused = self.cycle.scope["state"].get("come_again", False)
        super().on_response_complete()
        if self._leaving and not self.transport.is_closing():
            self.transport.close()
        elif refused:
            self.flow.pause_reading()
            self.loop.call_later(random.uniform(REST_SECONDS / 2, REST_SECONDS), self._read_on)

    def send_400_response(self, msg: str) -> None:
        """In the one shape that all refusals have."""
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431, "head-too-large", f"the request's head is larger than {MOST_HEAD_BYTES} bytes")
        else:
            self._refuse(400, "malformed-request", "this is not HTTP/1.1; the connection is closed")

    def shutdown(self) -> None:
        """The worker is about to end: what is asked is answered, and an idle caller gets a last chance to ask."""
        self._leaving = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_CALL_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def look(self, now: float) -> None:
        """Cuts the connection when its time is over."""
        if self._since is not None and now - self._since > HEAD_SECONDS:
            self.transport.abort()
            return
        unsent = self.transport.get_write_buffer_size()
        stands = unsent and self._unsent - HIGH_WATER_LIMIT < unsent <= self._unsent  # more than before: written anew
        if not stands:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > WRITE_SECONDS:
            self.transport.abort()

    @property
    def is_waiting(self) -> bool:
        return self._since is not None or self.cycle is None or self.cycle.response_complete

    def turn_away(self) -> None:
        self._refuse(503, "too-many-connections", "too many connections; connect again", "retry-after: 2\r\n")

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _wait(self) -> None:
        self._since = time.monotonic()

    def _close_if_idle(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, slug: str, detail: str, header: str = "") -> None:
        line = STATUS_LINE[status]
        title = line.split(b" ", 2)[2].strip().decode()
        told = {"type": f"urn:assay:problem:{slug}", "title": title, "status": status, "detail": detail}
        body = json.dumps(told).encode()
        head = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\n{header}connection: close\r\n"
        self.transport.write(line + head.encode() + b"\r\n" + body)
        self.transport.close()


class _Watch:
    """Looks at all connections of one server now and then: cheaper than timers of each connection's own."""

    def __init__(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._connections = state.connections
        self._loop = loop
        self._looking = False

    def start(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def make_room(self, newcomer: BoundedProtocol) -> None:
        """Cuts whoever has been waiting longest, or turns the newcomer away where everybody is being answered."""
        waiting = [c for c in self._bounded() if c.is_waiting and c is not newcomer]
        if waiting:
            min(waiting, key=lambda c: math.inf if c._since is None else c._since).transport.abort()
        else:
            newcomer.turn_away()

    def _look(self) -> None:
        now = time.monotonic()
        for connection in self._bounded():
            connection.look(now)
        self._looking = False
        if self._connections:
            self.start()

    def _bounded(self) -> list[BoundedProtocol]:
        return [c for c in self._connections if isinstance(c, BoundedProtocol)]


_watches: WeakKeyDictionary[ServerState, _Watch] = WeakKeyDictionary()


def _watch(state: ServerState, loop: asyncio.AbstractEventLoop) -> _Watch:
    watch = _watches.get(state)
    if watch is None:
        watch = _watches[state] = _Watch(state, loop)
    watch.start()
    return watch
