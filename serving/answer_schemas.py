"""The answers as OpenAPI schemas: what each part of a valuation and of a comparison means."""

from __future__ import annotations

from typing import Any

from models.appraisal import RIGHT_WITHIN
from models.comparables import TOLD
from serving.champion import Champion
from serving.parts import ALWAYS

_TEXT = {"type": "string"}
_DATE = {"type": "string", "format": "date"}
_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_IDENTITY = {
    "type": "string",
    "pattern": "^[0-9a-f]{32}$",
    "description": "the same for the same home, day, model and memory of sales",
}


def answer_schemas(champion: Champion) -> dict[str, dict[str, Any]]:
    """By name: `Valuation`, `Valuations`, `Comparison`, `Past` and `PastList`, and what they are made of."""
    money = {"type": "number", "description": f"in {champion.market.currency}"}
    in_batch = _valuation(champion, money)
    comparables = _list(
        reference("Comparable"),
        f"up to {TOLD} sales the model finds most like the home; price plus all adjustments is the value, to the cent",
    )
    valuation = object_of(in_batch | {"comparables": comparables}, list(ALWAYS))
    values = {"type": "array", "items": {"anyOf": [reference("Valuation"), reference("Refused")]}}
    return {
        "Valuation": _described(valuation, "all parts, or those that `fields` asks for"),
        "Valuations": object_of({"values": values, "refused": {"type": "integer", "minimum": 0}}),
        "Refused": object_of({"row": {"type": "integer", "minimum": 0}, "error": reference("RowProblem")}),
        "Past": object_of(_past()),
        "PastList": object_of(
            {"valuations": {"type": "array", "items": reference("Listed")}, "next": {"type": ["string", "null"]}}
        ),
        "Listed": object_of(_listed(money)),
        "ModelCard": {
            "type": "object",
            "description": "the model, its memory, the fields it takes, the days it can speak for, its figures",
            "required": ["name", "version", "digest", "memory", "as_of", "fields", "property_id", "rules", "example"],
        },
        "Ready": object_of(
            {"ready": {"const": True}, "model": reference("Model"), "degraded": {"type": "array", "items": _TEXT}}
        ),
        "Alive": object_of({"alive": {"const": True}}),
        "Comparison": object_of(_comparison(champion, money)),
        "Range": _described(
            object_of({"low": money, "high": money, "level": _SHARE}), "holds a sale with probability level"
        ),
        "Reason": object_of(
            {"name": _TEXT, "label": _TEXT, "amount": money}
            | {"lines": _list(reference("Line"), "what the amount is the sum of, to the cent")}
        ),
        "Line": object_of({"name": _TEXT, "label": _TEXT, "amount": money}),
        "Comparable": object_of(_comparable(money)),
        "Model": object_of(
            {key: {"type": ["string", "null"]} for key in champion.cited}
            | {"memory": _described(_TEXT, "SHA-256 of the memory of sales"), "memory_end": _DATE}
            | {
                "override": _described(
                    object_of({"who": _TEXT, "why": _TEXT, "at": _TEXT}) | {"type": ["object", "null"]},
                    "a person's decision, by which the model serves against its gate; null where it passed",
                )
            }
        ),
    }


def _valuation(champion: Champion, money: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _IDENTITY,
        "value": money,
        "currency": {"const": champion.market.currency},
        "as_of": _DATE,
        "range": reference("Range"),
        "ranges": _list(reference("Range"), "by ascending level, each within the next"),
        "confidence": object_of(
            {
                "within": {"const": RIGHT_WITHIN},
                "chance": _described(_SHARE, "that the value is off by at most `within` of the price"),
            }
        ),
        "fsd": _described(_NUMBER, "forecast standard deviation, as a share of the value"),
        "in_support": {"type": "boolean", "description": "whether homes like it have been sold near by"},
        "base": object_of({"amount": money, "meaning": _TEXT}),
        "reasons": _list(reference("Reason"), "base.amount plus all amounts is the value, to the cent"),
        "warnings": {"type": "array", "items": _TEXT},
        "model": reference("Model"),
    }


def _past() -> dict[str, Any]:
    return {
        "id": _IDENTITY,
        "home": _described({"type": "object"}, "as it was valued; another model's fields may differ"),
        "replayed": _described({"type": "boolean"}, "whether the model that told it has told it again, in full"),
        "why": _described({"type": ["string", "null"]}, "why not"),
        "valuation": {"type": "object", "description": "a Valuation; not replayed, what was written down of it"},
    }


def _listed(money: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _IDENTITY,
        "time": {"type": "string", "format": "date-time"},
        "route": _TEXT,
        "part": _described({"type": ["integer", "string", "null"]}, "the row of a batch, the side of a comparison"),
        "as_of": _DATE,
        "value": money,
        "cached": {"type": "boolean"},
        "model": {"type": "object"},
    }


def _comparison(champion: Champion, money: dict[str, Any]) -> dict[str, Any]:
    side = object_of({"id": _IDENTITY, "value": money, "as_of": _DATE})
    return {
        "from": side,
        "to": side,
        "currency": {"const": champion.market.currency},
        "difference": _described(money, f"to.value less from.value, in {champion.market.currency}"),
        "steps": _list(reference("Line"), "in the order they are taken; all amounts are the difference, to the cent"),
        "model": reference("Model"),
    }


def _comparable(money: dict[str, Any]) -> dict[str, Any]:
    kilometres = {"type": ["number", "null"], "description": "from the home; null where a place is not known"}
    return {
        "sale_id": _TEXT,
        "property_id": _TEXT,
        "sale_date": _DATE,
        "price": money,
        "time_adjusted": _described(money, "the price at the market's level of the valuation date"),
        "distance_km": kilometres,
        "alike": _described(_SHARE, "the share of the model's trees that can't tell it from the home"),
        "adjustments": _list(reference("Line"), "what leads from the price to the home's value"),
    }


def object_of(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """An object of these keys and no others; all are required unless said."""
    needed = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: dict[str, Any], said: str) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": said}


def _described(schema: dict[str, Any], said: str) -> dict[str, Any]:
    return schema | {"description": said}
