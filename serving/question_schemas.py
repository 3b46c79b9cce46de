"""Questions and refusals as OpenAPI schemas: the market's declaration, told to machines."""

from __future__ import annotations

from typing import Any

from models.field import LONGEST_TEXT
from models.market import Field
from models.valuer import PROPERTY
from serving.answer_schemas import object_of, reference
from serving.batch import MOST_HOMES
from serving.champion import Champion
from serving.home import PARCEL
from serving.model_card import model_card

_JSON_TYPES = {"number": "number", "integer": "integer", "flag": "boolean", "category": "string"}


def question_schemas(champion: Champion) -> dict[str, dict[str, Any]]:
    """By name: `Home`, `Day`, `Asked`, `AskedBatch`, `AskedComparison` and `Problem`, and what they are made of."""
    home, day = _home_schema(champion), reference("Day")
    homes = {"type": "array", "items": reference("Home"), "minItems": 1, "maxItems": MOST_HOMES}
    change = {"home": {"type": "object", "properties": home["properties"], "additionalProperties": False}, "as_of": day}
    asked, changed = reference("Asked"), object_of(change, [])
    return {
        "Home": home,
        "Day": _day_schema(champion),
        "Asked": object_of({"home": reference("Home"), "as_of": day}, ["home"]),
        "AskedBatch": object_of({"homes": homes, "as_of": day}, ["homes"]),
        "AskedComparison": {
            "description": "`change`, in place of `to`, holds only what differs from `from`",
            "oneOf": [object_of({"from": asked, "to": asked}), object_of({"from": asked, "change": changed})],
        },
        "Problem": _problem_schema(["request_id"]),
        "RowProblem": _problem_schema([]),
    }


def _home_schema(champion: Champion) -> dict[str, Any]:
    fields = champion.market.fields
    rules = "; ".join(rule.says for rule in champion.market.rules)
    properties = {f.name: _field_schema(f) for f in fields} | {PROPERTY: _parcel_schema()}
    return object_of(properties, [f.name for f in fields if not f.missing]) | {
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


def _parcel_schema() -> dict[str, Any]:
    said = "The home's id in the source of the sales, by which the model finds its own earlier sales"
    return _field_schema(PARCEL) | {"description": said}


def _day_schema(champion: Champion) -> dict[str, Any]:
    days = model_card(champion)["as_of"]
    said = f"The valuation date, from {days['earliest']} to {days['latest']}; left out, {days['default']}."
    return {"type": ["string", "null"], "format": "date", "description": said}


def _problem_schema(also: list[str]) -> dict[str, Any]:
    text = {"type": "string"}
    fault = object_of({"field": text, "value": {}, "allowed": text, "suggestion": {"type": ["string", "null"]}})
    fault["properties"] |= {"row": {"type": "integer", "minimum": 0}, "rule": text}
    fault["description"] = (
        "also `row` in a batch, and `rule` when fields contradict each other; "
        "in a comparison `field` begins with its side, as in `to.as_of`"
    )
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    known = {"type": text, "title": text, "status": status, "detail": text} | dict.fromkeys(also, text)
    return object_of(known | {"errors": {"type": "array", "items": fault, "minItems": 1}}, list(known))
