"""The shell around the endpoints and BentoML's server: what may come in, when it is worked on, how refusals look.

It stands outside BentoML's own middleware, so that a refused request costs nothing there: no metric labelled with a
made-up path, no log line with a caller's line break, and no slot held while a slow body arrives.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.admission import Guard, check_not_repeated, route_of
from serving.body import BodyReader
from serving.deadline import Deadline, timeout
from serving.key_ring import KeyRing, keys_path
from serving.problems import CONTENT_TYPE, Problem, retry_after, showable
from serving.rates import shared_rates
from serving.routes import Route
from serving.slots import Slots

#: Refusals in words that are not ours, told in our words.
OWN_WORDS = {
    429: ("too-many-requests", "all slots are taken; send the request again"),
    500: ("internal-error", "the request could not be answered; the log has the reason under this request_id"),
    503: ("not-ready", "no model is being served; GET /model says what is missing"),
    504: ("timeout", "the request took too long; send fewer homes at once"),
}
#: They come by the thousand when they come: one line a second and kind.
HUSHED = ("busy", "not-ready", "rate-limited", "too-many-wrong-keys")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_log = logging.getLogger("bentoml.assay")
_hushed: dict[str, tuple[float, int]] = {}


class Edge:
    """In front of two apps: ours, and BentoML's, which answers some paths and starts and stops the service."""

    def __init__(self, ours: ASGIApp, bentoml: ASGIApp) -> None:
        self.ours = ours
        self.bentoml = bentoml
        self._guard = Guard(KeyRing(keys_path()), shared_rates())
        self._bodies = BodyReader()
        self._lanes = {"one": Slots(2, waiting=64, patience=1.0), "many": Slots(1, waiting=8, patience=5.0)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.bentoml(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id, scope)
        try:
            check_not_repeated(scope["headers"], headers)
            route = route_of(scope["path"], scope["method"], headers)
            caller = self._guard.admit(scope, route, headers)
            answer.headers |= caller.headers
            scope["state"]["caller"] = caller.name
            body = await self._bodies.read(receive, route)
            if body is None:
                return
            if route.lane is None:
                await self._answer(route, scope, _replay(body, receive), answer)
                return
            slots = self._lanes[route.lane]
            await slots.take(caller.name)
            try:
                await self._work(route, scope, _replay(body, receive), answer)
            finally:
                slots.give_back()
        except Problem as problem:
            await answer.refuse(problem)

    async def _work(self, route: Route, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Within the time for it: then the caller is told, and what still runs keeps its slot until it notices."""
        scope["state"]["deadline"] = Deadline(route.work_seconds)
        timer = asyncio.get_running_loop().call_later(route.work_seconds, answer.give_up, timeout(route.work_seconds))
        try:
            await self._answer(route, scope, receive, answer)
        finally:
            timer.cancel()

    async def _answer(self, route: Route, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await (self.ours if route.ours else self.bentoml)(scope, receive, answer.send)
        except Problem:
            raise
        except Exception:
            _log.exception("failed request_id=%s", scope["state"]["request_id"])
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
        self._giving_up: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        headers = Headers(raw=message["headers"])
        if message["status"] >= 400 and headers.get("content-type") != CONTENT_TYPE:
            slug, detail = OWN_WORDS.get(message["status"], ("refused", "the request was refused"))
            await self.refuse(Problem(message["status"], slug, detail))
            return
        self._started = True
        message["headers"] = [*message["headers"], *_raw(self.headers)]
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Sends the problem in place of an answer, unless an answer has begun."""
        if self._started or self._refused:
            return
        self._refused = True
        log_refusal(problem, self._id, self._scope)
        body = problem.to_json(self._id)
        headers = (
            {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))} | self.headers | dict(problem.headers)
        )
        if problem.status in (429, 503, 504) and "Retry-After" not in headers:
            headers |= retry_after(1)
        raw = _raw(headers)
        await self._send({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})

    def give_up(self, problem: Problem) -> None:
        """Refuses while somebody still works on the answer, which then goes nowhere."""
        self._giving_up = asyncio.ensure_future(self.refuse(problem))


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def log_refusal(problem: Problem, request_id: str, scope: Scope) -> None:
    """One line a refusal; what the caller sent stands in it only as escaped, shortened JSON."""
    told: dict[str, Any] = {
        "request_id": request_id,
        "status": problem.status,
        "problem": problem.slug,
        "method": showable(scope["method"]),
        "path": showable(scope["path"]),
        "detail": problem.detail,
    }
    if problem.slug in HUSHED:
        last, untold = _hushed.get(problem.slug, (0.0, 0))
        if time.monotonic() - last < 1:
            _hushed[problem.slug] = last, untold + 1
            return
        _hushed[problem.slug] = time.monotonic(), 0
        told["more_since_last"] = untold
    if problem.errors:
        told["fields"] = [[error.field, showable(error.value)] for error in problem.errors[:5]]
    _log.warning("refused %s", json.dumps(told))
