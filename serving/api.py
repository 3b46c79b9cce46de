"""The endpoints behind the edge: requests to answers, errors to problems."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from models.version import DATA_DOCS, REPORT
from serving import records
from serving.champion import Champion
from serving.comparing import compare
from serving.edge import OWN_WORDS
from serving.holder import Holder
from serving.logs import tell
from serving.metrics import metrics_page
from serving.notes import Notes
from serving.openapi import model_card, openapi
from serving.page import page
from serving.problems import CONTENT_TYPE, Problem
from serving.routes import ROUTES
from serving.valuing import value_many, value_one

#: Valuations that may run at once in one worker; each keeps one core busy.
THREADS = 2
_limiter = CapacityLimiter(THREADS)
Handler = Callable[[Request], Awaitable[Response]]
Answering = Callable[[Champion, bytes, Notes], dict[str, Any]]


def create_app(holder: Holder) -> Starlette:
    """Our ASGI app; each request is answered by the champion that the holder has when it comes in."""
    handlers: dict[str, Handler] = {
        "/": partial(_index, holder),
        "/openapi.json": partial(_openapi, holder),
        "/model": partial(_model, holder),
        "/report": partial(_page, holder, REPORT),
        "/validation.html": partial(_page, holder, DATA_DOCS),
        "/value": partial(_valuation, holder, value_one),
        "/value_batch": partial(_valuation, holder, value_many),
        "/compare": partial(_valuation, holder, compare),
        "/livez": _alive,
        "/healthz": _alive,
        "/readyz": partial(_ready, holder),
        "/metrics": _metrics,
    }
    routes = [Route(path, _guarded(handler), methods=list(ROUTES[path].methods)) for path, handler in handlers.items()]
    return Starlette(routes=routes)


async def _index(holder: Holder, request: Request) -> Response:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    _, port = request.scope["server"]
    html = page(holder.champion, holder.missing, port)
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


async def _openapi(holder: Holder, _: Request) -> Response:
    return JSONResponse(openapi(_champion(holder)))


async def _model(holder: Holder, _: Request) -> Response:
    return JSONResponse(model_card(_champion(holder)))


async def _page(holder: Holder, name: str, _: Request) -> Response:
    """What promotion laid beside the model, byte for byte."""
    champion = _champion(holder)
    if name not in champion.pages:
        raise Problem(404, "no-report", f"the model was promoted without {name}; run `make repro`")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return HTMLResponse(champion.pages[name], headers={"Content-Security-Policy": policy})


async def _alive(_: Request) -> Response:
    return JSONResponse({"alive": True})


async def _ready(holder: Holder, _: Request) -> Response:
    """Ready is who can tell values; what is degraded costs records or speed, never an answer."""
    return JSONResponse({"ready": True, "model": _champion(holder).cited, "degraded": records.degraded()})


async def _metrics(_: Request) -> Response:
    content, kind = await run_sync(metrics_page)
    return Response(content, media_type=kind)


async def _valuation(holder: Holder, answer: Answering, request: Request) -> Response:
    champion = _champion(holder)
    body = await request.body()
    notes: Notes = request.state.notes
    notes.champion = champion
    told = await run_sync(answer, champion, body, notes, limiter=_limiter)
    notes.lap("appraise")
    content = json.dumps(told, allow_nan=False, ensure_ascii=False)
    notes.lap("encode")
    return Response(content, media_type="application/json")


def _champion(holder: Holder) -> Champion:
    if holder.champion is None:
        raise Problem(503, "not-ready", holder.missing)
    return holder.champion


def _guarded(handler: Handler) -> Handler:
    """Every failure becomes a problem: BentoML leaves a request hanging when an exception reaches it."""

    async def guarded(request: Request) -> Response:
        request_id = request.state.request_id
        try:
            return await handler(request)
        except Problem as error:
            problem = error
            records.refused(problem, request_id, request.scope)
        except Exception:
            tell("request-failed", logging.ERROR, request_id=request_id, trace=True)
            problem = Problem(500, *OWN_WORDS[500])
        return Response(problem.to_json(request_id), problem.status, dict(problem.headers), CONTENT_TYPE)

    return guarded
