"""The interface as OpenAPI 3.1: derived from the market's declaration, its examples asked of the champion itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serving import arrow_answer, batch
from serving.answer_schemas import answer_schemas, reference
from serving.batch import MOST_HOMES, MOST_STREAMED, value_many
from serving.champion import Champion
from serving.comparing import compare
from serving.explain import LISTED, MOST_LISTED
from serving.parts import ALL, NAMES, Parts
from serving.problems import CONTENT_TYPE
from serving.question_schemas import question_schemas
from serving.routes import ROUTES
from serving.valuing import value_one

_ARROW, _LINES = "application/vnd.apache.arrow.stream", "application/x-ndjson"
#: What can be said in place of an answer, and to whom: everybody, whoever needs a key, whoever sends a body.
_ANYWHERE = {
    500: "a fault of ours; the log has it under the request_id",
    503: "no model serves, or all slots are taken",
}
_KEYED = {401: "no API key, or none that is known", 403: "the API key is not for this"}
_LIMITED = {429: "more requests than the API key may make; Retry-After says when to come again"}
_BODIED = {
    400: "malformed: not JSON, a key twice, a number too long, no Arrow stream",
    408: "the body arrived too slowly",
    413: "too many bytes or too many homes; the limit is named",
    415: "another content type, or a compressed body",
    422: "a field, date or parameter that is unknown, missing, mistyped, out of range or contradictory",
    504: "the work took too long",
}


def openapi(champion: Champion) -> dict[str, Any]:
    """The document for the champion that serves."""
    example = {"home": dict(champion.valuer.typical)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Valuations of homes in {champion.market.label}",
            "version": str(champion.card["version"]),
            "description": "Every answer has an X-Request-Id. Answers of a kilobyte or more are compressed with zstd, "
            "br or gzip by Accept-Encoding; GET answers have an ETag.",
        },
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "paths": _valuing(champion, example) | _past(champion, example) | _pages(),
        "components": {
            "schemas": {**question_schemas(champion), **answer_schemas(champion)},
            "responses": {f"Problem{status}": _problem(said) for status, said in _refusals(*_ALL_KINDS).items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


_ALL_KINDS = (_ANYWHERE, _KEYED, _LIMITED, _BODIED, {404: "there is nothing here"})


def _valuing(champion: Champion, example: dict[str, Any]) -> dict[str, Any]:
    home, earlier = example["home"], example | {"as_of": champion.valuer.first_day.isoformat()}
    batched, compared = {"homes": [home]}, {"from": earlier, "to": example}
    values = _content(reference("Valuations"), value_many(champion, _bytes(batched)))
    arrow = {"schema": {"type": "string", "format": "binary"}}
    lines = {"schema": {"type": "string", "description": "a Valuation or a Refused a line"}}
    asked_lines = {"schema": {"type": "string", "description": "an Asked a line"}, "example": json.dumps(example)}
    many = {
        "summary": f"The values of many homes, in order: {MOST_HOMES} in JSON, {MOST_STREAMED} in lines or in Arrow",
        "description": "A home that is refused has its problem in its place. Arrow: a column a field, `property_id`, "
        "`as_of`; told are `id`, `currency`, `as_of`, the parts, `low_90` and `high_90` for each level, `error`.",
        "operationId": "valueBatch",
        "parameters": [_fields(ALL, batch.DEFAULT, f"; in Arrow {', '.join(arrow_answer.OFFERED.names)}")],
        "requestBody": _body({**_content(reference("AskedBatch"), batched), _LINES: asked_lines, _ARROW: arrow}),
        "responses": _responses({**values, _LINES: lines, _ARROW: arrow}, _ANYWHERE, _KEYED, _LIMITED, _BODIED),
    }
    one = {
        "summary": "The value of one home",
        "description": f"With `Accept: {_LINES}` value and ranges come at once, in a line, and the rest in another.",
        "operationId": "value",
        "parameters": [_fields(ALL, ALL)],
        "requestBody": _body(_content(reference("Asked"), example)),
        "responses": _responses(
            {**_content(reference("Valuation"), value_one(champion, _bytes(example))), _LINES: lines},
            *(_ANYWHERE, _KEYED, _LIMITED, _BODIED),
        ),
    }
    comparison = {
        "summary": "Two valuations and the steps that lead from one to the other",
        "operationId": "compare",
        "requestBody": _body(_content(reference("AskedComparison"), compared)),
        "responses": _responses(
            _content(reference("Comparison"), compare(champion, _bytes(compared))),
            *(_ANYWHERE, _KEYED, _LIMITED, _BODIED),
        ),
    }
    return {"/value": {"post": one}, "/value_batch": {"post": many}, "/compare": {"post": comparison}}


def _past(champion: Champion, example: dict[str, Any]) -> dict[str, Any]:
    wanted = value_one(champion, _bytes(example))["id"]
    identity = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED}
    kinds = (_ANYWHERE, _KEYED, _LIMITED, {code: _BODIED[code] for code in (400, 415, 422, 504)})
    one = {
        "summary": "A valuation that was told, by its id: told again by its model, or what was written down of it",
        "operationId": "explainValuation",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": identity, "example": wanted}],
        "responses": _responses(_content(reference("Past")), *kinds, {404: "no valuation with this id was told here"}),
    }
    listed = {
        "summary": "What was told, the newest first; `next` is the cursor of the page after",
        "operationId": "listValuations",
        "parameters": [
            {"name": "limit", "in": "query", "schema": limit},
            {"name": "cursor", "in": "query", "schema": {"type": "string"}},
        ],
        "responses": _responses(_content(reference("PastList")), *kinds),
    }
    return {"/valuations": {"get": listed}, "/valuations/{id}": {"get": one}}


def _pages() -> dict[str, Any]:
    html = {"text/html": {"schema": {"type": "string"}}}
    text = {"text/plain": {"schema": {"type": "string"}}}
    missing = {404: "the model was promoted without it"}
    told = {
        "/": ("index", "The page for people", html, {}),
        "/openapi.json": ("openapi", "This document", _content({"type": "object"}), {}),
        "/model": ("model", "The card of the model that serves", _content(reference("ModelCard")), {}),
        "/report": ("report", "Why the model serves: the verdict, its figures, plots and lineage", html, missing),
        "/validation.html": ("validation", "The sales behind the model, rule by rule", html, missing),
        "/livez": ("live", "The process is alive", _content(reference("Alive")), {}),
        "/healthz": ("health", "The process is alive", _content(reference("Alive")), {}),
        "/readyz": ("ready", "A model can value homes", _content(reference("Ready")), {}),
        "/metrics": ("metrics", "Prometheus metrics", text, {}),
    }
    return {path: {"get": _page(path, *page)} for path, page in told.items()}


def _page(path: str, name: str, summary: str, content: dict[str, Any], also: Mapping[int, str]) -> dict[str, Any]:
    is_open = ROUTES[path].scope is None
    kinds = (_ANYWHERE, {415: _BODIED[415]}, *(() if is_open else (_KEYED, _LIMITED)), also)
    page = {"summary": summary, "operationId": name, "responses": _responses(content, *kinds)}
    return page | {"security": []} if is_open else page


def _fields(offered: Parts, default: Parts, more: str = "") -> dict[str, Any]:
    left_out = ", ".join(name for name in offered.names if name not in default)
    said = f"the parts to tell, with commas: {', '.join(NAMES)}{more}; unless said, all"
    return {
        "name": "fields",
        "in": "query",
        "description": said + (f" but {left_out}" if left_out else ""),
        "explode": False,
        "schema": {"type": "array", "items": {"enum": list(offered.names)}, "minItems": 1},
        "example": ["value", "range"],
    }


def _refusals(*kinds: Mapping[int, str]) -> dict[int, str]:
    return {status: said for kind in kinds for status, said in kind.items()}


def _responses(content: dict[str, Any], *kinds: Mapping[int, str]) -> dict[str, Any]:
    told = {str(s): {"$ref": f"#/components/responses/Problem{s}"} for s in sorted(_refusals(*kinds))}
    return {"200": {"description": "answered", "content": content}, **told}


def _problem(said: str) -> dict[str, Any]:
    return {"description": said, "content": {CONTENT_TYPE: {"schema": reference("Problem")}}}


def _content(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _bytes(asked: Any) -> bytes:
    return json.dumps(asked).encode()
