"""Where a candidate comes from: its sales, code, libraries and study, each shown by what lies in the project."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from models.files import file_digest, read_json
from models.gate import provenance
from models.gate.check import Check
from models.valuer import Valuer
from pipelines import ledger
from pipelines.places import BEST, LOCK, REPORTS, SALES, TRIALS, VALIDATION

#: The libraries that a value rests on; another version of one of them may value otherwise.
LIBRARIES = ("lightgbm", "numpy", "pandas", "pyarrow", "scipy")


def provenance_checks(valuer: Valuer, digest: str, sales: pd.DataFrame, valued: pd.DataFrame) -> Iterator[Check]:
    """
    Args:
        sales: those of `data/validated`.
        valued: the hold-out as it was valued.
    """
    yield _validated(sales, valued)
    yield provenance.committed(commit(), changed())
    yield provenance.locked(lock_digest(), _astray())
    yield _studied(valuer)
    if (line := ledger.withdrawal(valuer.market.name, digest)) is not None:
        yield provenance.withdrawn(line.who, line.at, line.why, line.tag)


def lock_digest() -> str | None:
    return file_digest(LOCK) if LOCK.is_file() else None


def commit() -> str:
    """The commit of the working folder; "none" outside a repository."""
    return _git("rev-parse", "HEAD") or "none"


def changed() -> list[str]:
    """Files that differ from the commit; what DVC and the stages themselves have written doesn't count."""
    written = [f":(exclude){path}" for path in ("dvc.lock", REPORTS)]
    status = _git("status", "--porcelain", "--", ".", *written)
    return [line[2:].strip() for line in (status or "").splitlines()]


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def _validated(sales: pd.DataFrame, valued: pd.DataFrame) -> Check:
    """Validation names the sales that passed by their digest; the hold-out that judged must be some of them."""
    report = read_json(VALIDATION) if VALIDATION.is_file() else {}
    prices = valued["sale_id"].map(sales.set_index("sale_id")["price"])
    promised = report.get("sales") if report.get("passed") is True else None
    return provenance.validated(promised, file_digest(SALES), int((prices != valued["price"]).sum()))


def _astray() -> list[str]:
    """Libraries that are not installed as the lock pins them; it may pin several versions for several Pythons."""
    text = LOCK.read_text("utf-8") if LOCK.is_file() else ""
    found = []
    for name in LIBRARIES:
        pins = re.findall(rf"^{name}==([^\s;\\]+)", text, re.MULTILINE)
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        if installed not in pins:
            found.append(f"{name} {installed} (lock: {' or '.join(pins) or 'none'})")
    return found


def _studied(valuer: Valuer) -> Check:
    """The study's table names the best trial again, and the forests are as large as that trial's."""
    best, trials = read_json(BEST), pd.read_parquet(TRIALS)
    finished = trials[trials["state"] == "COMPLETE"].set_index("number")
    chosen, rounds = best["trial"], {forest.num_trees() for forest in valuer.bag.forests}
    problem = None
    if chosen not in finished.index or not finished["value"][chosen] <= finished["value"].min():
        problem = f"Trial {chosen}, whose parameters it has, is not the best of the study."
    elif other := [
        n for n, value in best["searched"].items() if finished.loc[chosen].get(f"params_{n}", value) != value
    ]:
        problem = f"Its {', '.join(other)} is not that of the study's trial {chosen}."
    elif rounds != {best["rounds"]} or finished["rounds"][chosen] != best["rounds"]:
        problem = f"Its forests have {sorted(rounds)} trees, the study's trial {chosen} has {best['rounds']}."
    return provenance.studied(problem, len(finished))
