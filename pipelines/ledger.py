"""The promotion ledger: which model was made champion, when, by whom, why and on what evidence.

One JSON line a decision, each with the SHA-256 of the line before it: one that is altered, dropped or slipped in
breaks the chain. A market's last line says what should serve; registry and pointer are made to follow it, so
whoever moves MLflow's alias changes nothing that is served. Written anew and renamed at each decision, under a
lock that one process holds at a time.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from models.fault import Fault
from models.files import digest, json_bytes, parse_json, write_bytes
from pipelines.places import STATE
from pipelines.tracking import home

FIRST = "0" * 64  # what the first line names as the one before it
PATIENCE = 120  # seconds that a process waits for another's decision
#: What a line may say was done.
PROMOTED, OVERRIDDEN, ROLLED_BACK = "promoted", "overridden", "rolled back"
REFRESHED, REJUDGED, ADOPTED, SIGNED = "refreshed", "judged again", "adopted", "signed anew"
RAISED = (PROMOTED, OVERRIDDEN)


class LedgerError(Fault):
    """The ledger is broken or another process holds it; the text says where and what to do."""


@dataclass(frozen=True)
class Line:
    """One decision.

    Attributes:
        what: promoted (it passed the gate), overridden (a person's decision), rolled back; of the same model,
            refreshed (with more sales), judged again (by other data), signed anew (with another key) or adopted (it
            served when the ledger began).
        tag, digest: of the champion from now on.
        was: the tag of the one before it, None where there was none.
        memory: digest of the memory of sales it is served with; None for the bundle's own.
        evidence: SHA-256 of the verdict that speaks for it.
        previous: SHA-256 of the line before.
    """

    number: int
    at: str
    market: str
    what: str
    who: str
    why: str
    tag: str
    digest: str
    memory: str | None
    was: str | None
    evidence: str
    previous: str

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def seal(self) -> str:
        return digest(self.text.encode())


def ledger_file() -> Path:
    return home() / STATE / "promotions.jsonl"


@contextmanager
def held() -> Iterator[None]:
    """The right to decide: one process at a time has it, and a process that dies gives it back.

    Raises:
        LedgerError: when another process doesn't give it back.
    """
    path = home() / STATE / "promotions.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=PATIENCE):
            yield
    except Timeout:
        raise LedgerError(
            f"another process has held {path} for {PATIENCE} s; wait for its `dvc repro` or rollback to end, "
            f"then try again"
        ) from None


def lines() -> tuple[Line, ...]:
    """Every decision, oldest first.

    Raises:
        LedgerError: at the first line that doesn't follow from the one before it.
    """
    path, told = ledger_file(), []
    try:
        raw = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return ()
    previous = FIRST
    for number, text in enumerate(raw, 1):
        try:
            line = Line(**parse_json(text))
        except (ValueError, TypeError) as error:
            raise _broken(path, number, f"can't be read ({error})") from None
        if line.text.encode() != text or line.number != number or line.previous != previous:
            raise _broken(path, number, "does not follow from the line before it")
        told.append(line)
        previous = line.seal
    return tuple(told)


def of(market: str) -> tuple[Line, ...]:
    """The decisions on one market, oldest first; raises as `lines` does."""
    return tuple(line for line in lines() if line.market == market)


def head(market: str) -> Line | None:
    """The decision that stands: the market's last."""
    return next(reversed(of(market)), None)


def withdrawal(market: str, bundle: str) -> Line | None:
    """The rollback that ended this model's reign, unless it has served again since."""
    told, before = None, None
    for line in of(market):
        if line.digest == bundle:
            told = None
        elif line.what == ROLLED_BACK and before is not None and before.digest == bundle:
            told = line
        before = line
    return told


def proves(told: Sequence[Line], card: Mapping[str, Any]) -> bool:
    """Whether a market's decisions name this card's bundle, its verdict, and an override only where they tell of it."""
    own = [line for line in told if line.digest == card["digest"]]
    raised = [line for line in own if line.what in RAISED]
    if not own or own[-1].evidence != evidence_of(card):
        return False
    overruled = raised[-1].at if raised and raised[-1].what == OVERRIDDEN else None
    return not raised or (card.get("override") or {}).get("at") == overruled


def raised_at(told: Sequence[Line], bundle: str) -> str:
    """When that model was last made champion, as the decisions have it; now, where they don't tell."""
    return next((line.at for line in reversed(told) if line.digest == bundle and line.what in RAISED), now())


def record(
    market: str, what: str, why: str, tag: str, bundle: str, memory: str | None, evidence: str, at: str = ""
) -> Line:
    """Adds a decision; what it names must be whole in the store by then. Only while the ledger is `held`."""
    told = lines()
    before = next((line for line in reversed(told) if line.market == market), None)
    line = Line(
        number=len(told) + 1,
        at=at or now(),
        market=market,
        what=what,
        who=getpass.getuser(),
        why=why,
        tag=tag,
        digest=bundle,
        memory=memory,
        was=before.tag if before else None,
        evidence=evidence,
        previous=told[-1].seal if told else FIRST,
    )
    write_bytes(ledger_file(), "".join(one.text for one in (*told, line)).encode())
    return line


def evidence_of(card: Mapping[str, Any]) -> str:
    """What a line names its evidence by: the digest of the verdict in the model's card."""
    return digest(json_bytes(card["verdict"]))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _broken(path: Path, number: int, why: str) -> LedgerError:
    return LedgerError(
        f"line {number} of {path} {why}: it was altered by hand, or lines are missing. Bring the file back from a "
        f"backup; to begin a new ledger, move it away: the next `dvc repro` adopts what serves"
    )
