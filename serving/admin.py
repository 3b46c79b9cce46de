"""The pages for operators, on a port of their own: metrics of all workers, and how each worker is."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping

import uvicorn
from anyio.to_thread import run_sync
from starlette.datastructures import URL, Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.admission import Guard, is_loopback
from serving.key_ring import KeyRing, keys_path
from serving.problems import CONTENT_TYPE, Problem
from serving.protocol import BoundedProtocol
from serving.rates import Rates
from serving.routes import Route
from serving.supervisor import Supervisor

Page = Callable[[], Awaitable[Response]]
_ROUTE = Route(scope="admin")


class AdminServer(uvicorn.Server):
    """Beside the supervisor, who alone listens to signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve_admin(listener: socket.socket, supervisor: Supervisor) -> None:
    """Answers until cancelled."""
    from serving.metrics import metrics_page  # before it is told of the workers' folder, lest it counts as one of them

    os.environ |= supervisor.worker_environment

    async def metrics() -> Response:
        page, kind = await run_sync(metrics_page)
        return Response(page, headers={"Content-Type": kind})

    async def status() -> Response:
        return JSONResponse(supervisor.status())

    app = admin_app({"/metrics": metrics, "/admin/status": status}, listener.getsockname()[0])
    config = uvicorn.Config(
        app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = AdminServer(config)
    try:
        await server.serve([listener])
    finally:
        server.should_exit = True


def admin_app(pages: Mapping[str, Page], host: str) -> ASGIApp:
    """An app of these pages, for GET and HEAD. On a loopback `host` anybody on the machine may look, by no other name
    than the machine's own, which no page of a foreign site can take on; elsewhere a key with the scope `admin` may."""
    local = is_loopback(host)
    guard = None if local else Guard(KeyRing(keys_path()), Rates())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = uuid.uuid4().hex
        try:
            if local and not is_loopback(_named(scope)):
                raise Problem(403, "foreign-host", "ask by the name localhost or the address 127.0.0.1")
            if guard is not None:
                guard.admit(scope, _ROUTE, dict(scope["headers"]))
            if scope["path"] not in pages:
                raise Problem(404, "not-found", f"there is nothing here; see {', '.join(pages)}")
            if scope["method"] not in ("GET", "HEAD"):
                raise Problem(405, "method-not-allowed", f"{scope['path']} takes GET", headers={"Allow": "GET"})
            response = await pages[scope["path"]]()
        except Problem as problem:
            body = problem.to_json(request_id)
            response = Response(body, problem.status, dict(problem.headers), CONTENT_TYPE)
        response.headers["X-Request-Id"] = request_id
        await response(scope, receive, send)

    return app


def _named(scope: Scope) -> str:
    """The host that the caller meant, without its port."""
    try:
        return URL(f"http://{Headers(scope=scope).get('host', '')}").hostname or "?"
    except ValueError:
        return "?"
