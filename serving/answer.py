"""An appraisal as the body of an answer, and what a home on a day by a model is known by."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from models.appraisal import RIGHT_WITHIN, Appraisal, Range
from models.comparables import Comparable
from models.reasons import GROUP_LABELS, Line, Lines, Reasons
from serving.champion import Champion
from serving.json_body import DIGITS
from serving.parts import ALL, Parts


def answer(champion: Champion, told_id: str, as_of: date, appraisal: Appraisal, parts: Parts = ALL) -> dict[str, Any]:
    """The parts that were asked for, in their order, for `to_json` to write down: lines are written already.

    Raises:
        ValueError: when the value or a range is no amount of money, which must never be told.
    """
    check(appraisal)
    told: dict[str, Any] = {"id": told_id}
    if "value" in parts:
        told["value"] = money(appraisal.value)
    told |= {"currency": champion.market.currency, "as_of": as_of.isoformat()}
    for name in parts.names:
        if name != "value":
            told[name] = _PARTS[name](champion, appraisal)
    return told


_PARTS: Mapping[str, Callable[[Champion, Appraisal], Any]] = {
    "range": lambda _, appraisal: _range(appraisal.range),
    "ranges": lambda _, appraisal: [_range(told) for told in appraisal.ranges],
    "confidence": lambda _, appraisal: {"within": RIGHT_WITHIN, "chance": appraisal.confidence},
    "fsd": lambda _, appraisal: appraisal.deviation,
    "in_support": lambda _, appraisal: appraisal.in_support,
    "base": lambda _, appraisal: {"amount": appraisal.base, "meaning": appraisal.base_meaning},
    "reasons": lambda _, appraisal: _reasons(appraisal.reasons),
    "comparables": lambda _, appraisal: [_comparable(sale) for sale in appraisal.comparables],
    "warnings": lambda _, appraisal: list(appraisal.warnings),
    "model": lambda champion, _: champion.cited,
}


def check(appraisal: Appraisal) -> None:
    bounds = [bound for told in appraisal.ranges for bound in (told.low, told.high)]
    if not (0 < appraisal.value < math.inf and all(0 <= bound < math.inf for bound in bounds)):
        raise ValueError(f"the model told {appraisal.value} and {bounds}")


def identity(champion: Champion, home: Mapping[str, Any], as_of: date) -> str:
    """32 hexadecimal digits that stand for this home, day, model and memory of sales, however it was asked."""
    return sha256(_canonical(champion, home, as_of.isoformat())).hexdigest()[:32]


def _canonical(champion: Champion, home: Mapping[str, Any], as_of: str) -> bytes:
    """As `json.dumps` writes it, keys sorted and without spaces; by orjson where both write the same."""
    quick = orjson.dumps(home, option=orjson.OPT_SORT_KEYS)
    if quick.isascii() and not _is_written_otherwise(quick):
        start, end = f'{{"as_of":"{as_of}","home":', f',"memory":"{champion.memory}","model":"{champion.digest}"}}'
        return b"".join((start.encode(), quick, end.encode()))
    told = {"home": dict(home), "as_of": as_of, "model": champion.digest, "memory": champion.memory}
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def _is_written_otherwise(quick: bytes) -> bool:
    """Whether there is a number such as 1e-7, which Python writes 1e-07, or a text that looks like it."""
    return b"0e" in quick.translate(DIGITS) or b"0.000" in quick or b"\x7f" in quick


def lines(told: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"name": name, "label": label, "amount": amount} for name, label, amount in told]


def money(amount: float) -> float | int:
    return int(amount) if amount.is_integer() else amount


def _range(told: Range) -> dict[str, Any]:
    return {"low": money(told.low), "high": money(told.high), "level": told.level}


def _reasons(told: Reasons) -> orjson.Fragment:
    begun = _begun(told.kinds.names, told.kinds.labels)
    lines = [begun[kind] + amount for kind, amount in zip(told.order, _each(told.amounts), strict=True)]
    reasons, begin = [], 0
    for (name, _, end), amount in zip(told.heads, _each([of for _, of, _ in told.heads]), strict=True):
        reasons.append(b'%b%b,"lines":[%b}]' % (_REASONS[name], amount, b"},".join(lines[begin:end])))
        begin = end
    return orjson.Fragment(b"[%b}]" % b"},".join(reasons))


def _lines(told: Lines) -> orjson.Fragment:
    return orjson.Fragment(_form(told.names, told.labels) % tuple(_each(told.amounts)))


@lru_cache(64)
def _form(names: tuple[str, ...], labels: tuple[str, ...]) -> bytes:
    """The lines, with `%b` where their amounts belong."""
    return b"[%b]" % b",".join(one.replace(b"%", b"%%") + b"%b}" for one in _begun(names, labels))


@lru_cache(64)
def _begun(names: tuple[str, ...], labels: tuple[str, ...]) -> tuple[bytes, ...]:
    """Objects with a name and a label, up to where their amount stands."""
    told = ({"name": name, "label": label} for name, label in zip(names, labels, strict=True))
    return tuple(orjson.dumps(one)[:-1] + b',"amount":' for one in told)


#: By name.
_REASONS = dict(zip(GROUP_LABELS, _begun(tuple(GROUP_LABELS), tuple(GROUP_LABELS.values())), strict=True))


def _each(amounts: Sequence[float]) -> list[bytes]:
    return orjson.dumps(amounts)[1:-1].split(b",")


def _comparable(sale: Comparable) -> dict[str, Any]:
    return {
        "sale_id": sale.sale_id,
        "property_id": sale.property_id,
        "sale_date": sale.sale_date.isoformat(),
        "price": money(sale.price),
        "time_adjusted": sale.time_adjusted,
        "distance_km": sale.distance_km,
        "alike": sale.alike,
        "adjustments": _lines(sale.adjustments),
    }
