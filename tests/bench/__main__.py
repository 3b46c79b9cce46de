"""`python -m tests.bench`: the endpoint beside its peers, in one run, on the champion's forests.

Writes `data/reports/bench.json` and the tables of `docs/serving-benchmarks.md`. With `--quick` seconds instead of
minutes: it writes neither, and says how its ratios differ from those that are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.files import write_bytes
from tests.bench.measuring import measure
from tests.bench.report import as_json, as_markdown
from tests.bench.targets import TARGETS, Judged

REPORT = Path("data/reports/bench.json")
PAGE = Path("docs/serving-benchmarks.md")
BEGIN, END = "<!-- written by `make bench` -->", "<!-- end -->"
#: Rounds and seconds of a cell: in full about 13 minutes.
FULL, QUICK = (5, 2.0), (2, 0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two; nothing is written")
    quick = parser.parse_args(arguments).quick
    rounds, seconds = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as place:
        figures = measure(Path(place), rounds, seconds, quick)
    judged = [target.judge(figures) for target in TARGETS]
    kept = json.loads(REPORT.read_text("utf-8")) if REPORT.exists() else {"judged": [], "history": []}
    run = f"{rounds} rounds of {seconds:g} seconds a cell, a worker a core."
    page = as_markdown(figures, judged, run)
    print(page)
    if quick:
        print(_beside(judged, kept))
    else:
        told = as_json(figures, judged, kept["history"], rounds=rounds, seconds=seconds)
        write_bytes(REPORT, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
        write_bytes(PAGE, between(PAGE.read_text("utf-8"), page).encode())
    for case, failed in figures.failed.items():
        print(f"{case}: {failed} requests were not answered with 200; its figures are of the others", file=sys.stderr)
    return 0


def between(page: str, told: str) -> str:
    """The page with `told` between its marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{told}\n{END}{rest.partition(END)[2]}"


def _beside(judged: Sequence[Judged], kept: dict[str, Any]) -> str:
    """Each ratio beside the one that is kept; a quick run's ratios swing by a third."""
    before = {one["key"]: one["ratio"] for one in kept["judged"]}
    lines = [f"  {one.target.key:20} {one.ratio:8.3g}   kept: {before.get(one.target.key, '-')}" for one in judged]
    return "\n".join(["Beside data/reports/bench.json:", *lines])


if __name__ == "__main__":
    sys.exit(main())
