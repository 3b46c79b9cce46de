"""What the champion's market declares, told to callers: the model card's fields and the OpenAPI document."""

from __future__ import annotations

from typing import Any

from models.field import LONGEST_TEXT
from models.market import Field
from models.valuer import PROPERTY
from serving.answer_schemas import answer_schemas, object_of, reference
from serving.batch import MOST_HOMES
from serving.champion import Champion
from serving.home import PARCEL
from serving.problems import CONTENT_TYPE
from serving.routes import ROUTES

_JSON_TYPES = {"number": "number", "integer": "integer", "flag": "boolean", "category": "string"}
_STATUSES = {
    400: "malformed JSON",
    408: "the body arrived too slowly",
    413: f"a body of more than {ROUTES['/value'].most_bytes} bytes, in a batch {ROUTES['/value_batch'].most_bytes}, "
    f"or a batch of more than {MOST_HOMES} homes",
    415: "not application/json",
    422: "a field or date that is unknown, missing, mistyped, out of range or contradictory",
    429: "all slots are taken",
    503: "no model is being served",
}


def model_card(champion: Champion) -> dict[str, Any]:
    """The card of the model that serves, its memory, the fields it takes, and the days it can speak for."""
    valuer = champion.valuer
    return (
        champion.card
        | champion.cited
        | {
            "as_of": {
                "earliest": valuer.first_day.isoformat(),
                "default": valuer.current_day.isoformat(),
                "latest": valuer.last_day.isoformat(),
            },
            "fields": [_field_card(field) for field in champion.market.fields],
            "property_id": _field_card(PARCEL),
            "rules": [{"name": rule.name, "says": rule.says} for rule in champion.market.rules],
            "example": {"home": dict(valuer.typical)},
        }
    )


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
    home, day = reference("Home"), reference("Day")
    homes = {"type": "array", "items": home, "minItems": 1, "maxItems": MOST_HOMES}
    values = object_of({"values": {"type": "array", "items": reference("BatchValuation")}})
    example = {"home": dict(champion.valuer.typical)}
    earlier = example | {"as_of": champion.valuer.first_day.isoformat()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Valuations of homes in {champion.market.label}",
            "version": str(champion.card["version"]),
        },
        "paths": {
            "/value": _post("The value of one home", _question({"home": home}, day), reference("Valuation"), example),
            "/value_batch": _post(
                "The values of many homes, in order, without comparable sales",
                _question({"homes": homes}, day),
                values,
                {"homes": [example["home"]]},
            ),
            "/compare": _post(
                "Two valuations and the steps that lead from one to the other",
                object_of({"from": reference("Asked"), "to": reference("Asked")}),
                reference("Comparison"),
                {"from": earlier, "to": example},
            ),
            "/model": {"get": _operation("The card of the model that serves", {"type": "object"})},
            "/report": {"get": _page("Why the model serves: the verdict, its figures, plots and lineage")},
            "/validation.html": {"get": _page("The sales behind the model, rule by rule")},
            "/livez": {"get": {"summary": "The process is alive", "responses": {"200": {"description": "alive"}}}},
            "/readyz": {"get": {"summary": "A model can value homes", "responses": {"200": {"description": "ready"}}}},
            "/metrics": {"get": {"summary": "Prometheus metrics", "responses": {"200": {"description": "metrics"}}}},
        },
        "components": {
            "schemas": {
                "Home": _home_schema(champion),
                "Day": _day_schema(champion),
                "Asked": _question({"home": home}, day),
                **answer_schemas(champion),
                "Problem": _problem_schema(),
            }
        },
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


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    fault = object_of({"field": text, "value": {}, "allowed": text, "suggestion": {"type": ["string", "null"]}}) | {
        "additionalProperties": True,
        "description": "also `row` in a batch, and `rule` when fields contradict each other; "
        "in a comparison `field` begins with its side, as in `to.as_of`",
    }
    known = {"type": text, "title": text, "status": {"type": "integer"}, "detail": text, "request_id": text}
    return object_of(known | {"errors": {"type": "array", "items": fault}}, list(known))


def _question(what: dict[str, Any], day: dict[str, Any]) -> dict[str, Any]:
    return object_of(what | {"as_of": day}, list(what))


def _post(summary: str, question: dict[str, Any], answer: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": question, "example": example}}
    return {"post": _operation(summary, answer) | {"requestBody": {"required": True, "content": content}}}


def _page(summary: str) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": reference("Problem")}}
    refusals = {"404": "the model was promoted without it", "503": _STATUSES[503]}
    told = {str(status): {"description": said, "content": problem} for status, said in refusals.items()}
    page = {"description": "a page for people", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"summary": summary, "responses": {"200": page, **told}}


def _operation(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": reference("Problem")}}
    refusals = {str(status): {"description": said, "content": problem} for status, said in _STATUSES.items()}
    answered = {"description": "answered", "content": {"application/json": {"schema": answer}}}
    return {"summary": summary, "responses": {"200": answered, **refusals}}
