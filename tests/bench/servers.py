"""The servers that are compared, how each is started (with forests: a worker a core), and what it is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.bench.homes import Homes, rows_as
from tests.bench.load import HOST, post

CORES = os.cpu_count() or 1
_UVICORN: tuple[str, ...] = (
    *(sys.executable, "-m", "uvicorn", "--host", HOST, "--port", "{port}"),
    *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
)
_BENTOML = (sys.executable, "-m", "bentoml", "serve", "--host", HOST, "--port", "{port}")
_MLFLOW = (sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", str(CORES))
_OURS = (sys.executable, "-m", "serving.server", "--host", HOST, "--port", "{port}", "--workers", str(CORES))

#: Key -> command. `{place}` is where the forests lie as the peers read them.
SERVERS: Mapping[str, tuple[str, ...]] = {
    "asgi": (*_UVICORN, "tests.bench.peers.echo_asgi:app"),
    "bentoml": (*_BENTOML, "tests.bench.peers.echo_bento:Echo"),
    "mlflow": (*_MLFLOW, "--host", HOST, "--port", "{port}", "--model-uri", "{place}/mlflow"),
    "fastapi": (*_UVICORN, "--workers", str(CORES), "tests.bench.peers.fastapi_forest:app"),
    "plain": (*_BENTOML, "tests.bench.peers.bento_forest:Plain"),
    "ours": _OURS,
}
OURS = "ours"


@dataclass(frozen=True)
class Case:
    """A question that a server is asked: `name` is what the table calls it."""

    key: str
    name: str
    server: str


CASES = (
    Case("echo", "echo: bare ASGI on the same server", "asgi"),
    Case("bento_echo", "echo: bare BentoML", "bentoml"),
    Case("mlflow", "`mlflow models serve`: a bare number", "mlflow"),
    Case("fastapi", "FastAPI + LightGBM, `def`: a bare number", "fastapi"),
    Case("fastapi_async", "FastAPI + LightGBM, `async def`: a bare number", "fastapi"),
    Case("bento_plain", "plain BentoML: value and range", "plain"),
    Case("full", "Assay: the full answer", OURS),
    Case("brief", "Assay: value and range", OURS),
    Case("repeated", "Assay: a question asked before", OURS),
)


class Questions:
    """The requests of each case. Ours are about a home never asked about before, but for the repeated one."""

    def __init__(self, homes: Homes) -> None:
        some = [body for body, _ in zip(homes.bodies(), homes.homes, strict=False)]
        self._fresh = islice(homes.bodies(), len(some), None)
        self._kept: dict[str, Sequence[bytes]] = {
            "echo": [post("/", body) for body in some],
            # BentoML takes an endpoint's arguments by name: {"home": {...}} is ours too.
            "bento_echo": [post("/echo", body) for body in some],
            "mlflow": rows_as(homes.rows, "/invocations", "inputs", listed=True),
            "fastapi": rows_as(homes.rows, "/sync", "features"),
            "fastapi_async": rows_as(homes.rows, "/async", "features"),
            "bento_plain": [
                post("/value", b'{"row":' + request.partition(b"\r\n\r\n")[2] + b"}")
                for request in rows_as(homes.rows, "/value", "features")
            ],
            "repeated": [post("/value", some[0])],
        }

    def first(self, case: str) -> bytes:
        return next(iter(self.of(case, 1)))

    def again(self, case: str) -> bool:
        """Whether the case's requests may be sent over and over."""
        return case in self._kept

    def of(self, case: str, number: int) -> Sequence[bytes]:
        if case in self._kept:
            return self._kept[case]
        path = "/value" if case.startswith("full") else "/value?fields=value,range"
        return [post(path, body) for body in islice(self._fresh, number)]


def command(server: str, place: Path) -> list[str]:
    """With `{port}` still open."""
    return [part.replace("{place}", str(place)) for part in SERVERS[server]]
