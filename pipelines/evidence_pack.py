"""evidence_pack: what there is to show of the champion, by the five factors of the US quality-control rule for
automated valuation models (12 CFR 34 and others), with an audit that works every number out from the raw rows.

    python -m pipelines.evidence_pack [--findings review.csv]

Writes `data/reports/evidence/` and the same as a zip. A pack that its own audit refuses is not handed over.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.bundle import MANIFEST, bundle_digest, read_bundle
from models.fault import Fault
from models.files import digest, file_digest, json_bytes, read_json, write_bytes
from models.valuer import AsOfError
from models.version import read_pages, signature_file
from pipelines import ledger, signing, store
from pipelines.evidence import audit, numbers
from pipelines.evidence.page import page
from pipelines.evidence.rows import FINDINGS, KINDS, Tables, fates, tables
from pipelines.ledger import Line
from pipelines.params import load_params
from pipelines.places import (
    BUNDLE,
    DRILLS,
    EVALUATION,
    EVIDENCE,
    HOLDOUT,
    RAW,
    SALES,
    SET_ASIDE,
    TRAIN,
    TRIALS,
    VALIDATION,
    VALUED,
)  # fmt: skip
from pipelines.stage import run
from pipelines.store import Stored

#: What every entry of the zip is dated, so that the same pack has the same bytes: the format's first day.
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
SUMS = "SHA256SUMS"


def main() -> None:
    parser = argparse.ArgumentParser(prog="evidence_pack", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--findings", type=Path, help="review.csv with what reviewers found")
    findings = parser.parse_args().findings
    params = load_params()
    stored, line = champion(params.market)
    hand_over(contents(stored, line, params.seed, findings))
    print(f"Evidence on {stored.tag}: {EVIDENCE}/evidence.html, and the same as {zipped()}")


def champion(market: str) -> tuple[Stored, Line]:
    """The model that serves, whose own rows lie in `data/`, and the decision that it serves by.

    Raises:
        Fault: when there is none, or the files of the line are about another model.
    """
    line = ledger.head(market)
    stored = None if line is None else store.serving()
    if stored is None or line is None or line.digest != stored.card["digest"]:
        raise Fault(f"no champion of {market} serves as the ledger says; run `dvc repro`, then `make status`")
    found, judged = bundle_digest(BUNDLE), read_json(EVALUATION).get("model")
    if not found == judged == stored.card["digest"] or file_digest(SALES) != stored.card["data"]:
        raise Fault(
            f"data/ holds candidate {found[:12]}, and the evidence is about the champion {stored.tag}, "
            f"{stored.card['digest'][:12]}: its rows are not here. Run `dvc repro`; where the gate refuses this "
            f"candidate, check out the champion's commit {stored.card['commit']} with its dvc.lock and run it there"
        )
    return stored, line


def contents(stored: Stored, line: Line, seed: int, findings: Path | None) -> dict[str, bytes]:
    """Every file of the pack, by name.

    Args:
        seed: of the bootstrap that the evaluation's intervals come from.
        findings: `review.csv` with what reviewers found.
    """
    card, decisions, bundle = stored.card, ledger.of(line.market), _bundle(stored)
    train, homes, valued, trials = (pd.read_parquet(path) for path in (TRAIN, HOLDOUT, VALUED, TRIALS))
    accepted = pd.read_parquet(SALES)
    live = read_bundle(stored.bundle, seal=stored.card["digest"])[0].refreshed(accepted)
    valued = valued.assign(**champion_before(card, homes.set_index("sale_id").loc[valued["sale_id"]], accepted))
    sales = fates(pd.read_parquet(RAW), pd.read_parquet(SET_ASIDE), train, homes)
    told = tables(live, homes, valued, sales, f"{card['digest']}:{line.number}")
    found = None if findings is None else read_findings(findings, told.review)
    drills = DRILLS.read_text("utf-8") if DRILLS.is_file() else None
    digests = {
        "source, as declared": live.market.source.sha256,
        "sales of the source, as read": file_digest(RAW),
        "sales that passed validation": card["data"],
        "bundle": digest(bundle[f"bundle/{MANIFEST}"]),
        "verdict": ledger.evidence_of(card),
        "ledger": file_digest(ledger.ledger_file()),
        "public key": digest(key := signing.public_key()),
    }
    every = (
        numbers.confidence(told.rows, card, live.levels)
        | numbers.manipulation(sales, told.rows, live.market, digests, drills)
        | numbers.conflicts(told.rows, decisions)
        | numbers.sample(told.review, told.rows, found)
        | numbers.nondiscrimination(told.rows, sales, told.reasons, trials, live.market, live.level)
    )
    files = bundle | read_pages(stored.folder, card, signing.public_key()) | _tables(told, trials, found)
    files |= {
        "numbers.json": json_bytes({"model": stored.tag, "seed": seed, "numbers": every}),
        "evidence.html": page(every, card, live.market, decisions).encode(),
        "audit.py": Path(audit.__file__).read_bytes(),
        "card.json": json_bytes(card),
        "signature.json": signature_file(stored.folder, digest(json_bytes(card))).read_bytes(),
        "public.pem": key,
        "ledger.jsonl": ledger.ledger_file().read_bytes(),
        "raw.parquet": RAW.read_bytes(),
        "validated.parquet": SALES.read_bytes(),
        "validation.json": VALIDATION.read_bytes(),
    }
    return files | ({} if drills is None else {"drills.md": drills.encode()})


def champion_before(card: Mapping[str, Any], homes: pd.DataFrame, accepted: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the champion that this one replaced says of the hold-out, as the column of one more reference model.

    Nothing where there was none, where it is not in the store, or where it has seen some of these sales or can't
    value them.
    """
    before = card["verdict"].get("champion")
    stored = store.find(card["market"]["name"], before["digest"]) if before else None
    if stored is None:
        return {}
    rival = read_bundle(stored.bundle, seal=stored.card["digest"])[0]
    days, facts = homes["sale_date"], rival.market.field_names
    if days.min() < pd.Timestamp(rival.trained_day) or not set(facts) <= set(homes):
        return {}
    try:
        return {f"{numbers.REFERENCE}{before['tag']}": rival.refreshed(accepted).value(homes, days)}
    except AsOfError:
        return {}


