"""An appraisal as the body of an answer, and what a home on a day by a model is known by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import sha256
from typing import Any

from models.appraisal import RIGHT_WITHIN, Appraisal, Range
from models.comparables import Comparable
from models.reasons import Line, Reason
from serving.champion import Champion


def answer(champion: Champion, home: Mapping[str, Any], as_of: date, appraisal: Appraisal) -> dict[str, Any]:
    """All that is told of one home but its comparable sales."""
    return {
        "id": identity(champion, home, as_of),
        "value": money(appraisal.value),
        "currency": champion.market.currency,
        "as_of": as_of.isoformat(),
        "range": _range(appraisal.range),
        "ranges": [_range(told) for told in appraisal.ranges],
        "confidence": {"within": RIGHT_WITHIN, "chance": appraisal.confidence},
        "fsd": appraisal.deviation,
        "in_support": appraisal.in_support,
        "base": {"amount": appraisal.base, "meaning": appraisal.base_meaning},
        "reasons": [_reason(reason) for reason in appraisal.reasons],
        "warnings": list(appraisal.warnings),
        "model": champion.cited,
    }


def with_comparables(told: dict[str, Any], appraisal: Appraisal) -> dict[str, Any]:
    """The answer with the sales that the value rests on, after the reasons."""
    last = {key: told.pop(key) for key in ("warnings", "model")}
    return told | {"comparables": [_comparable(sale) for sale in appraisal.comparables]} | last


def identity(champion: Champion, home: Mapping[str, Any], as_of: date) -> str:
    """32 hexadecimal digits that stand for this home, day, model and memory of sales, however it was asked."""
    told = {"home": dict(home), "as_of": as_of.isoformat(), "model": champion.digest, "memory": champion.memory}
    return sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def lines(told: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"name": line.name, "label": line.label, "amount": line.amount} for line in told]


def money(amount: float) -> float | int:
    return int(amount) if amount.is_integer() else amount


def _range(told: Range) -> dict[str, Any]:
    return {"low": money(told.low), "high": money(told.high), "level": told.level}


def _reason(reason: Reason) -> dict[str, Any]:
    return {"name": reason.name, "label": reason.label, "amount": reason.amount, "lines": lines(reason.lines)}


def _comparable(sale: Comparable) -> dict[str, Any]:
    return {
        "sale_id": sale.sale_id,
        "property_id": sale.property_id,
        "sale_date": sale.sale_date.isoformat(),
        "price": money(sale.price),
        "time_adjusted": sale.time_adjusted,
        "distance_km": sale.distance_km,
        "alike": sale.alike,
        "adjustments": lines(sale.adjustments),
    }
