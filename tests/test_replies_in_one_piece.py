"""A reply whose length is known goes out in one piece, and otherwise is what uvicorn would have sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from serving.protocol import OnePiece
from tests.test_protocol import connect, listening, rest

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Headers = Sequence[tuple[bytes, bytes]]


def replying(headers: Headers, *pieces: bytes, status: int = 200) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return app


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a cycle has written, write by write."""
    told: list[bytes] = []
    begun = OnePiece.send

    async def send(self: Any, message: Any) -> None:
        if not hasattr(self.transport, "told"):
            self.transport = Noted(self.transport, told)
        await begun(self, message)

    monkeypatch.setattr(OnePiece, "send", send)
    return told


class Noted:
    def __init__(self, transport: Any, told: list[bytes]) -> None:
        self.transport, self.told = transport, told

    def write(self, data: bytes) -> None:
        self.told.append(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def asked(app: Any, request: bytes = GET + GET[:-2] + b"Connection: close\r\n\r\n") -> bytes:
    """All that comes until the connection is closed."""
    with listening(app) as (_, port), connect(port) as caller:
        caller.sendall(request)
        return rest(caller)


def test_head_and_body_are_written_at_once(written: list[bytes]):
    app = replying([(b"content-length", b"5"), (b"x-name", b"a")], b"hello")
    with listening(app) as (_, port), connect(port) as caller:
        caller.sendall(GET)
        told = caller.recv(65536)
    head, _, body = told.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert {b"content-length: 5", b"x-name: a"} <= set(head.split(b"\r\n"))
    assert written == [told]


def test_a_body_in_pieces_follows_the_first(written: list[bytes]):
    with listening(replying([(b"content-length", b"10")], b"hello", b"world")) as (_, port), connect(port) as caller:
        caller.sendall(GET)
        told = b""
        while not told.endswith(b"world"):
            told += caller.recv(65536)
    assert [piece[-5:] for piece in written] == [b"hello", b"world"]


@pytest.mark.parametrize(
    ("headers", "pieces", "status"),
    [
        ([(b"content-length", b"5")], [b"hello"], 200),
        ([(b"Content-Length", b"5")], [b"hello"], 200),
        ([], [b"hel", b"lo"], 200),
        ([(b"content-length", b"0")], [b""], 200),
        ([(b"etag", b'"x"')], [b""], 304),
        ([(b"content-length", b"5"), (b"connection", b"close")], [b"hello"], 200),
        ([(b"content-length", b"5"), (b"Connection", b"close")], [b"hello"], 200),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_it_is_what_uvicorn_sends(
    headers: Headers, pieces: list[bytes], status: int, method: bytes, version: bytes, monkeypatch: pytest.MonkeyPatch
):
    first = method + b" / HTTP/" + version + b"\r\nHost: x\r\n\r\n"
    request = first + method + b" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    app = replying(headers, *pieces, status=status)
    ours = asked(app, request)
    with monkeypatch.context() as without:
        without.setattr(OnePiece, "_holds_back", lambda self, message: False)
        theirs = asked(app, request)
    assert dated(ours) == dated(theirs)
    assert ours.startswith(b"HTTP/1.1 %d" % status)


def dated(told: bytes) -> list[bytes]:
    return [line for line in told.split(b"\r\n") if not line.startswith(b"date:")]


@pytest.mark.parametrize("value", [b"a\nx-other: b", b"a\r\nx-other: b"])
def test_a_line_break_in_a_header_is_never_sent(value: bytes):
    assert b"x-other" not in asked(replying([(b"content-length", b"5"), (b"x-name", value)], b"hello"))


@pytest.mark.parametrize("length", [b"4", b"6"])
def test_a_body_of_another_length_ends_the_connection(length: bytes):
    with listening(replying([(b"content-length", length)], b"hello")) as (_, port), connect(port) as caller:
        caller.sendall(GET)
        told = b""
        try:
            told = rest(caller)
        except TimeoutError as error:
            raise AssertionError("the caller waits for what will never come") from error
    assert not told.endswith(b"\r\n\r\nhello") or length == b"6"


def test_two_questions_at_once_are_answered_in_turn():
    told = asked(replying([(b"content-length", b"5")], b"hello"))
    assert told.count(b"HTTP/1.1 200") == told.count(b"hello") == 2
