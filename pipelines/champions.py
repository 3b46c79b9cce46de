"""champions: what serves and why, back to the one before, and whether all places agree.

    python -m pipelines.champions status
    python -m pipelines.champions history
    python -m pipelines.champions rollback [--to v3] --why "townhouses are valued a tenth too high"
    python -m pipelines.champions promote v4 --why "refused for an area that was annexed since"
    python -m pipelines.champions verify
    python -m pipelines.champions sign --why "the disk that held the key is lost"

`rollback` needs neither MLflow nor a network. `promote` is a person's decision against the gate: it is kept in the
ledger, in the card and in every answer. `sign` signs again what the ledger names, after a key was lost. `status` and
`verify` end with 1 where something is not as it should be.
"""

from __future__ import annotations

import argparse
import getpass
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from models.fault import Fault
from pipelines import ledger, registry, resigning, signing, store
from pipelines.card import model_name, unregistered
from pipelines.exhibits import exhibits_of
from pipelines.ledger import Line
from pipelines.params import load_params
from pipelines.report import pages, publish
from pipelines.stage import run
from pipelines.tracking import TrackingError, answering, connect

SERVER = "http://127.0.0.1:3000"
SECONDS = 3  # that a server has to answer


class Disagreement(Fault):
    """Something is not as the ledger says; the text says what and what to do."""


@dataclass(frozen=True)
class Seen:
    """What one place says of the champion.

    Attributes:
        right: whether that is what the ledger says; None for a place that can't be asked.
    """

    place: str
    says: str
    right: bool | None


def main() -> None:
    given = _parser().parse_args()
    given.act(load_params().market, given)


def status(market: str, given: argparse.Namespace) -> None:
    """Ledger, store, pointer, registry and a running server, side by side."""
    line = _head(market)
    print(f"{line.tag} serves since {line.at}: {line.what} by {line.who}. {line.why}")
    places = [_store(line), _pointer(line), _registry(line), _server(line, given.server)]
    for seen in places:
        print(f"  {_MARKS[seen.right]:6} {seen.place:10} {seen.says}")
    if any(seen.right is False for seen in places):
        raise Disagreement(
            "not all places name the champion of the ledger; `dvc repro` makes them, and a running server follows"
        )


def history(market: str, _: argparse.Namespace) -> None:
    """Every decision on the market, the latest last."""
    for line in ledger.of(market):
        print(f"{line.number:>4}  {line.at}  {line.what:11} {line.was or '-'} -> {line.tag}  by {line.who}: {line.why}")


def rollback(market: str, given: argparse.Namespace) -> None:
    """Another version that has served, whole in the store, becomes the champion at once."""
    with ledger.held():
        line = _head(market)
        target = _earlier(market, line, given.to)
        memory = next((one.memory for one in reversed(ledger.of(market)) if one.digest == target.card["digest"]), None)
        evidence = ledger.evidence_of(target.card)
        ledger.record(market, ledger.ROLLED_BACK, given.why, target.tag, target.card["digest"], memory, evidence)
        store.point_to(target, memory)
        print(f"{target.tag} is the champion again, in place of {line.tag}; running servers follow")
        _tell_registry(line, target.card)


def promote(market: str, given: argparse.Namespace) -> None:
    """A version of the registry that the gate refused becomes the champion on a person's word."""
    tracking, name = connect(market), model_name(market)
    with ledger.held(), answering(tracking.uri), tempfile.TemporaryDirectory() as temporary:
        version = registry.numbered(tracking, name, given.version.removeprefix("v"))
        fetched = None if version is None else registry.fetch(tracking, version, Path(temporary))
        if version is None or fetched is None:
            raise Fault(
                f"{name} {given.version} is not whole in MLflow, or not as it was signed; see the registry's page for "
                f"what there is"
            )
        bundle, card = fetched
        at = ledger.now()
        override = {"who": getpass.getuser(), "why": given.why, "at": at}
        card = card | {"version": version.version, "run": version.run_id, "promoted_at": at, "override": override}
        told = pages(card, exhibits_of(card))
        stored = store.put(card, bundle, told)
        evidence = ledger.evidence_of(card)
        ledger.record(market, ledger.OVERRIDDEN, given.why, stored.tag, card["digest"], None, evidence, at)
        store.point_to(stored)
        registry.register(tracking, unregistered(card), bundle, store.numbers(name))
        registry.crown(tracking, version, ledger.of(market))
        publish(tracking, card, told)
        called = f"{stored.tag} (bundle {stored.card['digest'][:12]})"
        print(f"{called} is the champion now, against the gate; running servers follow")


def verify(market: str, _: argparse.Namespace) -> None:
    """The chain, and for each model that has served: its signature, its bundle, its evidence; pointer and alias."""
    told = ledger.of(market)
    wrong = []
    latest = {line.digest: line for line in told}
    for line in latest.values():
        stored = store.find(market, line.digest)
        if stored is None:
            why = store.trouble(line.tag) or "another bundle has its place"
            wrong.append(f"{line.tag}, bundle {line.digest[:12]}, is not whole in the store: {why}")
        elif ledger.evidence_of(stored.card) != line.evidence:
            wrong.append(f"the verdict on {line.tag} in the store is not the one of line {line.number} of the ledger")
    line = _head(market)
    if (doubt := _memory(line)) is not None:
        wrong.append(doubt)
    wrong += [f"{seen.place}: {seen.says}" for seen in (_pointer(line), _registry(line)) if seen.right is False]
    print(f"{len(told)} decisions, each following from the one before; {len(latest)} models have served")
    if wrong:
        raise Disagreement("; ".join(wrong) + "; run `dvc repro` to mend what can be mended, or restore a backup")
    print("Store, pointer and registry are what the ledger says, and every model is as it was signed")


