"""promote: the candidate is judged, registered with its verdict, and made champion only if it passed.

Runs at every `dvc repro` and repairs what it finds lost: registry, store and pointer are made to agree
on one champion before the candidate is looked at. Each step is idempotent and keyed by the bundle's
digest; the line in the ledger is the decision, alias and pointer follow it, so a kill at any point leaves
the old champion or the new one. A champion that changed while the candidate was judged stops the promotion:
the verdict compares with one that serves no more. `dvc exp run` judges and registers, and changes nothing
that serves.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from models.fault import Fault
from models.files import read_json, write_json
from models.gate.bounds import Bounds
from models.gate.check import PASS, Verdict
from models.version import REPORT
from pipelines import ledger, registry, resigning, signing, store
from pipelines.card import SAID, build_card, model_name, same_measure, unregistered
from pipelines.decision import Decision, boxed
from pipelines.exhibits import exhibits_of
from pipelines.params import load_params
from pipelines.places import BEST, BUNDLE, EVALUATION, PLOTS, VALIDATION_PAGE, VALUED, VERDICT
from pipelines.report import pages, publish
from pipelines.stage import run
from pipelines.tracking import Tracking, answering, connect, record_study
from pipelines.trial import Candidate, Champion, judged, read_candidate


class PromoteError(Fault):
    """The champion is nowhere to be had, or has changed meanwhile; the text says what to do."""


def main() -> None:
    params = load_params()
    record_study(params.market, params.tune.keep_best)
    decision = promote(params.gate, experiment="DVC_EXP_NAME" in os.environ)
    print(boxed(decision))


def promote(bounds: Bounds, experiment: bool) -> Decision:
    """One candidate, from `data/`, judged and dealt with.

    Raises:
        TrialError, BundleError: when the candidate's files are damaged or don't belong together.
        PromoteError: when the champion can't be found whole.
        StoreError: when the store has another model under the version that MLflow names.
        TrackingError: when MLflow can't be used.
    """
    candidate = read_candidate()
    tracking = connect(candidate.market)
    with answering(tracking.uri), tempfile.TemporaryDirectory() as temporary:
        with ledger.held():
            champion = find_champion(tracking, candidate, Path(temporary))
            if champion is not None and not experiment:
                champion = settle(tracking, champion)
            standing = ledger.head(candidate.market)
        judgement = judged(candidate, champion, standing, bounds)
        with ledger.held():
            decision = _decide(tracking, candidate, champion, standing, judgement, experiment)
        publish(tracking, decision.card, pages(decision.card, exhibits_of(decision.card), decision.doubts))
    told = {"decision": decision.what, "model": decision.card["digest"], "judged_on_holdout": decision.worn}
    write_json(VERDICT, told | decision.card["verdict"])
    return decision


def find_champion(tracking: Tracking, candidate: Candidate, folder: Path) -> Champion | None:
    """The champion, whole, or None where there is none.

    The ledger says which it is; where there is none, the store's pointer, and else the registry's alias. Wherever it
    is found, it is believed only when it is signed with the project's key.

    Args:
        folder: where files from MLflow are put.

    Raises:
        PromoteError: when the champion's files are neither in the store nor in MLflow.
    """
    name, line = model_name(candidate.market), ledger.head(candidate.market)
    digest = line.digest if line else store.pointed(candidate.market)
    tag = line.tag if line else None
    version = registry.find(tracking, name, digest, tag) if digest else registry.champion(tracking, name)
    resigning.begin()
    if digest is None and version is None:
        return _champion(store.latest_promoted(candidate.market))
    digest = digest or (version.digest if version else "")
    if (champion := _champion(store.find(candidate.market, digest))) is not None:
        return champion
    if version is not None and (fetched := _fetched(tracking, version, line, folder)) is not None:
        print(f"The champion {fetched.tag} is brought back from MLflow, as it was signed{_why(line)}")
        return fetched
    if digest == candidate.digest:
        return None  # its files are the candidate's: judged and promoted again, it is whole again
    if store.outdated(candidate.market, digest):
        return None  # this version of the code can neither serve it nor compare with it
    raise PromoteError(
        f"the champion of {name}, bundle {digest}, is neither whole in the store nor in MLflow's artifacts, as signed "
        f"with the key in {signing.key_folder()}{_why(line)}. Bring one of them, or that key, back from a backup (a "
        f"lost key: `make sign`); or, to begin anew without it, delete the alias 'champion' of {name} in MLflow, "
        f"{store.pointer_file()} and {ledger.ledger_file()}, then run `dvc repro`"
    )


def _fetched(
    tracking: Tracking, version: registry.Registered, line: ledger.Line | None, folder: Path
) -> Champion | None:
    """The champion from MLflow's artifacts, where the ledger speaks for it; without one, where gate or person did."""
    if (found := registry.fetch(tracking, version, folder)) is None:
        return None
    bundle, card = found
    told = ledger.of(line.market) if line else ()
    if not (ledger.proves(told, card) if line else card["verdict"]["outcome"] == PASS or "override" in card):
        return None
    named = {"version": version.version, "run": version.run_id, "promoted_at": ledger.raised_at(told, card["digest"])}
    return Champion(card | named, bundle)


