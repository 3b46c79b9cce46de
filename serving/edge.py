"""The shell around the endpoints and BentoML's server: what may come in, when it is worked on, how refusals look.

It stands outside BentoML's own middleware, so that a refused request costs nothing there: no metric labelled with a
made-up path, no log line with a caller's line break, and no slot held while a slow body arrives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import gathering, records
from serving.admission import Guard, check_not_repeated, route_of
from serving.body import BodyReader, let_read
from serving.deadline import Deadline, timeout
from serving.key_ring import KeyRing, keys_path
from serving.logs import tell
from serving.notes import Notes
from serving.problems import CONTENT_TYPE, Problem, retry_after
from serving.rates import shared_rates
from serving.routes import Route, known
from serving.slots import Slots

#: Refusals in words that are not ours, told in our words.
OWN_WORDS = {
    429: ("too-many-requests", "all slots are taken; send the request again"),
    500: ("internal-error", "the request could not be answered; the log has the reason under this request_id"),
    503: ("not-ready", "no model is being served; GET /model says what is missing"),
    504: ("timeout", "the request took too long; send fewer homes at once"),
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Edge:
    """In front of two apps: ours answers, and BentoML's starts and stops the service."""

    def __init__(self, ours: ASGIApp, bentoml: ASGIApp) -> None:
        self.ours = ours
        self.bentoml = bentoml
        self._guard = Guard(KeyRing(keys_path()), shared_rates())
        self._bodies = BodyReader()
        self._lanes = {
            "one": Slots(gathering.MOST, waiting=512, patience=0.25),
            "many": Slots(1, waiting=8, patience=5.0),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await records.lifespan(self.bentoml, scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        notes = Notes(request_id)
        scope.setdefault("state", {}).update(request_id=request_id, notes=notes)
        answer = _Answer(send, request_id, scope)
        try:
            await self._admit(scope, headers, receive, answer)
        except Problem as problem:
            await answer.refuse(problem, sending=True)
        finally:
            records.finished(notes, known(scope["path"]), answer.status, scope)

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, answer: _Answer) -> None:
        check_not_repeated(scope["headers"], headers)
        route = route_of(scope["path"], scope["method"], headers)
        caller = self._guard.admit(scope, route, headers)
        answer.headers |= caller.headers
        notes: Notes = scope["state"]["notes"]
        notes.key_id = caller.key_id
        scope["state"]["caller"] = caller.name
        body = await self._bodies.read(receive, route)
        if body is None:
            return
        if route.lane is None:
            await self._answer(scope, _replay(body, receive), answer)
            return
        notes.lap("read")
        slots = self._lanes[route.lane]
        await slots.take(caller.name)
        notes.lap(None)
        records.slots_taken(route.lane, slots.used, slots.waiting)
        try:
            await self._work(route, scope, _replay(body, receive), answer)
        finally:
            slots.give_back(caller.name)
            records.slots_taken(route.lane, slots.used, slots.waiting)

    async def _work(self, route: Route, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Within the time for it: then the caller is told, and what still runs keeps its slot until it notices."""
        scope["state"]["deadline"] = Deadline(route.work_seconds)
        timer = asyncio.get_running_loop().call_later(route.work_seconds, answer.give_up, route.work_seconds)
        try:
            await self._answer(scope, receive, answer)
        finally:
            timer.cancel()

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self.ours(scope, receive, answer.send)
        except Problem:
            raise
        except Exception:
            tell("request-failed", logging.ERROR, request_id=scope["state"]["request_id"], trace=True)
            raise Problem(500, *OWN_WORDS[500]) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, as one message; then whatever else the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


class _Answer:
    """Marks every answer with the request's id, and turns refusals in other shapes into problems."""

    def __init__(self, send: Send, request_id: str, scope: Scope) -> None:
        self.headers: dict[str, str] = {"X-Request-Id": request_id}
        self._send = send
        self._id = request_id
        self._scope = scope
        self._started = False
        self._refused = False
        self.status: int | None = None
        self._giving_up: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        if message["status"] >= 400 and Headers(raw=message["headers"]).get("content-type") != CONTENT_TYPE:
            slug, detail = OWN_WORDS.get(message["status"], ("refused", "the request was refused"))
            await self.refuse(Problem(message["status"], slug, detail))
            return
        self._started = True
        self.status = message["status"]
        message["headers"] = [*message["headers"], *_raw(self.headers)]
        await self._send(message)

    async def refuse(self, problem: Problem, sending: bool = False) -> None:
        """Sends the problem in place of an answer, unless an answer has begun; lets a caller read it who may still be
        `sending`."""
        if self._started or self._refused:
            return
        self._refused = True
        records.refused(problem, self._id, self._scope)
        self.status = problem.status
        body = problem.to_json(self._id)
        headers = (
            {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))} | self.headers | dict(problem.headers)
        )
        if problem.status in (429, 503, 504) and "Retry-After" not in headers:
            headers |= retry_after(1)
        self._scope["state"]["come_again"] = "Retry-After" in headers  # and the connection rests
        raw = _raw(headers)
        await self._send({"type": "http.response.start", "status": problem.status, "headers": raw})
        closes = sending and headers.get("Connection") == "close"
        await self._send({"type": "http.response.body", "body": body, "more_body": closes})
        if closes:
            await let_read()
            await self._send({"type": "http.response.body", "body": b""})

    def give_up(self, seconds: float) -> None:
        """Refuses while somebody still works on the answer, for so long already, which then goes nowhere."""
        self._giving_up = asyncio.ensure_future(self.refuse(timeout(seconds)))


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
