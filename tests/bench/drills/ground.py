"""What the drills stand on: a small market's store with two promoted versions, and what each of them answers."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import bentoml
from bentoml._internal.models import ModelStore

from models.bundle import write_bundle
from models.files import read_json, write_json
from models.golden import golden_answers
from models.valuer import Valuer
from models.version import BUNDLE, CARD
from pipelines import signing, store
from tests.bench import load
from tests.bench.load import HOST, Cell, post
from tests.bench.processes import Running, family, started
from tests.served import HOME, ROOT, environment, promote, train

WORKERS = 2
COMMAND = (sys.executable, "-m", "serving.server", "--host", HOST, "--port", "{port}")
#: Where a server keeps what it has laid out and what it records, in the folder of the ground.
LAYOUTS, EVENTS = "layouts", "events"
#: Questions that every version has answered alone.
ASKED = 40


@dataclass(frozen=True)
class Finding:
    """What was promised and what was found; `timed` where that hangs on how fast the machine is."""

    says: str
    found: str
    kept: bool
    timed: bool = False


@dataclass(frozen=True)
class Version:
    """A promoted version: its pointer, and the body of its answer to each of the questions."""

    name: str
    pointer: dict[str, Any]
    answers: dict[bytes, bytes]


@dataclass(frozen=True)
class Ground:
    """A folder with a store, a pointer and keys; a server started in it keeps its state there."""

    place: Path
    versions: tuple[Version, ...]

    @property
    def pointer(self) -> Path:
        return self.place / "champion.json"

    def point(self, version: Version) -> None:
        """Promotes it."""
        write_json(self.pointer, version.pointer)

    def folder(self, version: Version) -> Path:
        """Where the store keeps it."""
        return folder_of(self.place, version.name)

    def wrong(self, answers: Sequence[tuple[bytes, int, bytes]]) -> int:
        """How many answers are not, to the bit, one version's own. Each names its version, so none is another's."""
        return sum(
            status == 200 and all(version.answers[asked] != body for version in self.versions)
            for asked, status, body in answers
        )


def questions(number: int = ASKED) -> list[bytes]:
    """Requests about homes that differ."""
    homes = [HOME | {"living_area": 40 + 4 * i, "property_id": f"p{i}"} for i in range(number)]
    return [post("/value", json.dumps({"home": home}).encode()) for home in homes]


def fresh(*headers: str, first: int = 0) -> Iterator[bytes]:
    """Requests without end about homes that nobody asked about before; from another first, about others."""
    for number in count(first):
        home = HOME | {"plot": 1 + number // 2700 / 10, "living_area": 30 + number % 2700 / 10}
        yield post("/value", json.dumps({"home": home}).encode(), *headers)


def lay_ground(place: Path) -> Ground:
    """Two versions, 7 and 8, trained with other seeds; the pointer names the first."""
    promote(train(), place)
    pointers = {"7": read_json(place / "champion.json"), "8": add_version(place, train(seed=2), "8")}
    told = []
    for name, pointer in pointers.items():
        write_json(place / "champion.json", pointer)
        with serving(place, workers=1) as server:
            answers = load.run(Cell(server.port, questions(), again=False, seconds=60, keep=True)).answers
        assert all(status == 200 and json.loads(body)["model"]["version"] == name for _, status, body in answers)
        told.append(Version(name, pointer, {asked: body for asked, _, body in answers}))
    ground = Ground(place, tuple(told))
    ground.point(told[0])
    return ground


def add_version(place: Path, valuer: Valuer, name: str) -> dict[str, Any]:
    """Puts the model into the store under `place`, signed; its pointer."""
    tag = f"valuation-harbour:v{name}"
    with bentoml.models.create(tag, _model_store=ModelStore(place / "bentoml" / "models")) as model:
        digest = write_bundle(Path(model.path) / BUNDLE, valuer)
    own = {"version": name, "digest": digest, "run": f"r{name}", "golden": golden_answers(valuer)}
    card = read_json(folder_of(place, "7") / CARD) | own
    folder = folder_of(place, name)
    with contextlib.chdir(place):
        store.write_card(folder, card, signing.sign_version(card, folder / BUNDLE))
    return {"tag": tag, "digest": digest, "market": "harbour"}


def folder_of(place: Path, name: str) -> Path:
    return place / "bentoml" / "models" / "valuation-harbour" / f"v{name}"


@contextmanager
def serving(
    place: Path, workers: int = WORKERS, first: bytes | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Running]:
    """Our server in the folder, once it answers `first`."""
    ours = {"ASSAY_LAYOUTS": str(place / LAYOUTS), "ASSAY_EVENTS": str(place / EVENTS), "PYTHONPATH": str(ROOT)}
    env = environment(place) | ours | dict(settings)
    command = [*COMMAND, "--workers", str(workers)]
    with started(command, first or questions(1)[0], place / "server.log", env, place) as running:
        yield running


def workers_of(server: Running) -> list[int]:
    """The processes that answer."""
    return sorted(pid for pid in family(server.process.pid) if "serving.worker" in _command(pid))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
