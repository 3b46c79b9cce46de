"""The page of an evidence pack: the five factors in plain words, with no number that `numbers.json` doesn't hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expectations.templates import templates
from models.market import Market
from pipelines.evidence.rows import KINDS
from pipelines.ledger import Line

TEMPLATE = "evidence.html.jinja"


def page(numbers: Mapping[str, Any], card: Mapping[str, Any], market: Market, decisions: Sequence[Line]) -> str:
    """HTML: one file, nothing loaded from elsewhere, the same bytes every time; what stands in the data is escaped."""
    environment = templates(Path(__file__).parent)
    environment.filters |= {"share": _share, "plain": _plain, "count": "{:,}".format}
    return environment.get_template(TEMPLATE).render(
        n=numbers,
        under=lambda name: under(numbers, name),
        groupings=sorted({key.split("/")[1] for key in numbers if key.endswith("/median ratio")}),
        card=card,
        market=market,
        decisions=decisions,
        kinds=KINDS,
        level=f"{100 * card['level']:.0f}",
    )


def under(numbers: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Group -> figure -> number, of the numbers called `name/group/figure`."""
    found: dict[str, dict[str, Any]] = {}
    for key, number in numbers.items():
        if key.startswith(f"{name}/") and "/" in (rest := key.removeprefix(f"{name}/")):
            group, _, figure = rest.rpartition("/")
            found.setdefault(group, {})[figure] = number
    return found


def _share(number: float | None) -> str:
    return "none" if number is None else f"{100 * number:.1f} %"


def _plain(number: float | None) -> str:
    return "none" if number is None else f"{number:.3f}"
