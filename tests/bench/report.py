"""The run as JSON for the history and as Markdown for people: ratios first, absolute figures beside."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from tests.bench.measuring import CONNECTIONS, Figures
from tests.bench.processes import Memory
from tests.bench.servers import CASES, SERVERS
from tests.bench.targets import Judged

#: What the servers are compared on.
LIBRARIES = ("bentoml", "fastapi", "lightgbm", "mlflow", "starlette", "uvicorn", "uvloop")
_KEPT = {True: "yes", False: "**no**", None: "no promise"}
_MIB = 1 << 20


def as_json(figures: Figures, judged: Sequence[Judged], before: Sequence[dict[str, Any]], **run: Any) -> dict[str, Any]:
    """Ratios that any machine may be held to, then this machine's figures, then the ratios of earlier runs.

    Args:
        before: the history so far, oldest first.
        run: what the run was: its rounds and seconds.
    """
    ratios = {one.target.key: _short(one.ratio) for one in judged}
    now = {"commit": _commit(), "at": f"{datetime.now(UTC):%Y-%m-%d}", "ratios": ratios}
    return {
        "judged": [
            {
                "key": one.target.key,
                "what": one.target.says,
                "ratio": _short(one.ratio),
                "rounds": [_short(one.least), _short(one.most)],
                "bound": one.target.bound,
                "passed": one.passed,
            }
            for one in judged
        ],
        "to_echo": {
            case.key: {
                str(n): {what: _short(_to_echo(figures, case.key, n, what)) for what in ("rate", "p50", "p95", "p99")}
                for n in CONNECTIONS
            }
            for case in CASES
        },
        "figures": {
            "cells": {
                case: {
                    str(n): {w: _short(_middle(figures, case, n, w)) for w in ("rate", "p50", "p95", "p99", "busy")}
                    for n in cells
                }
                for case, cells in figures.readings.items()
            },
            "starts": {server: [_short(s) for s in told] for server, told in figures.starts.items()},
            "memory": {server: [vars(one) for one in told] for server, told in figures.memory.items()},
            "inside": figures.inside,
        },
        "run": run | {"cores": os.cpu_count(), "python": platform.python_version()} | _versions(),
        "history": [*(entry for entry in before if entry["commit"] != now["commit"]), now],
    }


def as_markdown(figures: Figures, judged: Sequence[Judged], run: str) -> str:
    """The tables."""
    parts = [run, _targets(judged), _servers(figures), _starts(figures), _inside(figures)]
    return "\n\n".join(parts) + "\n"


def _targets(judged: Sequence[Judged]) -> str:
    rows = []
    for one in judged:
        spread = f"{_told(one.least)} to {_told(one.most)}"
        rows.append(
            (one.target.says, f"{_told(one.ratio)} {one.target.unit}", spread, _promised(one), _KEPT[one.passed])
        )
    return _table(("promise", "ratio", "rounds", "bound", "kept"), rows)


def _promised(one: Judged) -> str:
    target = one.target
    bound = "none" if target.bound is None else f"{'≥' if target.more else '≤'} {target.bound:g}"
    return bound if target.goal is None else f"{bound} (goal {target.goal:g}: {'yes' if one.at_goal else 'no'})"


def _servers(figures: Figures) -> str:
    """Each cell: throughput and latencies; in brackets the throughput as a share of the echo's."""
    rows = []
    for case in CASES:
        row = [case.name]
        for n in CONNECTIONS:
            rate, *points = (_middle(figures, case.key, n, what) for what in ("rate", "p50", "p95", "p99"))
            share = _to_echo(figures, case.key, n, "rate")
            row += [f"{rate:,.0f} ({share:.2g})", " / ".join(_told(1000 * point) for point in points)]
        rows.append(tuple(row))
    heads = [head for n in CONNECTIONS for head in (f"{n}: req/s (of echo)", "p50 / p95 / p99 ms")]
    return _table(("server", *heads), rows)


def _starts(figures: Figures) -> str:
    rows = [
        (
            server,
            " / ".join(f"{s:.2f}" for s in sorted(figures.starts[server])),
            ", ".join(_process(one) for one in figures.memory[server]),
        )
        for server in SERVERS
    ]
    return _table(("server", "start s", "each process, MiB: own + shared (PSS)"), rows)


def _process(told: Memory) -> str:
    return f"{told.uss / _MIB:.0f} + {told.shared / _MIB:.0f} ({told.pss / _MIB:.0f})"


def _inside(figures: Figures) -> str:
    rows = []
    for what, name in (("predict", "one prediction, ready-made row"), ("reasons", "reasons of one home")):
        booster, bag = (statistics.median(figures.inside[what][way]) for way in ("booster", "bag"))
        rows.append((name, f"{1000 * booster:.3f} ms", f"{1000 * bag:.3f} ms", f"{booster / bag:.2f} ×"))
    batch = figures.inside["batch"]
    rows.append(
        (
            f"batch of {batch['homes']:,}: LightGBM ready rows, ours facts to ranges",
            f"{batch['booster']:,.0f} a second",
            f"{batch['ours']:,.0f} a second",
            f"{batch['ours'] / batch['booster']:.2f} ×",
        )
    )
    return _table(("in process", "LightGBM, all trees in one Booster", "ours", "speed"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _middle(figures: Figures, case: str, connections: int, what: str) -> float:
    return statistics.median(figures.of(case, connections, what))


def _to_echo(figures: Figures, case: str, connections: int, what: str) -> float:
    pairs = zip(figures.of(case, connections, what), figures.of("echo", connections, what), strict=True)
    return statistics.median(a / b for a, b in pairs)


def _told(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def _commit() -> str:
    """The commit that was measured, with a mark where files differ from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return told.stdout.strip()
