"""Callers who are slow, large or many, met by the protocol in a server of this process with little patience."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from serving import protocol
from serving.deadline import Deadline
from serving.problems import Problem
from serving.protocol import BoundedProtocol

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Seen:
    """What the app behind the protocol saw and shall do."""

    body: bytes = b"hello"
    pieces: int = 1
    wait: float = 0.0
    deadlines: list[Deadline] = field(default_factory=list)
    finished: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = scope["state"]["deadline"] = Deadline(60)
        self.deadlines.append(deadline)
        await asyncio.sleep(self.wait)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(self.pieces):
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.finished += 1


class Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def listening(app: Any) -> Iterator[tuple[Quiet, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=1, loop="uvloop"
    )
    server = Quiet(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.4)
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.05)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def rest(caller: socket.socket) -> bytes:
    """All that still comes until the connection is closed or reset."""
    told = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := caller.recv(65536):
            told += piece
    return told


def answered(port: int) -> bool:
    with connect(port) as caller:
        caller.sendall(GET)
        return caller.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"", b"GET", GET[:-2], b"\r\n"])
def test_a_head_that_does_not_come_to_its_end_closes_the_connection(begun: bytes):
    with listening(Seen()) as (_, port), connect(port) as caller:
        caller.sendall(begun)
        assert rest(caller) == b""
        assert answered(port)


def test_who_was_told_to_come_again_later_and_asks_at_once_is_read_after_a_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "REST_SECONDS", 1.0)
    seen = 0

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal seen
        seen += 1
        scope["state"]["come_again"] = seen == 1
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with listening(busy) as (_, port), connect(port) as caller, connect(port) as other:
        caller.sendall(GET)
        assert caller.recv(65536).startswith(b"HTTP/1.1 503")
        caller.sendall(GET)
        other.sendall(GET)
        assert other.recv(65536).startswith(b"HTTP/1.1 503")
        assert seen == 2
        assert caller.recv(65536).startswith(b"HTTP/1.1 503")


def test_a_head_that_drips_is_cut_too():
    with listening(Seen()) as (server, port), connect(port) as caller:
        with contextlib.suppress(OSError):
            for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 200:
                caller.sendall(bytes([byte]))
                time.sleep(0.02)
        assert rest(caller) == b""
        assert not server.server_state.connections


def test_an_idle_connection_and_one_that_drips_after_an_answer_are_closed():
    for begun in (b"", b"GET"):
        with listening(Seen()) as (_, port), connect(port) as caller:
            caller.sendall(GET)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200")
            caller.sendall(begun)
            rest(caller)


def test_work_is_not_cut_however_long_it_takes():
    with listening(Seen(wait=1.0)) as (_, port):
        assert answered(port)


@pytest.mark.parametrize("pieces", [1, 30])
def test_a_head_that_is_too_large_is_a_431(pieces: int):
    header = b"X: " + b"a" * (protocol.MOST_HEAD_BYTES // pieces) + b"\r\n"
    with listening(Seen()) as (_, port), connect(port) as caller:
        caller.sendall(GET[:-2] + header * (pieces + 1) + b"\r\n")
        told = caller.recv(65536)
        assert told.startswith(b"HTTP/1.1 431")
        assert json.loads(told.partition(b"\r\n\r\n")[2])["type"] == "urn:assay:problem:head-too-large"


def test_so_it_is_when_only_its_last_piece_makes_it_too_large():
    header = b"X: " + b"a" * (protocol.MOST_HEAD_BYTES // 30) + b"\r\n"
    with listening(Seen()) as (_, port), connect(port) as caller:
        caller.sendall(GET[:-2] + header * 28)
        time.sleep(0.3)
        caller.sendall(header * 3 + b"\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_two_servers_could_read_differently_is_a_400(head: bytes):
    seen = Seen(wait=0.2)
    with listening(seen) as (_, port), connect(port) as caller:
        caller.sendall(head)
        told = rest(caller)
        assert told.startswith(b"HTTP/1.1 400")
        assert b"application/problem+json" in told
        assert answered(port)


def test_many_half_open_connections_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 20)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60)
    with contextlib.ExitStack() as held, listening(Seen()) as (server, port):
        for _ in range(50):
            held.enter_context(connect(port)).sendall(b"GET / HT")
        assert all(answered(port) for _ in range(20))
        assert len(server.server_state.connections) <= 21


def test_where_everybody_is_being_answered_one_more_is_turned_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 3)
    with contextlib.ExitStack() as held, listening(Seen(wait=2.0)) as (_, port):
        for _ in range(3):
            held.enter_context(connect(port)).sendall(GET)
        time.sleep(0.2)
        with connect(port) as caller:
            told = rest(caller)
        assert told.startswith(b"HTTP/1.1 503")
        assert b"retry-after: " in told


def test_a_reader_who_stops_reading_is_cut_and_takes_little_memory():
    seen = Seen(body=b"x" * (1 << 20), pieces=200)
    with listening(seen) as (server, port), connect(port) as caller:
        caller.sendall(GET)
        caller.recv(1000)
        most, give_up = 0, time.monotonic() + 10
        while server.server_state.connections and time.monotonic() < give_up:
            for connection in list(server.server_state.connections):
                most = max(most, connection.transport.get_write_buffer_size())
            time.sleep(0.02)
        assert not server.server_state.connections
        assert most < 3 << 20
        assert answered(port)


def test_a_slow_reader_who_goes_on_reading_gets_it_all():
    seen = Seen(body=b"x" * (1 << 20), pieces=12)
    with listening(seen) as (_, port), connect(port) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        caller.sendall(GET)
        told = 0
        while told < 12 << 20:
            piece = caller.recv(1 << 17)
            assert piece, f"cut after {told} bytes"
            told += len(piece)
            time.sleep(0.005)


def test_whoever_hangs_up_stops_the_work():
    seen = Seen(wait=0.5)
    with listening(seen) as (_, port):
        with connect(port) as caller:
            caller.sendall(GET)
            while not seen.deadlines:
                time.sleep(0.01)
        time.sleep(0.1)
        with pytest.raises(Problem):
            seen.deadlines[0].check()


def test_at_the_end_an_idle_caller_may_still_ask_once():
    with listening(Seen()) as (server, port), connect(port) as caller:
        caller.sendall(GET)
        assert b"connection: close" not in caller.recv(65536)
        server.should_exit = True
        time.sleep(0.25)
        caller.sendall(GET)
        told = rest(caller)
        assert told.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in told