def settle(tracking: Tracking, champion: Champion) -> Champion:
    """Registry, store and pointer agree on the champion afterwards; what was lost is there again.

    A ledger that has no line yet begins with it.
    """
    card, market = champion.card, champion.card["market"]["name"]
    own, current = registry.kept(tracking, card), registry.champion(tracking, card["name"])
    astray = current is None or current.version != (own and own.version)
    if own is None or astray:
        made = registry.register(tracking, unregistered(card), champion.bundle, store.numbers(card["name"]))
        own = own or made
        card = card | {"version": own.version, "run": own.run_id}
    stored = store.put(card, champion.bundle)
    if REPORT not in store.pages_of(stored):  # lost with the store, or altered
        stored = store.put(card, champion.bundle, pages(card, exhibits_of(card)))
    line = ledger.head(market)
    if line is None:
        why, proof = "It served before the ledger began.", ledger.evidence_of(card)
        line = ledger.record(market, ledger.ADOPTED, why, stored.tag, card["digest"], None, proof)
    if astray:
        registry.crown(tracking, own, ledger.of(market))
    store.point_to(stored, line.memory)
    return Champion(stored.card, stored.bundle)


def _decide(
    tracking: Tracking,
    candidate: Candidate,
    champion: Champion | None,
    standing: ledger.Line | None,
    judgement: tuple[Verdict, dict[str, Any] | None],
    experiment: bool,
) -> Decision:
    verdict, beside = judgement
    told = verdict.to_dict() | {"champion": beside}
    card = build_card(candidate.valuer, candidate.digest, candidate.evaluation, told, read_json(BEST))
    reigning = champion if champion is not None and champion.card["digest"] == candidate.digest else None
    if reigning is not None and same_measure(reigning.card, card):
        card = unregistered(reigning.card)  # why it serves is what was said when it was promoted
    elif reigning is not None and "override" in reigning.card:
        card["override"] = reigning.card["override"]
    version = registry.register(tracking, card, BUNDLE, store.numbers(card["name"]), evidence())
    card |= {"version": version.version, "run": version.run_id}
    if reigning is not None:  # what is signed of it counts for more than what MLflow says
        card |= {"version": reigning.card["version"], "run": reigning.card["run"]}
    worn = registry.judged_on(tracking, card)
    elsewhere = store.pointed_elsewhere(candidate.market)
    if experiment:
        return Decision("experiment", card, champion.called if champion else None, worn, elsewhere=elsewhere)
    if reigning is not None:
        card |= {"promoted_at": reigning.card["promoted_at"]}
        stored = store.put(card, BUNDLE, pages(card, exhibits_of(card), verdict.reasons))
        _rejudged(candidate.market, stored)
        return Decision("kept", stored.card, reigning.called, worn, verdict.reasons)
    if verdict.outcome != PASS:
        return Decision("refused", card, champion.called if champion else None, worn, elsewhere=elsewhere)
    _unchanged(candidate.market, standing)
    card["promoted_at"] = ledger.now()
    stored = store.put(card, BUNDLE, pages(card, exhibits_of(card)))
    why = f"All {len(verdict.checks)} checks of the gate passed."
    ledger.record(
        candidate.market,
        ledger.PROMOTED,
        why,
        stored.tag,
        candidate.digest,
        None,
        ledger.evidence_of(card),
        card["promoted_at"],
    )
    made = settle(tracking, Champion(card, BUNDLE))
    return Decision("promoted", made.card, made.called, worn)


def _rejudged(market: str, stored: store.Stored) -> None:
    """What is said of the champion now, where that is not what spoke for it before, is a line of the ledger."""
    line, proof = ledger.head(market), ledger.evidence_of(stored.card)
    if line is not None and line.evidence != proof:
        why = f"The gate says now: {SAID[stored.card['verdict']['outcome']].lower()}."
        ledger.record(market, ledger.REJUDGED, why, stored.tag, line.digest, line.memory, proof)


def _unchanged(market: str, standing: ledger.Line | None) -> None:
    """The decision that stood when the candidate was judged still stands.

    Raises:
        PromoteError: when another model has become the champion in between.
    """
    line = ledger.head(market)
    if line is not None and line.digest != (standing and standing.digest):
        raise PromoteError(
            f"{line.tag} has become the champion while this candidate was compared with "
            f"{standing.tag if standing else 'none'}; run `dvc repro` to have it compared with the new one"
        )


def evidence() -> list[tuple[Path, str]]:
    """The files a reviewer wants beside the run, and the artifact folder of each."""
    plots = [(p, "plots") for p in sorted(PLOTS.glob("*")) if p.suffix in (".png", ".html")]
    return [(EVALUATION, ""), (VALUED, ""), (VALIDATION_PAGE, ""), *plots]


def _why(line: ledger.Line | None) -> str:
    """What is wrong with the store's copy."""
    trouble = store.trouble(line.tag) if line else None
    return f" (the store's: {trouble})" if trouble else ""


def _champion(stored: store.Stored | None) -> Champion | None:
    return None if stored is None else Champion(stored.card, stored.bundle)


if __name__ == "__main__":
    run(main)
