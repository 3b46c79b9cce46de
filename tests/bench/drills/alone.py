"""The server without what it leans on: registry, collector of traces, disk for its records, store, network.

Each is dead at the start, or dies while the server runs; then all at once. Answers must be those of a server that has
them all, and a start must not take longer for it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.bench import load
from tests.bench.drills.ground import EVENTS, Finding, Ground, questions, serving
from tests.bench.load import HOST, Cell
from tests.served import ROOT

#: Seconds from spawn to first answer.
START = 3.0
#: Runs a command without any network but a loopback of its own.
NO_NETWORK = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
Settings = dict[str, str]


@dataclass(frozen=True)
class Told:
    """What a server said: seconds to its first answer, and of each answer its status and digest."""

    start: float
    answers: list[tuple[int, str]]


@contextmanager
def _registry(place: Path) -> Iterator[Settings]:
    with _black_hole() as hole:
        yield {"MLFLOW_TRACKING_URI": hole, "MLFLOW_REGISTRY_URI": hole}


@contextmanager
def _collector(place: Path) -> Iterator[Settings]:
    with _black_hole() as hole:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": hole}


@contextmanager
def _records(place: Path) -> Iterator[Settings]:
    """No event can be written: where their folder was there is a file, which stops even root."""
    with _gone(place / EVENTS) as events:
        events.touch()
        yield {}
        events.unlink()


@contextmanager
def _store(place: Path) -> Iterator[Settings]:
    with _gone(place / "bentoml"):
        yield {}


#: Name -> what makes it dead for a while, in a server's folder; gives the settings of a server that shall meet it so.
DEATHS: Mapping[str, Callable[[Path], AbstractContextManager[Settings]]] = {
    "registry": _registry,
    "collector": _collector,
    "records": _records,
    "store": _store,
}


def alone(ground: Ground, singly: bool = True) -> list[Finding]:
    """Each dependency dead by itself (only where `singly`), those of the disk while a server runs, all at once."""
    place = ground.place
    sound = [(200, sha256(body).hexdigest()) for body in ground.versions[0].answers.values()]
    told = {"nothing": tried(place, {})}
    for name, dead in DEATHS.items() if singly else ():
        with dead(place) as settings:
            told[name] = tried(place, settings)
    with serving(place) as server:
        for name in ("records", "store"):
            with DEATHS[name](place):
                told[f"{name}, while it runs"] = Told(0.0, _answers(server.port))
    told["everything"] = _everything(place)
    if _has_namespaces():
        inside = [*NO_NETWORK, sys.executable, "-m", "tests.bench.drills.alone", str(place)]
        said = subprocess.run(inside, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        raw = json.loads(said)
        told["everything, and the network"] = Told(raw["start"], [(status, body) for status, body in raw["answers"]])
    return [
        *(_unchanged(name, one, sound) for name, one in told.items()),
        *(_started(name, one) for name, one in told.items() if one.start),
        *([] if _has_namespaces() else [Finding("the network", "not tried: no namespaces here", True)]),
    ]


def tried(place: Path, settings: Settings) -> Told:
    """A server started now, and what it answers."""
    with serving(place, settings=settings) as server:
        return Told(server.start, _answers(server.port))


def _everything(place: Path) -> Told:
    with ExitStack() as stack:
        settings: Settings = {}
        for dead in DEATHS.values():
            settings |= stack.enter_context(dead(place))
        return tried(place, settings)


def _answers(port: int) -> list[tuple[int, str]]:
    told = load.run(Cell(port, questions(), again=False, seconds=60, keep=True))
    return [(status, sha256(body).hexdigest()) for _, status, body in told.answers]


def _unchanged(name: str, told: Told, sound: list[tuple[int, str]]) -> Finding:
    wrong = sum(one != other for one, other in zip(told.answers, sound, strict=True))
    return Finding(f"without {name}: answers unchanged", f"{wrong} of {len(sound)} changed", wrong == 0)


def _started(name: str, told: Told) -> Finding:
    kept = told.start <= START
    return Finding(f"without {name}: starts within {START:g} s", f"{told.start:.2f} s", kept, timed=True)


def _has_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0


@contextmanager
def _gone(path: Path) -> Iterator[Path]:
    """The path, moved aside for a while."""
    aside = path.with_name(f"{path.name}-aside")
    there = path.exists()
    if there:
        path.rename(aside)
    try:
        yield path
    finally:
        if there:
            aside.rename(path)


@contextmanager
def _black_hole() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server((HOST, 0)) as hole:
        yield f"http://{HOST}:{hole.getsockname()[1]}"


if __name__ == "__main__":
    json.dump(vars(_everything(Path(sys.argv[1]))), sys.stdout)
