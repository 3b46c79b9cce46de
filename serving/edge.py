"""The shell around BentoML's server: what may come in, and what every refusal looks like.

It stands outside BentoML's own middleware, so that a refused request costs nothing there: no
metric labelled with a made-up path, no log line with a caller's line break, and no slot held
while a slow body arrives. Decisions rest on `scope["path"]`, never on a URL built from `Host`.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import records
from serving.notes import Notes
from serving.problems import CONTENT_TYPE, Problem

MOST_BYTES = 1 << 20
#: Seconds in which a whole body must have arrived.
BODY_DEADLINE = 10.0
RETRY_AFTER = "1"
#: Who may call what; HEAD goes wherever GET does.
ROUTES: Mapping[str, str] = {
    "/": "GET",
    "/openapi.json": "GET",
    "/model": "GET",
    "/report": "GET",
    "/validation.html": "GET",  # as the report links to it, wherever it lies
    "/value": "POST",
    "/value_batch": "POST",
    "/compare": "POST",
    "/livez": "GET",
    "/readyz": "GET",
    "/healthz": "GET",
    "/metrics": "GET",
}
#: BentoML's own refusals, told in our words.
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await records.lifespan(self.bentoml, scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        notes = Notes(request_id)
        scope.setdefault("state", {}).update(request_id=request_id, notes=notes)
        answer = _Answer(send, request_id, scope)
        try:
            await self._answer(scope, headers, receive, answer)
        finally:
            records.finished(notes, scope["path"] if scope["path"] in ROUTES else "other", answer.status, scope)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, answer: _Answer) -> None:
        try:
            _admit(scope["path"], scope["method"], headers)
            body = await _read(receive) if scope["method"] == "POST" else b""
        except Problem as problem:
            await answer.refuse(problem)
            return
        if body is not None:
            scope["state"]["notes"].lap("read")
            await self.ours(scope, _replay(body, receive), answer.send)


def _admit(path: str, method: str, headers: Headers) -> None:
    """Raises a Problem for what no handler needs to see."""
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if (kind or method == "POST") and kind != "application/json":
        raise Problem(
            415, "unsupported-media-type", f"the content type is {kind or 'missing'}; only application/json is read"
        )
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported-encoding", "compressed bodies are not read; send the JSON as it is")
    if path not in ROUTES:
        raise Problem(404, "not-found", f"there is nothing here; see {', '.join(ROUTES)}")
    allowed = ROUTES[path]
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise Problem(405, "method-not-allowed", f"{path} takes {allowed}", headers={"Allow": allowed})
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise Problem(400, "malformed-request", "Content-Length is not a number")
    if int(length) > MOST_BYTES:
        raise _too_large()


async def _read(receive: Receive) -> bytes | None:
    """The whole body, counted while it arrives; None when the caller has gone."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > MOST_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_DEADLINE:g} seconds"
        raise Problem(408, "request-timeout", detail, headers={"Connection": "close"}) from None


def _too_large() -> Problem:
    detail = f"the body is larger than {MOST_BYTES} bytes; send fewer homes at once"
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, as one message; then whatever else the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


class _Answer:
    """Marks every answer with the request's id, and turns refusals in other shapes into problems."""

    def __init__(self, send: Send, request_id: str, scope: Scope) -> None:
        self._send = send
        self._id = request_id
        self._scope = scope
        self._replaced = False
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            if not self._replaced:
                await self._send(message)
            return
        headers = Headers(raw=message["headers"])
        if message["status"] >= 400 and headers.get("content-type") != CONTENT_TYPE:
            self._replaced = True
            slug, detail = OWN_WORDS.get(message["status"], ("refused", "the request was refused"))
            await self.refuse(Problem(message["status"], slug, detail))
            return
        self.status = message["status"]
        message["headers"] = [*message["headers"], (b"x-request-id", self._id.encode())]
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        records.refused(problem, self._id, self._scope)
        self.status = problem.status
        body = problem.to_json(self._id)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(len(body)),
            "X-Request-Id": self._id,
            **({"Retry-After": RETRY_AFTER} if problem.status in (429, 503, 504) else {}),
            **problem.headers,
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})
