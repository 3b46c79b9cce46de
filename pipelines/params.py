"""`params.yaml`, read and checked: a typed value for every key, and a fault answered with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from models.declaration import DeclarationError, Where, name, number, section, whole, yes_or_no
from models.fault import Fault
from models.gate.bounds import Bounds
from models.searchable import SEARCHABLE
from pipelines.market_file import market_path
from pipelines.places import MARKETS
from pipelines.yaml_lines import load_checked

#: Forests in a bag; each adds its milliseconds to every answer.
MOST_BAGS = 100


class ParamsError(Fault):
    """params.yaml is absent or faulty; the text names file, line, value and what is allowed."""


@dataclass(frozen=True)
class ValidateParams:
    max_set_aside_share: float
    max_row_drop_share: float
    max_shift: float


@dataclass(frozen=True)
class SplitParams:
    holdout_months: int
    fold_count: int
    fold_months: int


@dataclass(frozen=True)
class SearchRange:
    """Where a LightGBM parameter is looked for; `log` spreads the trials evenly over magnitudes."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class TuneParams:
    trials: int
    keep_best: int
    max_rounds: int
    search: Mapping[str, SearchRange]


@dataclass(frozen=True)
class TrainParams:
    bags: int


@dataclass(frozen=True)
class ServeParams:
    horizon_days: int
    level: float


@dataclass(frozen=True)
class Params:
    market: str
    seed: int
    validate: ValidateParams
    split: SplitParams
    tune: TuneParams
    train: TrainParams
    serve: ServeParams
    gate: Bounds

    @property
    def market_file(self) -> Path:
        return market_path(self.market)


def load_params(path: str | Path = "params.yaml") -> Params:
    """The parameters in the file.

    Raises:
        ParamsError: at the first key that is unknown, missing or has a value that isn't allowed.
    """
    return load_checked(path, _params, ParamsError)


def _params(raw: Any) -> Params:
    top = section(raw, (), _keys(Params))
    market = name(top["market"], ("market",))
    split = _split(top["split"], ("split",))
    return Params(
        market=market,
        seed=whole(top["seed"], ("seed",), 0, 2**31 - 1),
        validate=_validate(top["validate"], ("validate",)),
        split=split,
        tune=_tune(top["tune"], ("tune",)),
        train=_train(top["train"], ("train",)),
        serve=_serve(top["serve"], ("serve",), split.holdout_months),
        gate=_gate(top["gate"], ("gate",), market),
    )


def _validate(raw: Any, where: Where) -> ValidateParams:
    item = section(raw, where, _keys(ValidateParams))
    return ValidateParams(
        max_set_aside_share=number(item["max_set_aside_share"], (*where, "max_set_aside_share"), 0, 1),
        max_row_drop_share=number(item["max_row_drop_share"], (*where, "max_row_drop_share"), 0, 1),
        max_shift=number(item["max_shift"], (*where, "max_shift"), 0, 1),
    )


def _split(raw: Any, where: Where) -> SplitParams:
    item = section(raw, where, _keys(SplitParams))
    return SplitParams(**{key: whole(value, (*where, key), 1) for key, value in item.items()})


def _tune(raw: Any, where: Where) -> TuneParams:
    item = section(raw, where, _keys(TuneParams))
    search = section(item.pop("search"), (*where, "search"), optional=tuple(SEARCHABLE))
    if not search:
        raise DeclarationError((*where, "search"), "names no LightGBM parameter to search, each with low and high")
    return TuneParams(
        **{key: whole(value, (*where, key), 1) for key, value in item.items()},
        search={key: _search_range(value, (*where, "search", key), SEARCHABLE[key]) for key, value in search.items()},
    )


def _search_range(raw: Any, where: Where, whole_only: bool) -> SearchRange:
    item = section(raw, where, ("low", "high"), ("log", "integer"))
    log, integer = (yes_or_no(item.get(key, False), (*where, key)) for key in ("log", "integer"))
    if integer != whole_only:
        kind = "takes whole numbers alone; set integer: true" if whole_only else "takes any number; remove integer"
        raise DeclarationError((*where, "integer") if "integer" in item else where, f"{where[-1]} {kind}")
    read = whole if integer else number
    low, high = (read(item[key], (*where, key)) for key in ("low", "high"))
    if low >= high:
        raise DeclarationError((*where, "high"), f"is {high:g}; allowed: a number above low, which is {low:g}")
    if log and low <= 0:
        raise DeclarationError((*where, "low"), f"is {low:g}; allowed: a number above 0, because log is true")
    return SearchRange(low, high, log, integer)


def _train(raw: Any, where: Where) -> TrainParams:
    item = section(raw, where, _keys(TrainParams))
    return TrainParams(whole(item["bags"], (*where, "bags"), 1, MOST_BAGS))


def _serve(raw: Any, where: Where, holdout_months: int) -> ServeParams:
    item = section(raw, where, _keys(ServeParams))
    horizon = whole(item["horizon_days"], (*where, "horizon_days"), 0)
    if horizon < (least := 31 * holdout_months):
        raise DeclarationError(
            (*where, "horizon_days"),
            f"is {horizon}; allowed: a whole number of at least {least}, 31 for each of the {holdout_months} months "
            "of split.holdout_months, because every hold-out sale must be valued",
        )
    return ServeParams(horizon, level=number(item["level"], (*where, "level"), 0.5, 0.99))


def _gate(raw: Any, where: Where, market: str) -> Bounds:
    bounds = Bounds.from_params(raw, market)
    declared = sorted(path.stem for path in MARKETS.glob("*.yaml"))
    section(raw.get("markets", {}), (*where, "markets"), optional=declared)
    return bounds


def _keys(parameters: type) -> list[str]:
    return [f.name for f in fields(parameters)]