def read_findings(path: Path, review: pd.DataFrame) -> pd.DataFrame:
    """What reviewers found of the drawn sales; rows without a finding are still waiting.

    Raises:
        Fault: when a sale wasn't drawn or comes twice, a column is missing, or a finding is none of `KINDS`.
    """
    given = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in ("sale_id", *FINDINGS) if name not in given]:
        raise Fault(f"{path} lacks the columns {', '.join(absent)}; fill in the review.csv of the pack")
    given = given.loc[given["finding"] != "", ["sale_id", *FINDINGS]]
    if strange := sorted(set(given["sale_id"]) - set(review["sale_id"])):
        raise Fault(f"{path}: sale {strange[0]} was not drawn for this decision; fill in the review.csv of this pack")
    if len(twice := given[given["sale_id"].duplicated()]):
        raise Fault(f"{path}: sale {twice['sale_id'].iloc[0]} comes twice; leave one row a sale")
    for sale_id, finding, who in zip(given["sale_id"], given["finding"], given["reviewer"], strict=True):
        if finding not in KINDS or not who:
            raise Fault(
                f"{path}: sale {sale_id} has the finding {finding!r} by {who or 'nobody'}; allowed: one of "
                f"{', '.join(KINDS)}, with its reviewer"
            )
    return given.sort_values("sale_id")


def hand_over(files: Mapping[str, bytes]) -> None:
    """Writes folder and zip, once the audit has passed.

    Raises:
        Fault: with what the audit says, when it doesn't.
    """
    sums = "".join(f"{digest(data)}  {name}\n" for name, data in sorted(files.items()))
    files = dict(files) | {SUMS: sums.encode()}
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=EVIDENCE.parent, prefix=f".{EVIDENCE.name}.") as temporary:
        fresh = Path(temporary) / EVIDENCE.name
        for name, data in files.items():
            write_bytes(fresh / name, data)
        audited = subprocess.run([sys.executable, "-I", "-B", fresh / "audit.py"], capture_output=True, text=True)
        if audited.returncode != 0:
            wrong = [text for text in audited.stdout.splitlines() if not text.startswith("OK")]
            raise Fault("the pack does not stand up to its own audit: " + "\n".join([*wrong, audited.stderr]))
        if EVIDENCE.exists():
            shutil.rmtree(EVIDENCE)
        fresh.replace(EVIDENCE)
    write_bytes(zipped(), _zip(files))


def zipped() -> Path:
    return EVIDENCE.with_suffix(".zip")


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{EVIDENCE.name}/{name}", FIRST_DAY)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def _bundle(stored: Stored) -> dict[str, bytes]:
    """Every file of the bundle that its manifest names, and the manifest."""
    names = json.loads((stored.bundle / MANIFEST).read_bytes())["files"]
    return {f"bundle/{name}": (stored.bundle / name).read_bytes() for name in (*names, MANIFEST)}


def _tables(told: Tables, trials: pd.DataFrame, findings: pd.DataFrame | None) -> dict[str, bytes]:
    frames = {"rows": told.rows, "sales": told.sales, "review": told.review, "reasons": told.reasons, "trials": trials}
    if findings is not None:
        frames["findings"] = findings
    return {f"{name}.csv": _csv(frame) for name, frame in frames.items()}


def _csv(frame: pd.DataFrame) -> bytes:
    """Numbers with every digit, so that what is read is what was written."""
    return frame.to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\n").encode()


if __name__ == "__main__":
    run(main)
