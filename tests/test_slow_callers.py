"""Callers who hold on to the server, and the healthy one beside them: a real server with one worker."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from serving.routes import ROUTES
from tests.served import HOME, Server, environment, free_port, promote, supervised, train

HEAD = b"POST /value HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#: Many times the slots of one worker.
MANY = 90


@pytest.fixture(scope="module")
def admin() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, admin: int) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("promoted")
    promote(train(), place)
    with supervised(place, environment(place), "--workers", "1", "--admin-port", str(admin)) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def worker(admin: int) -> int:
    told = requests.get(f"http://127.0.0.1:{admin}/admin/status", timeout=10).json()
    return int(told["workers"][0]["pid"])


def resident(pid: int) -> int:
    """Bytes of memory that the process has of its own."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_half_open_requests_are_cut_while_others_are_answered(server: Server):
    with contextlib.ExitStack() as held:
        slow = [held.enter_context(connect(server)) for _ in range(MANY)]
        begun = time.monotonic()
        for caller in slow:
            caller.sendall(HEAD)
        for _ in range(20):
            assert server.post("/value", {"home": HOME}).status_code == 200
        for caller in slow:
            assert caller.recv(100) == b""
        assert time.monotonic() - begun < 15


def test_slow_bodies_hold_no_slot(server: Server):
    with contextlib.ExitStack() as held:
        slow = [held.enter_context(connect(server)) for _ in range(MANY)]
        for caller in slow:
            caller.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        for _ in range(20):
            assert server.post("/value", {"home": HOME}).status_code == 200
        for caller in slow:
            assert caller.recv(100).startswith(b"HTTP/1.1 408")


def test_bodies_without_end_take_no_memory(server: Server, admin: int):
    pid = worker(admin)
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    def flood(_: int) -> bytes:
        with connect(server) as caller, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(2 * ROUTES["/value"].most_bytes // 0x10000):
                caller.sendall(piece)
            return caller.recv(100)
        return b"cut"

    def hundred() -> list[bytes]:
        with ThreadPoolExecutor(8) as callers:
            return list(callers.map(flood, range(100)))

    hundred()
    before = resident(pid)
    told = hundred()
    assert all(t == b"cut" or t.startswith(b"HTTP/1.1 413") for t in told)
    assert resident(pid) - before < 32 << 20
    assert server.post("/value", {"home": HOME}).status_code == 200


def test_a_crowd_at_once_is_answered_or_told_to_come_again(server: Server):
    """In the one shape of all refusals, and with a hint when."""

    def ask(_: int) -> requests.Response:
        return server.post("/value", {"home": HOME})

    with ThreadPoolExecutor(120) as callers:
        told = list(callers.map(ask, range(600)))
    assert {t.status_code for t in told} <= {200, 503}
    assert len({t.content for t in told if t.status_code == 200}) == 1
    for refused in [t for t in told if t.status_code == 503]:
        assert refused.json()["type"] == "urn:assay:problem:busy"
        assert int(refused.headers["retry-after"]) >= 1
    assert server.post("/value", {"home": HOME}).status_code == 200
