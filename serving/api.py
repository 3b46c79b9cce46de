"""The endpoints behind the edge: requests to answers. A Problem that is raised here is told by the edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Receive, Scope, Send

from models.appraisal import Appraisal
from models.version import DATA_DOCS, REPORT
from serving import records
from serving.caching import Cache, Kept
from serving.champion import Champion
from serving.comparing import compare
from serving.deadline import Deadline
from serving.explain import explained, listed
from serving.forms import FORMS, last_line, lines_of_one
from serving.gathering import Gathering
from serving.holder import Holder
from serving.journal import folder_of_events
from serving.metrics import metrics_page
from serving.model_card import model_card
from serving.notes import Notes
from serving.openapi import openapi
from serving.page import page
from serving.parts import ALL, Parts, asked_parts
from serving.problems import Problem
from serving.replies import (
    ARROW,
    FOR_EVER,
    HTML,
    JSON,
    LINES,
    NOT_KEPT,
    PRIVATE,
    PRIVATE_REVALIDATED,
    REVALIDATED,
    Headers,
    coding_of,
    headers_of,
    reply,
    to_json,
    wants_lines,
)
from serving.request import read_query
from serving.routes import known
from serving.streaming import send_pieces
from serving.valuing import Question, appraisal_of, question_of, tell

#: Threads of a worker for what takes long.
THREADS = 2
_PAGE_POLICY = {b"content-security-policy": b"default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
_INDEX_POLICY = {b"content-security-policy": b"default-src 'none'; style-src 'unsafe-inline'"}
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


def create_app(holder: Holder) -> ASGIApp:
    """Our ASGI app; each request is answered by the champion that the holder has when it comes in."""
    return Api(holder)


class Api:
    """One handler a path. A dictionary finds it: a framework's router costs more than a repeated answer."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._kept: Cache | None = None
        self._long = CapacityLimiter(THREADS)
        self._batches = CapacityLimiter(1)
        self._gathering = Gathering()
        self._handlers: dict[str, Handler] = {
            "/": self._index,
            "/openapi.json": partial(self._page, "openapi", JSON, lambda c: to_json(openapi(c)), {}),
            "/model": partial(self._page, "model", JSON, lambda c: to_json(model_card(c)), {}),
            "/report": partial(self._page, REPORT, HTML, partial(_promoted, REPORT), _PAGE_POLICY),
            "/validation.html": partial(self._page, DATA_DOCS, HTML, partial(_promoted, DATA_DOCS), _PAGE_POLICY),
            "/value": self._value,
            "/value_batch": self._value_batch,
            "/compare": self._compare,
            "/valuations": self._valuations,
            "/valuations/{id}": self._valuation,
            "/livez": self._alive,
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handlers[known(scope["path"])](scope, receive, send)

    def _champion(self) -> Champion:
        if self._holder.champion is None:
            raise Problem(503, "not-ready", self._holder.missing)
        return self._holder.champion

    def _cache(self) -> Cache:
        """What is kept for the champion that serves now; of one that served before, nothing is."""
        champion = self._champion()
        if self._kept is None or self._kept.champion is not champion:
            self._kept = Cache(champion)
        return self._kept

    async def _value(self, scope: Scope, receive: Receive, send: Send) -> None:
        cache, headers, notes = self._cache(), headers_of(scope), _notes(scope)
        body = (await receive())["body"]
        notes.champion = cache.champion
        if wants_lines(headers):
            await self._value_by_lines(cache.champion, body, scope, send)
            return
        coding, query = coding_of(headers), scope["query_string"]
        as_sent = "/value", query, coding, body
        if await _told_before(cache, as_sent, notes, send):
            return
        parts = asked_parts(query, ALL)
        question = question_of(cache.champion, body)
        notes.lap("parse")
        meant = "/value", question.id, parts, coding
        if not await _told_before(cache, meant, notes, send):
            appraisal = await self._appraisal(cache.champion, question, parts, scope["state"]["deadline"])
            notes.lap("appraise")
            told = tell(cache.champion, question, appraisal, notes, parts)
            answer = reply(to_json(told), JSON, coding, PRIVATE)
            notes.lap("encode")
            cache.answers.keep(meant, Kept(answer, tuple(notes.valued)), 0)
            await answer.send(send)
        if (kept := cache.answers.find(meant)) is not None:
            cache.answers.keep(as_sent, kept, len(body))

    async def _appraisal(self, champion: Champion, question: Question, parts: Parts, deadline: Deadline) -> Appraisal:
        """In the event loop's own thread for the day that nearly everybody asks for: it takes milliseconds, and another
        thread would only contend with this one. Any other day may have to be laid out first, which takes far longer.
        """
        if question.as_of == champion.valuer.current_day:
            return await self._gathering.appraisal(champion, question, parts, deadline)
        return await run_sync(appraisal_of, champion, question, parts, limiter=self._long)

    async def _value_by_lines(self, champion: Champion, body: bytes, scope: Scope, send: Send) -> None:
        """Value and ranges at once, in a line; then the rest, in another."""
        parts, question = asked_parts(scope["query_string"], ALL), question_of(champion, body)
        pieces = lines_of_one(champion, question, _notes(scope), parts)
        await self._stream(scope, send, LINES, pieces, self._long)

    async def _value_batch(self, scope: Scope, receive: Receive, send: Send) -> None:
        """In the form in which the homes come: JSON, lines or Arrow."""
        champion, notes = self._champion(), _notes(scope)
        body = (await receive())["body"]
        notes.champion = champion
        kind = headers_of(scope)[b"content-type"].split(b";")[0].strip().lower()
        pieces_of, default, offered = FORMS[kind]
        parts = asked_parts(scope["query_string"], default, offered)
        pieces = await run_sync(pieces_of, champion, body, notes, parts, limiter=self._batches)
        if kind != JSON:
            await self._stream(scope, send, kind, pieces, self._batches)
            return
        deadline: Deadline = scope["state"]["deadline"]
        told: list[bytes] = []
        while (piece := await run_sync(next, pieces, None, limiter=self._batches)) is not None:
            deadline.check()
            told.append(piece)
        await reply(b"".join(told), JSON, coding_of(headers_of(scope)), PRIVATE).send(send)

    async def _stream(
        self, scope: Scope, send: Send, kind: bytes, pieces: Iterator[bytes], limiter: CapacityLimiter
    ) -> None:
        told = partial(records.answered, _notes(scope), scope["path"])
        last_words = None if kind == ARROW else last_line
        coding, deadline = coding_of(headers_of(scope)), scope["state"]["deadline"]
        await send_pieces(send, kind, coding, pieces, limiter, deadline, told, last_words)

    async def _compare(self, scope: Scope, receive: Receive, send: Send) -> None:
        read_query(scope["query_string"], ())
        cache, notes = self._cache(), _notes(scope)
        body = (await receive())["body"]
        notes.champion = cache.champion
        coding = coding_of(headers_of(scope))
        as_sent = "/compare", coding, body
        if await _told_before(cache, as_sent, notes, send):
            return
        told = await run_sync(compare, cache.champion, body, notes, limiter=self._long)
        notes.lap("appraise")
        answer = reply(to_json(told), JSON, coding, PRIVATE)
        notes.lap("encode")
        cache.answers.keep(as_sent, Kept(answer, tuple(notes.valued)), len(body))
        await answer.send(send)

    async def _valuation(self, scope: Scope, _: Receive, send: Send) -> None:
        """A valuation that was told, explained; told again in full, it stays as it is for ever."""
        read_query(scope["query_string"], ())
        wanted, champion = scope["path"].rpartition("/")[2], self._champion()
        told = await run_sync(explained, champion, folder_of_events(), wanted, limiter=self._long)
        keep, headers = FOR_EVER if told["replayed"] else PRIVATE_REVALIDATED, headers_of(scope)
        await reply(to_json(told), JSON, coding_of(headers), keep, with_etag=True).send(send, headers)

    async def _valuations(self, scope: Scope, _: Receive, send: Send) -> None:
        told = await run_sync(listed, folder_of_events(), scope["query_string"], limiter=self._long)
        await reply(to_json(told), JSON, coding_of(headers_of(scope)), PRIVATE).send(send)

    async def _page(
        self,
        name: str,
        kind: bytes,
        make: Callable[[Champion], bytes],
        policy: Headers,
        scope: Scope,
        _: Receive,
        send: Send,
    ) -> None:
        """What stays the same while a champion serves."""
        cache, headers = self._cache(), headers_of(scope)
        key = name, coding_of(headers)
        if key not in cache.pages:
            content = await run_sync(make, cache.champion, limiter=self._long)
            cache.pages[key] = reply(content, kind, key[1], {**REVALIDATED, **policy}, with_etag=True)
        await cache.pages[key].send(send, headers)

    async def _index(self, scope: Scope, _: Receive, send: Send) -> None:
        html = page(self._holder.champion, self._holder.missing, scope["server"][1]).encode()
        await reply(html, HTML, coding_of(headers_of(scope)), {**REVALIDATED, **_INDEX_POLICY}).send(send)

    async def _alive(self, _: Scope, __: Receive, send: Send) -> None:
        await reply(b'{"alive":true}', JSON, "", NOT_KEPT).send(send)

    async def _ready(self, _: Scope, __: Receive, send: Send) -> None:
        """Ready is who can tell values; what is degraded costs records or speed, never an answer."""
        champion = self._champion()
        degraded = [*records.degraded(), *([] if champion.valuer.bag.walk else ["kernel"])]
        told = {"ready": True, "model": champion.cited, "degraded": degraded}
        await reply(to_json(told), JSON, "", NOT_KEPT).send(send)

    async def _metrics(self, scope: Scope, _: Receive, send: Send) -> None:
        content, kind = await run_sync(metrics_page)
        await reply(content, kind.encode(), coding_of(headers_of(scope)), NOT_KEPT).send(send)


def _promoted(name: str, champion: Champion) -> bytes:
    """What promotion laid beside the model, byte for byte."""
    if name not in champion.pages:
        raise Problem(404, "no-report", f"the model was promoted without {name}; run `make repro`")
    return champion.pages[name]


def _notes(scope: Scope) -> Notes:
    notes: Notes = scope["state"]["notes"]
    return notes


async def _told_before(cache: Cache, key: Hashable, notes: Notes, send: Send) -> bool:
    """Sends the answer that is kept under the key, if there is one."""
    kept = cache.answers.find(key)
    if kept is None:
        return False
    notes.cached = True
    notes.valued.extend(kept.valued)
    await kept.reply.send(send)
    return True
