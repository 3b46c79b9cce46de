"""refresh: the champion's memory takes in the sales that were validated since; the model stays as it is.

A new memory is kept beside the version in the store under its digest, and the pointer names it; a kill
leaves the old one. What was told for a day before the new sales is told again.
"""

from __future__ import annotations

import pandas as pd

from models.fault import Fault
from pipelines import ledger, store
from pipelines.params import load_params
from pipelines.places import SALES
from pipelines.stage import run


def main() -> None:
    stored = store.serving()
    if stored is None:
        raise Fault(f"there is no champion: {store.pointer_file()} names no whole model; run `dvc repro`")
    if (market := load_params().market) != (served := stored.card["market"]["name"]):
        raise Fault(f"{stored.tag} is served, of market {served}; params.yaml names {market}: run `dvc repro` first")
    valuer = store.read(stored)
    refreshed = valuer.refreshed(pd.read_parquet(SALES))
    if refreshed is valuer:
        print(f"{stored.tag} knows all sales up to {valuer.memory_end}; nothing to do")
        return
    fresh = len(refreshed.memory.sales) - len(valuer.memory.sales)
    why = f"{fresh:,} sales more, up to {refreshed.memory_end}."
    with ledger.held():
        line = ledger.head(served)
        if line is None or line.digest != stored.card["digest"]:
            raise Fault(f"{stored.tag} is no longer the champion of the ledger; run `dvc repro`, then refresh again")
        digest = store.put_memory(stored, refreshed)
        ledger.record(served, ledger.REFRESHED, why, stored.tag, line.digest, digest, line.evidence)
        store.point_to(stored, digest)
    print(f"{stored.tag}: {why} Its memory is {digest[:12]} now; running servers follow")


if __name__ == "__main__":
    run(main)
