"""What the gate allows, read from the `gate` section of params.yaml: defaults, then the market's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from models.fault import Fault
from models.ratio_study import FIGURES

#: The reference that knows nothing; a candidate must be far better than it.
FLOOR = "shuffled_target"
KEYS = ("min_rows", "figures", "too_good", "coverage_within", "references", "champion")


class BoundsError(Fault):
    """A bound is missing, unknown or not allowed; the text names the key, the value and what is allowed."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of one market.

    Attributes:
        min_rows: hold-out sales below which nothing is judged.
        figures: least and greatest allowed value of a figure, None for an open side.
        too_good: MdAPE below which a leak is suspected.
        coverage_within: how far the coverage of the range may be from its level.
        references: reference model -> the share of its MdAPE by which the candidate must be lower.
        champion_margin: how much worse than the champion's the mean of |log(value / price)| may be.
        champion_min_rows: sales after the champion's training that a comparison needs.
    """

    min_rows: int
    figures: Mapping[str, tuple[float | None, float | None]]
    too_good: float
    coverage_within: float
    references: Mapping[str, float]
    champion_margin: float
    champion_min_rows: int

    @classmethod
    def from_params(cls, gate: Mapping[str, Any], market: str) -> Bounds:
        """Raises: BoundsError."""
        _known(gate, ("default", "markets"), "gate")
        default, markets = _section(gate, "default", "gate"), gate.get("markets") or {}
        own = (markets.get(market) if isinstance(markets, Mapping) else None) or {}
        _known(own, KEYS, f"gate.markets.{market}")
        merged = _merged(default, own)
        where = f"gate.default (with gate.markets.{market})" if own else "gate.default"
        _known(merged, KEYS, where, required=True)
        champion = _section(merged, "champion", where)
        _known(champion, ("margin", "min_rows"), f"{where}.champion", required=True)
        references = _section(merged, "references", where)
        if not set(references) - {FLOOR}:
            raise BoundsError(f"{where}.references names no reference model that a candidate must beat")
        return cls(
            min_rows=_count(merged["min_rows"], f"{where}.min_rows"),
            figures=_figures(_section(merged, "figures", where), f"{where}.figures"),
            too_good=_number(merged["too_good"], f"{where}.too_good", 0, 1),
            coverage_within=_number(merged["coverage_within"], f"{where}.coverage_within", 0, 1),
            references={str(k): _number(v, f"{where}.references.{k}", 0, 1) for k, v in references.items()},
            champion_margin=_number(champion["margin"], f"{where}.champion.margin", 0, 1),
            champion_min_rows=_count(champion["min_rows"], f"{where}.champion.min_rows"),
        )


def _figures(raw: Mapping[str, Any], where: str) -> dict[str, tuple[float | None, float | None]]:
    _known(raw, FIGURES, where)
    if "mdape" not in raw:
        raise BoundsError(f"{where} sets no bound for mdape; a gate without one lets any model through")
    bounds = {}
    for name, sides in raw.items():
        here = f"{where}.{name}"
        if not isinstance(sides, Mapping) or not sides:
            raise BoundsError(f"{here} is {sides!r}; allowed: {{at_least: number, at_most: number}}, one or both")
        _known(sides, ("at_least", "at_most"), here)
        low, high = (
            None if side not in sides else _number(sides[side], f"{here}.{side}") for side in ("at_least", "at_most")
        )
        if low is not None and high is not None and low > high:
            raise BoundsError(f"{here}: at_least {low:g} is above at_most {high:g}, so nothing could pass")
        bounds[name] = (low, high)
    return bounds


def _merged(default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `default`, mapping by mapping."""
    merged = dict(default)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _section(raw: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    if not isinstance(section := raw.get(key), Mapping):
        raise BoundsError(f"{where}.{key} is {section!r}; it must be a mapping")
    return section


def _known(raw: Any, allowed: tuple[str, ...], where: str, required: bool = False) -> None:
    if not isinstance(raw, Mapping):
        raise BoundsError(f"{where} is {raw!r}; it must be a mapping with the keys {', '.join(allowed)}")
    for key in raw:
        if key not in allowed:
            near = get_close_matches(str(key), allowed, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
            raise BoundsError(f"{where}.{key} is unknown; {hint}")
    if required and (missing := [key for key in allowed if key not in raw]):
        raise BoundsError(f"{where}.{missing[0]} is missing")


def _count(raw: Any, where: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 1:
        raise BoundsError(f"{where} is {raw!r}; allowed: a whole number of at least 1")
    return raw


def _number(raw: Any, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or not low <= raw <= high:
        allowed = "a number" if low == -math.inf else f"a number from {low:g} to {high:g}"
        raise BoundsError(f"{where} is {raw!r}; allowed: {allowed}")
    return float(raw)
