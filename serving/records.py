"""What is kept of each request: events in the journal, metrics, log lines and spans. One hook for whoever answers.

The edge makes `Notes` when a request comes in and hands them to `finished` when it is over; in between
whoever answers writes down in them what was valued and how long it took.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import metrics
from serving.breaker import open_breakers
from serving.champion import Champion
from serving.journal import Journal, folder_of_events
from serving.logs import Seldom, tell
from serving.notes import Notes, Valued
from serving.problems import Problem, showable

#: The version of our interface, as events cite it.
API = "1"
#: Refusals that come by the thousand when they come: one line a second and kind.
_THOUSANDS = ("body-too-large", "busy", "not-ready", "rate-limited", "too-many-wrong-keys")
HUSHED = {slug: Seldom(1.0) for slug in _THOUSANDS}
_exhausted = Seldom()
_failed_look = Seldom()
_journal: Journal | None = None
_tracing: ModuleType | None = None
_counted: dict[tuple[str, int | None], Any] = {}
_refused: dict[str, Any] = {}
_timed: dict[str, Any] = {}
_valued: dict[tuple[str, bool], Any] = {}
#: Seconds for which the gauge of slots in use is left as it is while some are: it is read far less often.
_TOLD_SECONDS = 0.1
_told_waiting: dict[str, int] = {}
_told_used: dict[str, float] = {}


def start() -> None:
    """In each worker, before it answers: its journal, and its traces where a collector is named."""
    global _journal, _tracing
    metrics.begin()
    _journal = Journal(folder_of_events())
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from serving import tracing  # its library costs a tenth of a second and memory, for those who use it

        tracing.start()
        _tracing = tracing
    tell("worker-started")


def stop() -> None:
    """When the last request was answered: what waits is written, for some seconds at most."""
    global _journal, _tracing
    if _journal is not None:
        _journal.close()
        _journal = None
    if _tracing is not None:
        _tracing.stop()
        _tracing = None


async def lifespan(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The app's own start and end, with records kept in between."""
    start()

    async def send_when_written(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown"):
            await run_sync(stop)
        await send(message)

    try:
        await app(scope, receive, send_when_written)
    finally:
        stop()


def model_serves(champion: Champion) -> None:
    """A model has taken the traffic of this worker."""
    metrics.model_serves(champion.cited, champion.card.get("figures", {}))
    metrics.SWAP["served"].inc()
    tell("model-serving", **{name: champion.cited[name] for name in ("name", "version", "digest", "memory_end")})


def model_refused(why: str, serving: Champion | None) -> None:
    """A model that was to serve can't; `serving` is the one that goes on, if there is any."""
    metrics.SWAP["refused"].inc()
    if serving is None:
        tell("no-champion", logging.ERROR, why=why)
    else:
        tell("swap-refused", logging.ERROR, why=why, serving=serving.digest)


def look_failed() -> None:
    """The pointer to the promoted model could not be looked at, for a reason nobody thought of."""
    if _failed_look.now():
        tell("look-failed", logging.ERROR, trace=True, failed_before=_failed_look.skipped)


def refused(problem: Problem, request_id: str, scope: Scope) -> None:
    """One line a refusal; what the caller sent stands in it only as escaped, shortened JSON."""
    if (counted := _refused.get(problem.slug)) is None:
        counted = _refused[problem.slug] = metrics.REFUSALS.labels(problem.slug)
    counted.inc()
    if problem.slug == "busy" and _exhausted.now():
        tell("slots-exhausted", logging.WARNING, refused_before=_exhausted.skipped)
    hushed = HUSHED.get(problem.slug)
    if hushed is not None and not hushed.now():
        return
    told: dict[str, Any] = {
        "status": problem.status,
        "problem": problem.slug,
        "method": showable(scope["method"]),
        "path": showable(scope["path"]),
        "caller": _caller(scope),
        "detail": problem.detail,
    }
    if problem.errors:
        told["fields"] = [[error.field, showable(error.value)] for error in problem.errors[:5]]
    if hushed is not None:
        told["more_since_last"] = hushed.skipped
    level = logging.WARNING if problem.status >= 500 else logging.INFO
    tell("request-refused", level, request_id=request_id, **told)


def _caller(scope: Scope) -> str:
    """Whose key was right, or else the address."""
    name = scope.get("state", {}).get("caller")
    return str(name or (scope.get("client") or ("",))[0])


def answered(notes: Notes, route: str) -> None:
    """Puts what was valued so far into the journal. A long answer calls it piece by piece; `finished` does the rest."""
    champion, valued = notes.champion, tuple(notes.valued)
    if champion is None or not valued:
        return
    notes.valued.clear()
    if (told := _valued.get((route, notes.cached))) is None:
        told = _valued[route, notes.cached] = metrics.VALUES.labels(route, "yes" if notes.cached else "no")
    told.inc(len(valued))
    if _journal is not None:
        moment, seconds = time.time(), time.perf_counter() - notes.began
        _journal.append(len(valued), lambda: _events(notes, champion, valued, route, moment, seconds))


def finished(notes: Notes, route: str, status: int | None, scope: Scope) -> None:
    """The request is over.

    Args:
        route: one that we know, or `other`.
        status: None when the caller went away without an answer.
    """
    seconds = time.perf_counter() - notes.began
    if (counted := _counted.get((route, status))) is None:
        counted = _counted[route, status] = metrics.REQUESTS.labels(route, "gone" if status is None else str(status))
    if (timed := _timed.get(route)) is None:
        timed = _timed[route] = metrics.SECONDS.labels(route)
    counted.inc()
    timed.observe(seconds)
    for stage, begin, end in notes.laps:
        metrics.STAGE[stage].observe(end - begin)
    if _tracing is not None:
        _tracing.trace(notes, route, status, scope)
    if status is not None and status < 400:
        answered(notes, route)


def slots_taken(lane: str, used: int, waiting: int) -> None:
    """How much goes on in one lane of this worker."""
    if not used or time.monotonic() >= _told_used.get(lane, 0.0):
        metrics.SLOTS_USED[lane].set(used)
        _told_used[lane] = time.monotonic() + _TOLD_SECONDS if used else 0.0
    if _told_waiting.get(lane) != waiting:  # nearly always nobody does
        _told_waiting[lane] = waiting
        metrics.WAITING[lane].set(waiting)


def degraded() -> list[str]:
    """What serving does without at the moment; answers are none the worse for it."""
    return open_breakers()


def _events(
    notes: Notes, champion: Champion, valued: Sequence[Valued], route: str, moment: float, seconds: float
) -> list[dict[str, Any]]:
    """The lines of the journal; `id` stands first, for `serving.past.find` looks for it there."""
    when = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    asked = {"request_id": notes.request_id, "time": when, "route": route, "key_id": notes.key_id, "api": API}
    spent = {"seconds": round(seconds, 6), "cached": notes.cached}
    model = champion.cited
    rest = _value if notes.cached else _whole
    return [{"id": one.id, **asked, "part": one.part, **rest(one), "model": model, **spent} for one in valued]


def _value(one: Valued) -> dict[str, Any]:
    """Enough of an answer that was told before: the event of its first time has the rest."""
    return {"as_of": one.as_of.isoformat(), "value": one.value}


def _whole(one: Valued) -> dict[str, Any]:
    ranges = [{"level": told.level, "low": told.low, "high": told.high} for told in one.ranges]
    return {"home": dict(one.home), **_value(one), "ranges": ranges, "features": one.features}
