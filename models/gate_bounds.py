"""What the gate allows, read from the `gate` section of params.yaml: defaults, then the market's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.declaration import DeclarationError, Where, number, section, whole
from models.ratio_study import FIGURES

#: The reference that knows nothing; a candidate must be far better than it.
FLOOR = "shuffled_target"
KEYS = ("min_rows", "figures", "too_good", "coverage_within", "references", "champion")


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
    def from_params(cls, gate: Any, market: str) -> Bounds:
        """The bounds of `market`; those of every other market are checked with them.

        Raises:
            DeclarationError: at the first fault, with its path from `gate` on.
        """
        raw = section(gate, ("gate",), ("default",), ("markets",))
        default = raw["default"]
        bounds = cls._read(default, ("gate", "default"))  # first: what is wrong below is then a market's own
        for name, own in _mapping(raw.get("markets", {}), ("gate", "markets")).items():
            where: Where = ("gate", "markets", name)
            its = cls._read(_merged(default, section(own, where, optional=KEYS), where), where)
            bounds = its if name == market else bounds
        return bounds

    @classmethod
    def _read(cls, raw: Any, where: Where) -> Bounds:
        item = section(raw, where, KEYS)
        champion = section(item["champion"], (*where, "champion"), ("margin", "min_rows"))
        references = _mapping(item["references"], (*where, "references"))
        if not set(references) - {FLOOR}:
            raise DeclarationError((*where, "references"), "names no reference model that a candidate must beat")
        return cls(
            min_rows=whole(item["min_rows"], (*where, "min_rows"), 1),
            figures=_figures(item["figures"], (*where, "figures")),
            too_good=number(item["too_good"], (*where, "too_good"), 0, 1),
            coverage_within=number(item["coverage_within"], (*where, "coverage_within"), 0, 1),
            references={k: number(share, (*where, "references", k), 0, 1) for k, share in references.items()},
            champion_margin=number(champion["margin"], (*where, "champion", "margin"), 0, 1),
            champion_min_rows=whole(champion["min_rows"], (*where, "champion", "min_rows"), 1),
        )


def _figures(raw: Any, where: Where) -> dict[str, tuple[float | None, float | None]]:
    item = section(raw, where, optional=FIGURES)
    if "mdape" not in item:
        raise DeclarationError(where, "sets no bound for mdape; a gate without one lets any model through")
    return {name: _sides(sides, (*where, name)) for name, sides in item.items()}


def _sides(raw: Any, where: Where) -> tuple[float | None, float | None]:
    item = section(raw, where, optional=("at_least", "at_most"))
    if not item:
        raise DeclarationError(where, "bounds nothing; allowed: at_least, at_most or both")
    low, high = (number(item[key], (*where, key)) if key in item else None for key in ("at_least", "at_most"))
    if low is not None and high is not None and low > high:
        raise DeclarationError(where, f"at_least {low:g} is above at_most {high:g}, so nothing could pass")
    return low, high


def _merged(default: Mapping[str, Any], own: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """`own` over `default`, mapping by mapping."""
    if not own:
        raise DeclarationError(where, "is empty; say what differs from gate.default, or remove the key")
    merged = dict(default)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merged(below, value, (*where, key))
        else:
            merged[key] = value
    return merged


def _mapping(raw: Any, where: Where) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise DeclarationError(where, f"is {raw!r}; it must be a mapping")
    return raw
