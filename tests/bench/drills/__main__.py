"""`python -m tests.bench.drills NAME`: one drill against a running server, its findings and its verdict.

Exits with 1 when a promise was not kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.bench.drills.alone import alone
from tests.bench.drills.corruptions import corruptions
from tests.bench.drills.ground import Finding, Ground, lay_ground
from tests.bench.drills.slow import slow
from tests.bench.drills.soak import soak
from tests.bench.drills.swaps import swaps

#: Name -> the drill in full, and in small.
DRILLS: Mapping[str, tuple[Callable[[Ground], list[Finding]], Callable[[Ground], list[Finding]]]] = {
    "slow": (
        partial(slow, sockets=500, bodies=100, seconds=60.0),
        partial(slow, sockets=50, bodies=10, seconds=3.0),
    ),
    "swaps": (partial(swaps, count=100), partial(swaps, count=10)),
    "corruptions": (partial(corruptions, number=1000), partial(corruptions, number=40)),
    "alone": (alone, partial(alone, singly=False)),
    "soak": (partial(soak, requests=1_000_000, swaps=100), partial(soak, requests=10_000, swaps=10)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drills", description=__doc__)
    parser.add_argument("name", choices=DRILLS, help="of the drill")
    parser.add_argument("--small", action="store_true", help="a minute's worth of it")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-drill-") as place:
        found = DRILLS[options.name][options.small](lay_ground(Path(place)))
    for finding in found:
        print(f"{'kept  ' if finding.kept else 'BROKEN'}  {finding.says}: {finding.found}")
    broken = [finding for finding in found if not finding.kept]
    verdict = f"{len(broken)} of {len(found)} promises broken" if broken else f"all {len(found)} promises kept"
    print(f"{options.name}: {verdict}, in {time.monotonic() - begin:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
