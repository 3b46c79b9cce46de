"""The models that a candidate is compared with, as runs of their own.

They have the figures under the names that a candidate's run has them under, so that MLflow's table, charts and compare
page show candidate, champion and references side by side. All candidates on one hold-out share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.files import digest, json_bytes
from models.gate.check import finite
from pipelines.candidate_run import HELD_OUT, holdout_tag
from pipelines.tracking import NOTE, Tracking, find_or_create_run, find_run, log


def log_beside(tracking: Tracking, card: Mapping[str, Any]) -> None:
    """Logs the references of the card, and its champion unless that one's own run is of the same sales."""
    market, sales = card["market"]["name"], holdout_tag(card)
    for name, said, figures in _models(tracking, card):
        metrics = {figure: number for figure, raw in figures.items() if (number := finite(raw)) is not None}
        key = digest(json_bytes([market, name, card["data"], sales, metrics]))
        run = find_or_create_run(tracking, "beside", key, f"{market} {name}")
        note = f"{said}, on {sales}: what candidates are compared with."
        log(tracking, run, params={"market": market}, metrics=metrics, tags={HELD_OUT: sales, NOTE: note})


def _models(tracking: Tracking, card: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, what it is, and figures."""
    for name, figures in card["references"].items():
        words = name.replace("_", " ")
        yield f"reference {words}", f"The reference model `{words}`", figures
    champion = card["verdict"].get("champion")
    if champion and champion["digest"] != card["digest"]:
        own = find_run(tracking, "candidate", champion["digest"])
        if own is None or own.data.tags.get(HELD_OUT) != holdout_tag(card):
            called = champion["tag"].rpartition(":")[2]
            yield f"champion {called} on later sales", f"The champion {champion['tag']}", champion["figures"]
