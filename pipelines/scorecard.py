"""The champion's scorecard: printed for people and written to `data/reports/scorecard.json`.

Comes from the card beside the bundle that serves, whose digests are checked; MLflow is not asked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from models.fault import Fault
from models.files import write_json
from models.gate.check import MEANINGS, finite, shown
from models.ratio_study import FIGURES
from pipelines import store
from pipelines.card import percent
from pipelines.params import load_params
from pipelines.places import SCORECARD
from pipelines.stage import run

LINEAGE = ("name", "version", "digest", "run", "data", "commit", "memory_end", "promoted_at")


def main() -> None:
    market = load_params().market
    stored = store.serving()
    if stored is None:
        raise Fault(f"there is no champion: {store.pointer_file()} names no whole model; run `dvc repro`")
    write_json(SCORECARD, scorecard(stored.card))
    print(told(stored.card))
    if market != (served := stored.card["market"]["name"]):
        print(f"{stored.tag} is served, of market {served}; params.yaml names {market}", file=sys.stderr)


def scorecard(card: Mapping[str, Any]) -> dict[str, Any]:
    """The figures and the churn, flat; the same under each reference model's name and under `frozen`; the model
    under `model`."""
    others = {name: _figures(row) for name, row in {"frozen": card["frozen"], **card["references"]}.items()}
    return _figures(card["figures"]) | card["churn"] | others | {"model": {k: card.get(k) for k in LINEAGE}}


def told(card: Mapping[str, Any]) -> str:
    """The table for people."""
    references = {"frozen": card["frozen"], **card["references"]}
    bounds = {c["name"]: c["bound"] for c in card["verdict"]["checks"]}
    heads = [
        "",
        "champion",
        "95 % interval",
        *(name.replace("_", " ") for name in references),
        "allowed",
        "what it says",
    ]
    rows = [
        [
            name,
            shown(name, finite(card["figures"].get(name))),
            _interval(name, card["intervals"].get(name)),
            *(shown(name, finite(row.get(name))) for row in references.values()),
            bounds.get(name, ""),
            MEANINGS[name],
        ]
        for name in FIGURES
    ]
    holdout, market = card["holdout"], card["market"]
    covered, level, churn = finite(card["range"].get("coverage")), card["level"], card["churn"]
    return "\n".join(
        [
            f"{card['name']}:v{card['version']}, {market['label']}: sales of {holdout['first']} to {holdout['last']}, "
            f"each valued with what was known before its month by a model trained on sales up to {card['memory_end']}",
            f"(frozen: with what was known on {card['memory_end']})",
            "",
            *_table([heads, *rows]),
            "",
            f"{'none' if covered is None else f'{100 * covered:.1f} %'} of the prices lie inside the "
            f"{100 * level:.0f} % range.",
            "Trained again with another seed, values move by "
            f"{percent(churn.get('churn_seed_median'))} at the median, {percent(churn.get('churn_seed_p99'))} at the "
            "99th percentile.",
            f"Written to {SCORECARD}",
        ]
    )


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in FIGURES}


def _interval(name: str, interval: Any) -> str:
    return " to ".join(shown(name, finite(end)) for end in interval) if interval else ""


def _table(rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; figures to the right, words to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = (0, len(widths) - 2, len(widths) - 1)
    return [
        "  ".join(
            c.ljust(w) if i in words else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    run(main)
