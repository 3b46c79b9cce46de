"""What the champion's market declares, told to callers: the model card's fields and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from models.field import LONGEST_TEXT
from models.market import Field
from serving.champion import Champion
from serving.edge import MOST_BYTES
from serving.problems import CONTENT_TYPE
from serving.valuing import MOST_HOMES

_JSON_TYPES = {"number": "number", "integer": "integer", "flag": "boolean", "category": "string"}
_STATUSES = {
    400: "malformed JSON",
    408: "the body arrived too slowly",
    413: f"a body of more than {MOST_BYTES} bytes or a batch of more than {MOST_HOMES} homes",
    415: "not application/json",
    422: "a field or date that is unknown, missing, mistyped, out of range or contradictory",
    429: "all slots are taken",
    503: "no model is being served",
}


def model_card(champion: Champion) -> dict[str, Any]:
    """The card of the model that serves, the fields it takes, and the days it can speak for."""
    valuer = champion.valuer
    return champion.card | {
        "as_of": {
            "earliest": valuer.first_day.isoformat(),
            "default": valuer.memory_end.isoformat(),
            "latest": valuer.last_day.isoformat(),
        },
        "fields": [_field_card(field) for field in champion.market.fields],
        "rules": [{"name": rule.name, "says": rule.says} for rule in champion.market.rules],
        "example": {"home": dict(valuer.typical)},
    }


def _field_card(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "unit": field.unit,
        "allowed": field.allowed,
        "required": not field.missing,
        "direction": field.direction,
    }


def openapi(champion: Champion) -> dict[str, Any]:
    """OpenAPI 3.1, its schemas derived from the market's declaration."""
    card = champion.card
    schemas = {
        "Home": _home_schema(champion),
        "Day": _day_schema(champion),
        "Valuation": _valuation_schema(champion),
        "Problem": _problem_schema(),
    }
    home, day, value = (_ref(name) for name in ("Home", "Day", "Valuation"))
    homes = {"type": "array", "items": home, "minItems": 1, "maxItems": MOST_HOMES}
    example = dict(champion.valuer.typical)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Valuations of homes in {champion.market.label}", "version": str(card["version"])},
        "paths": {
            "/value": _post("The value of one home", {"home": home}, day, value, {"home": example}),
            "/value_batch": _post(
                "The values of many homes, in order",
                {"homes": homes},
                day,
                _object({"values": {"type": "array", "items": value}}),
                {"homes": [example]},
            ),
            "/model": {"get": _operation("The card of the model that serves", {"type": "object"})},
            "/livez": {"get": {"summary": "The process is alive", "responses": {"200": {"description": "alive"}}}},
            "/readyz": {"get": {"summary": "A model can value homes", "responses": {"200": {"description": "ready"}}}},
            "/metrics": {"get": {"summary": "Prometheus metrics", "responses": {"200": {"description": "metrics"}}}},
        },
        "components": {"schemas": schemas},
    }


def _home_schema(champion: Champion) -> dict[str, Any]:
    fields = champion.market.fields
    rules = "; ".join(rule.says for rule in champion.market.rules)
    return _object({f.name: _field_schema(f) for f in fields}, [f.name for f in fields if not f.missing]) | {
        "description": f"Rules: {rules}." if rules else "One home."
    }


def _field_schema(field: Field) -> dict[str, Any]:
    kind = _JSON_TYPES[field.type]
    schema: dict[str, Any] = {
        "type": [kind, "null"] if field.missing else kind,
        "title": field.label,
        "description": f"{field.label}: {field.allowed}",
    }
    if field.values:
        schema["enum"] = [*field.values, *([None] if field.missing else [])]
    elif field.is_category:
        schema |= {"minLength": 1, "maxLength": LONGEST_TEXT}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    return schema


def _day_schema(champion: Champion) -> dict[str, Any]:
    days = model_card(champion)["as_of"]
    said = f"The valuation date, from {days['earliest']} to {days['latest']}; left out, {days['default']}."
    return {"type": ["string", "null"], "format": "date", "description": said}


def _valuation_schema(champion: Champion) -> dict[str, Any]:
    money = {"type": "number", "description": f"in {champion.market.currency}"}
    text = {"type": "string"}
    return _object(
        {
            "id": {
                "type": "string",
                "pattern": "^[0-9a-f]{32}$",
                "description": "the same for the same home, day and model",
            },
            "value": money,
            "currency": {"const": champion.market.currency},
            "as_of": {"type": "string", "format": "date"},
            "range": _object({"low": money, "high": money, "level": {"type": "number"}}),
            "base": _object({"amount": money, "meaning": text}),
            "reasons": {
                "type": "array",
                "items": _object({"name": text, "label": text, "amount": money}),
                "description": "base.amount plus all amounts is the value, to the cent",
            },
            "warnings": {"type": "array", "items": text},
            "model": _object({key: {"type": ["string", "null"]} for key in champion.cited}),
        }
    )


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    fault = _object({"field": text, "value": {}, "allowed": text, "suggestion": {"type": ["string", "null"]}}) | {
        "additionalProperties": True,
        "description": "also `row` in a batch, and `rule` when fields contradict each other",
    }
    known = {"type": text, "title": text, "status": {"type": "integer"}, "detail": text, "request_id": text}
    return _object(known | {"errors": {"type": "array", "items": fault}}, list(known))


def _post(
    summary: str, body: dict[str, Any], day: dict[str, Any], answer: dict[str, Any], example: dict[str, Any]
) -> dict[str, Any]:
    schema = _object(body | {"as_of": day}, list(body))
    content = {"application/json": {"schema": schema, "example": example}}
    return {"post": _operation(summary, answer) | {"requestBody": {"required": True, "content": content}}}


def _operation(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": _ref("Problem")}}
    refusals = {str(status): {"description": said, "content": problem} for status, said in _STATUSES.items()}
    answered = {"description": "answered", "content": {"application/json": {"schema": answer}}}
    return {"summary": summary, "responses": {"200": answered, **refusals}}


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    needed = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
