"""The shell around BentoML, met with what a well-behaved client can't send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from serving import routes
from serving.api import create_app
from serving.edge import Edge
from serving.problems import Problem

MOST_BYTES = routes.ROUTES["/value"].most_bytes
LOCAL = {"client": ("127.0.0.1", 5), "server": ("127.0.0.1", 3000)}
JSON = (b"content-type", b"application/json")


def call(messages: Iterable[dict[str, Any]] = (), app: Any = None, **scope: Any) -> list[dict[str, Any]]:
    """What the edge sends for a request whose body arrives as `messages`; after them nothing arrives any more."""
    sent: list[dict[str, Any]] = []
    waiting = list(messages)

    async def receive() -> Any:
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    full = {"type": "http", "path": "/value", "method": "POST", "headers": [JSON]} | LOCAL | scope
    asyncio.run(Edge(app or echo, app or echo)(full, receive, send))
    return sent


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def refusing(status: int) -> Any:
    """An app that refuses as BentoML does: in JSON of its own, or in plain text."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"9")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'["error"', "more_body": True})
        await send({"type": "http.response.body", "body": b"]"})

    return app


def chunk(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_pieces_reaches_the_app_whole():
    assert call([chunk(b"a", True), chunk(b"", True), chunk(b"b")])[1]["body"] == b"ab"


def test_many_tiny_chunks_are_counted_together():
    half = b" " * (MOST_BYTES // 2)
    start, body, end = call([chunk(half, True), chunk(half, True), *[chunk(b" ", True)] * 5, chunk(b" ")])
    assert start["status"] == json.loads(body["body"])["status"] == 413
    assert (body["more_body"], end.get("more_body", False)) == (True, False)  # told before the rest is heard out


def test_a_body_that_does_not_arrive_is_a_408(monkeypatch: pytest.MonkeyPatch):
    impatient = replace(routes.ROUTES["/value"], body_seconds=0.01)
    monkeypatch.setattr(routes, "ROUTES", {"/value": impatient})
    assert call([chunk(b"{", True)])[0]["status"] == 408


def test_a_caller_who_hangs_up_gets_nothing():
    assert call([chunk(b"{", True), {"type": "http.disconnect"}]) == []


def test_a_websocket_is_closed():
    assert call(type="websocket")[0]["type"] == "websocket.close"


@pytest.mark.parametrize("length", [b"-1", b"1e3", "²".encode(), b""])
def test_a_length_that_is_no_number_is_a_400(length: bytes):
    assert call([chunk(b"{}")], headers=[JSON, (b"content-length", length)])[0]["status"] == 400


@pytest.mark.parametrize("status", [400, 405, 429, 500, 503, 504])
def test_a_refusal_of_bentoml_is_told_as_a_problem(status: int):
    start, body = call([chunk(b"{}")], refusing(status))
    headers = dict(start["headers"])
    problem = json.loads(body["body"])
    assert (start["status"], problem["status"]) == (status, status)
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert headers[b"x-request-id"].decode() == problem["request_id"]
    assert (b"retry-after" in headers) == (status in (429, 503, 504))


def test_a_failure_of_ours_is_a_500_that_tells_nothing_but_its_id(caplog: Any):
    broken: Any = SimpleNamespace(champion="not a champion", missing="")
    start, body = call([chunk(b'{"home": {}}')], create_app(broken), root_path="", query_string=b"")
    problem = json.loads(body["body"])
    assert start["status"] == problem["status"] == 500
    assert "champion" not in body["body"].decode()
    assert problem["request_id"] in caplog.text


def test_work_that_takes_too_long_is_a_504_at_once_and_learns_that_it_shall_stop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "ROUTES", {"/value": replace(routes.ROUTES["/value"], work_seconds=0.05)})
    stopped: list[Problem] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        deadline = scope["state"]["deadline"]
        try:
            for _ in range(100):
                deadline.check()
                await asyncio.sleep(0.01)
        except Problem as problem:
            stopped.append(problem)
        await echo(scope, receive, send)

    start, body = call([chunk(b"{}")], slow)
    assert start["status"] == json.loads(body["body"])["status"] == 504
    assert [problem.status for problem in stopped] == [504]


def test_an_app_that_breaks_is_a_500_that_tells_nothing_but_its_id(caplog: Any):
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    start, body = call([chunk(b"{}")], broken)
    assert start["status"] == 500
    assert "secret" not in body["body"].decode()
    assert json.loads(body["body"])["request_id"] in caplog.text


@pytest.mark.parametrize(("status", "rests"), [(503, True), (429, True), (404, False)])
def test_the_connection_of_who_is_to_come_again_later_is_to_rest(status: int, rests: bool):
    state: dict[str, Any] = {}
    start, _ = call([chunk(b"{}")], refusing(status), state=state)
    assert (b"retry-after" in dict(start["headers"])) == state["come_again"] == rests


@pytest.mark.parametrize("name", [b"content-type", b"content-length", b"host", b"authorization"])
def test_a_header_that_must_be_single_is_refused_when_it_is_not(name: bytes):
    assert call([chunk(b"{}")], headers=[JSON, (name, b"a"), (name, b"b")])[0]["status"] == 400


@pytest.mark.parametrize("server", [("192.0.2.7", 3000), ("::", 3000), ("2001:db8::1", 3000)])
def test_without_keys_only_this_machine_is_answered(server: tuple[str, int]):
    assert call([chunk(b"{}")], server=server)[0]["status"] == 403
    assert call(server=server, path="/livez", method="GET", headers=[])[0]["status"] == 200


def test_a_batch_may_come_as_lines_or_as_arrow_and_a_single_home_may_not():
    for kind in (b"application/x-ndjson", b"application/vnd.apache.arrow.stream"):
        headers = [(b"content-type", kind)]
        assert call([chunk(b"{}")], path="/value_batch", headers=headers)[0]["status"] == 200
        assert call([chunk(b"{}")], path="/value", headers=headers)[0]["status"] == 415


def test_a_route_with_an_id_stands_for_any_but_the_empty_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "ROUTES", {"/kept/{id}": routes.Route()})
    for path, status in (("/kept/a", 200), ("/kept/", 404), ("/kept", 404), ("/kept/a/b", 404)):
        assert call(path=path, method="GET", headers=[])[0]["status"] == status