def sign(market: str, given: argparse.Namespace) -> None:
    """After the key was lost: a new one, and with it the signature of every version that the ledger knows."""
    with ledger.held():
        line = _head(market)
        signed = resigning.anew()
        print(f"Signed with the key in {signing.key_folder()}: {', '.join(signed) or 'nothing'}")
        if store.find(market, line.digest) is None:
            why = store.trouble(line.tag) or "another bundle has its place"
            raise Fault(f"the champion {line.tag} is not what the ledger names ({why}); bring it back from a backup")
        ledger.record(market, ledger.SIGNED, given.why, line.tag, line.digest, line.memory, line.evidence)


_MARKS = {True: "ok", False: "WRONG", None: "-"}


def _head(market: str) -> Line:
    line = ledger.head(market)
    if line is None:
        raise Fault(f"no model of {market} has been made champion; run `dvc repro`")
    return line


def _earlier(market: str, line: Line, asked: str | None) -> store.Stored:
    """The version asked for, or the last other one that served; whole in the store."""
    if asked is not None:
        number = asked.removeprefix("v")
        served = any(one.tag == f"{model_name(market)}:v{number}" for one in ledger.of(market))
        stored = store.numbered(market, number) if served else None
        if stored is None:
            raise Fault(f"{asked} is no version that has served and is whole in the store; `make history` lists them")
    else:
        earlier = (one.digest for one in reversed(ledger.of(market)) if one.digest != line.digest)
        stored = next((found for digest in earlier if (found := store.find(market, digest)) is not None), None)
        if stored is None:
            raise Fault(f"no other model has served before {line.tag}, or none is whole in the store")
    if stored.card["digest"] == line.digest:
        raise Fault(f"{line.tag} is the champion already")
    return stored


def _store(line: Line) -> Seen:
    stored = store.find(line.market, line.digest)
    if stored is None:
        return Seen("store", f"no whole copy of it: {store.trouble(line.tag) or 'another bundle has its place'}", False)
    doubt = _memory(line)
    return Seen("store", doubt or f"{stored.folder}, signed, every digest right", doubt is None)


def _memory(line: Line) -> str | None:
    """What is wrong with the memory of sales that the champion is to be served with."""
    stored = store.find(line.market, line.digest)
    if stored is None or line.memory is None or store.remembers(stored, line.memory):
        return None
    return f"the memory {line.memory[:12]} of {line.tag} is not whole in the store, or not as it was signed"


def _pointer(line: Line) -> Seen:
    tag, digest = store.pointed_at()
    return Seen("pointer", f"{store.pointer_file()} names {tag}", digest == line.digest)


def _registry(line: Line) -> Seen:
    try:
        tracking = connect(line.market)
        with answering(tracking.uri):
            version = registry.champion(tracking, model_name(line.market))
    except TrackingError as error:
        return Seen("registry", f"can't be asked: {str(error).splitlines()[0]}", None)
    says = "has no alias `champion`" if version is None else f"alias `champion` is v{version.version}"
    return Seen("registry", says, version is not None and version.digest == line.digest)


def _server(line: Line, address: str) -> Seen:
    try:
        with urlopen(f"{address}/model", timeout=SECONDS) as answer:
            card = json.loads(answer.read())
    except (OSError, ValueError) as error:
        return Seen("server", f"{address} doesn't answer ({error})", None)
    right = card.get("digest") == line.digest
    return Seen("server", f"{address} answers by {card.get('name')}:v{card.get('version')}", right)


def _tell_registry(line: Line, card: Mapping[str, Any]) -> None:
    """The alias follows where MLflow can be had; where not, the next `dvc repro` moves it."""
    try:
        tracking = connect(line.market)
        with answering(tracking.uri):
            version = registry.kept(tracking, card) or registry.find(tracking, card["name"], card["digest"])
            if version is None:
                raise TrackingError(f"it has no version of bundle {card['digest'][:12]}")
            registry.crown(tracking, version, ledger.of(line.market))
    except TrackingError as error:
        print(f"MLflow's alias follows with the next `dvc repro`: {str(error).splitlines()[0]}")


def _reason(given: str) -> str:
    """Raises: argparse.ArgumentTypeError for one that says nothing; `make rollback` without WHY gives an empty one."""
    if not given.strip():
        raise argparse.ArgumentTypeError("is empty; say in words why, for whoever asks later (WHY='...' with make)")
    return given.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="champions", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(act: Callable[[str, argparse.Namespace], None], why: bool = False) -> argparse.ArgumentParser:
        told = commands.add_parser(act.__name__, help=(act.__doc__ or "").split("\n")[0])
        told.set_defaults(act=act)
        if why:
            told.add_argument("--why", required=True, type=_reason, help="the reason, kept in the ledger")
        return told

    command(status).add_argument("--server", default=SERVER, help="address of a running server")
    command(history)
    command(rollback, why=True).add_argument("--to", metavar="VERSION", help="v3; the one that served before, else")
    command(promote, why=True).add_argument("version", help="v4")
    command(verify)
    command(sign, why=True)
    return parser


if __name__ == "__main__":
    run(main)
