"""Damage aimed at a running server: at a version it is pointed to, at the pointer, at what it serves from."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from pathlib import Path
from random import Random

from tqdm import tqdm

from tests.bench.drills.damage import damaged
from tests.bench.drills.ground import (
    LAYOUTS,
    WORKERS,
    Finding,
    Ground,
    Version,
    folder_of,
    questions,
    serving,
    workers_of,
)
from tests.bench.drills.pressure import Pressure
from tests.bench.load import Cell, Load
from tests.bench.processes import Running

#: Seconds in which all workers must have said what they make of a damaged version.
DECIDED = 60.0
#: Seconds that damage to what is in service stays, several looks of every worker.
STAYS = 0.5
_DECISION = re.compile(rb'"event": "(?:swap-refused|model-serving)"')


class Attack:
    """One server, damaged in turns; counts what was done and what was not decided."""

    def __init__(self, ground: Ground, server: Running) -> None:
        self.ground, self.server = ground, server
        self.serving, self.next = ground.versions
        self.done: Counter[str] = Counter()
        self.undecided: list[str] = []
        self.killed: list[str] = []
        self._workers = workers_of(server)

    def turn(self, number: int, rng: Random) -> None:
        """The corruption of that number: every other of a candidate, the rest of the pointer and of what serves."""
        turns = (self.at_candidate, self.at_pointer, self.at_candidate, self.at_served)
        what = turns[number % len(turns)](number, rng)
        self.done[what] += 1
        if (now := workers_of(self.server)) != self._workers:
            self.killed.append(what)
            self._workers = now

    def at_candidate(self, number: int, rng: Random) -> str:
        """The next version, one of its files damaged, under a tag of its own, and pointed to."""
        name = f"8x{number}"
        folder = folder_of(self.ground.place, name)
        shutil.copytree(self.ground.folder(self.next), folder)
        path, way = _damage(folder, rng)
        pointer = self.next.pointer | {"tag": f"valuation-harbour:v{name}"}
        for laid in (self.ground.place / LAYOUTS).glob(f"{self.next.pointer['digest'][:16]}*"):
            shutil.rmtree(laid)  # or nobody would read the damaged files
        what = f"candidate {path} {way}"
        decided = self._decisions()
        self.ground.point(Version(name, pointer, {}))
        if not self._await(decided, DECIDED):
            self.undecided.append(what)
        self.ground.point(self.serving)
        shutil.rmtree(folder)
        return what

    def at_pointer(self, number: int, rng: Random) -> str:
        sound = self.ground.pointer.read_bytes()
        way, content = damaged(sound, self.ground.folder(self.next).joinpath("card.json").read_bytes(), rng)
        decided = self._decisions()
        self.ground.pointer.write_bytes(content)  # not in one step: a torn write is a part of it
        self._await(decided, STAYS)
        self.ground.pointer.write_bytes(sound)
        return f"pointer {way}"

    def at_served(self, number: int, rng: Random) -> str:
        """What was loaded long ago: the version's own files and its layout, written over in their place."""
        folder = rng.choice([self.ground.folder(self.serving), self.ground.place / LAYOUTS])
        kept = {path: path.read_bytes() for path in _files(folder)}
        where, way = _damage(folder, rng)
        time.sleep(STAYS)
        for path, content in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)  # a layout that is found damaged is thrown away
            path.write_bytes(content)
        return f"served {where} {way}"

    def is_over(self, load: Load) -> bool:
        """Whether the next version answers."""
        return any(body == self.next.answers[asked] for asked, _, body in load.answers[-1:])

    def _await(self, decided: int, seconds: float) -> bool:
        """Whether every worker has in time refused, or taken over what the damage did not reach."""
        until = time.monotonic() + seconds
        while self._decisions() < decided + WORKERS:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def _decisions(self) -> int:
        return len(_DECISION.findall(self.server.log.read_bytes()))


def corruptions(ground: Ground, number: int, seed: int = 1) -> list[Finding]:
    """So many corruptions: half of a candidate, a quarter of the pointer, a quarter of what serves."""
    cell = Cell(0, questions(), connections=4, seconds=24 * 3600, pace=0.05, keep=True)
    wrong = 0
    with serving(ground.place) as server:
        attack = Attack(ground, server)
        with Pressure(cell.at(server.port)) as pressure:
            for turn in tqdm(range(number), desc="corruptions"):
                attack.turn(turn, Random(f"{seed}:{turn}"))
                wrong += ground.wrong(pressure.taken())
            ground.point(attack.next)
            adopts = pressure.wait_for(attack.is_over, DECIDED)
    ground.point(attack.serving)
    wrong += ground.wrong(pressure.taken())
    told, undecided, killed = pressure.load, attack.undecided, attack.killed
    return [
        Finding("corruptions", f"{attack.done.total():,}: {_told(attack.done)}", attack.done.total() == number),
        Finding("each candidate was decided on", f"{len(undecided)} were not: {undecided[:3]}", not undecided),
        Finding("no worker ended", f"{len(killed)} times one did: {killed[:3]}", not killed),
        Finding("no request failed", f"{told.failures} of {told.asked:,} did", told.failed == 0),
        Finding("no answer changed", f"{wrong} did", wrong == 0),
        Finding("a sound version is then taken over", "it was" if adopts else "it was not", adopts),
    ]


def _told(done: Counter[str]) -> str:
    aims = Counter[str]()
    for what, count in done.items():
        aims[what.split(" ")[0]] += count
    return ", ".join(f"{count} of the {aim}" for aim, count in aims.items())


def _damage(folder: Path, rng: Random) -> tuple[str, str]:
    """Damages one file of the folder; its path there, and the way it went."""
    files = _files(folder)
    path, other = rng.choice(files), rng.choice(files)
    before = path.read_bytes()
    way, content = damaged(before, other.read_bytes(), rng)
    path.write_bytes(content)
    return str(path.relative_to(folder)), way if content != before else f"{way}, to the same"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
