"""What the gate allows, read from the `gate` section of params.yaml: defaults, then the market's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.declaration import DeclarationError, Where, number, section, whole
from models.ratio_study import FIGURES

#: The reference that knows nothing; a candidate must be far better than it.
FLOOR = "shuffled_target"
#: Judged by interval, as assessors do; the other figures are judged as they are.
EQUITY = ("median_ratio", "cod", "prd", "prb", "mki", "vei")
KEYS = (
    "min_rows", "figures", "equity", "too_good", "references", "champion", "segments", "calibration", "stability",
    "behaviour", "cost",
)  # fmt: skip
Sides = tuple[float | None, float | None]


@dataclass(frozen=True)
class SegmentBounds:
    """Of each group of sales.

    Attributes:
        min_rows: sales below which a group is not judged.
        mdape: the most that its MdAPE may be.
        median_ratio: least and greatest median of value / price.
        coverage_within: how far the coverage of its ranges may be below their level.
        margin: how much higher than the champion's its mean of |log(value / price)| may be.
    """

    min_rows: int
    mdape: float
    median_ratio: tuple[float, float]
    coverage_within: float
    margin: float


@dataclass(frozen=True)
class CalibrationBounds:
    """`coverage_within`: how far coverage may be from its level; `width`: of the range, times the champion's."""

    coverage_within: float
    width: float


@dataclass(frozen=True)
class StabilityBounds:
    """`free`: median move of values that costs nothing; `rate`: error that each further unit of it must be paid with;
    `most`: move of one value in twenty that nothing pays for."""

    free: float
    rate: float
    most: float


@dataclass(frozen=True)
class BehaviourBounds:
    """`what_ifs`: questions that directions must be held against; `cliff`: the most that 1 % of living area may move a
    value; `poisoned`: the most that one absurd sale may move another home."""

    what_ifs: int
    cliff: float
    poisoned: float


@dataclass(frozen=True)
class CostBounds:
    """Of one whole answer, in milliseconds and in `times` the champion's; of the bundle; of starting with it."""

    milliseconds: float
    times: float
    megabytes: float
    load_seconds: float


@dataclass(frozen=True)
class Bounds:
    """The bounds of one market.

    Attributes:
        min_rows: hold-out sales below which nothing is judged.
        figures: least and greatest allowed value of a figure, None for an open side.
        equity: the same of the figures that are judged by their interval.
        too_good: MdAPE below which a leak is suspected.
        references: reference model -> the share of its MdAPE by which the candidate must be lower.
        champion_margin: how much worse than the champion's the mean of |log(value / price)| may be.
        champion_min_rows: sales after the champion's training that a comparison needs.
    """

    min_rows: int
    figures: Mapping[str, Sides]
    equity: Mapping[str, Sides]
    too_good: float
    references: Mapping[str, float]
    champion_margin: float
    champion_min_rows: int
    segments: SegmentBounds
    calibration: CalibrationBounds
    stability: StabilityBounds
    behaviour: BehaviourBounds
    cost: CostBounds

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
        figures = tuple(name for name in FIGURES if name not in EQUITY)
        return cls(
            min_rows=whole(item["min_rows"], (*where, "min_rows"), 1),
            figures=_figures(item["figures"], (*where, "figures"), figures, "mdape"),
            equity=_figures(item["equity"], (*where, "equity"), EQUITY, "median_ratio"),
            too_good=number(item["too_good"], (*where, "too_good"), 0, 1),
            references={k: number(share, (*where, "references", k), 0, 1) for k, share in references.items()},
            champion_margin=number(champion["margin"], (*where, "champion", "margin"), 0, 1),
            champion_min_rows=whole(champion["min_rows"], (*where, "champion", "min_rows"), 1),
            segments=_segments(item["segments"], (*where, "segments")),
            calibration=CalibrationBounds(**_numbers(item, where, "calibration", coverage_within=1, width=10)),
            stability=StabilityBounds(**_numbers(item, where, "stability", free=1, rate=10, most=1)),
            behaviour=_behaviour(item["behaviour"], (*where, "behaviour")),
            cost=CostBounds(
                **_numbers(item, where, "cost", milliseconds=1e5, times=100, megabytes=1e5, load_seconds=1e4)
            ),
        )


def _segments(raw: Any, where: Where) -> SegmentBounds:
    item = section(raw, where, ("min_rows", "mdape", "median_ratio", "coverage_within", "margin"))
    low, high = _sides(item["median_ratio"], (*where, "median_ratio"))
    if low is None or high is None:
        raise DeclarationError((*where, "median_ratio"), "needs both at_least and at_most")
    return SegmentBounds(
        whole(item["min_rows"], (*where, "min_rows"), 10),
        number(item["mdape"], (*where, "mdape"), 0, 1),
        (low, high),
        number(item["coverage_within"], (*where, "coverage_within"), 0, 1),
        number(item["margin"], (*where, "margin"), 0, 1),
    )


def _behaviour(raw: Any, where: Where) -> BehaviourBounds:
    item = section(raw, where, ("what_ifs", "cliff", "poisoned"))
    return BehaviourBounds(
        whole(item["what_ifs"], (*where, "what_ifs"), 1),
        number(item["cliff"], (*where, "cliff"), 0, 1),
        number(item["poisoned"], (*where, "poisoned"), 0, 1),
    )


def _numbers(item: Mapping[str, Any], where: Where, key: str, **most: float) -> dict[str, float]:
    """The keys of a part that holds numbers above 0 alone, each up to its `most`."""
    part = section(item[key], (*where, key), tuple(most))
    told = {name: number(part[name], (*where, key, name), 0, limit) for name, limit in most.items()}
    if zero := next((name for name, figure in told.items() if figure == 0), None):
        raise DeclarationError((*where, key, zero), "is 0, which nothing could pass; allowed: a number above 0")
    return told


def _figures(raw: Any, where: Where, known: tuple[str, ...], needed: str) -> dict[str, Sides]:
    item = section(raw, where, optional=known)
    if needed not in item:
        raise DeclarationError(where, f"sets no bound for {needed}; a gate without one lets any model through")
    return {name: _sides(item[name], (*where, name)) for name in known if name in item}


def _sides(raw: Any, where: Where) -> Sides:
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
