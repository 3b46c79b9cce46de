"""The interface as it is described to machines: every answer is of the schema that it is promised to have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from serving.batch import value_many
from serving.champion import Champion
from serving.comparing import compare
from serving.openapi import openapi
from serving.parts import ALL, NAMES, asked_parts
from serving.problems import Problem
from serving.routes import ROUTES
from serving.valuing import value_one
from tests.served import HOME, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}
QUESTIONS = [
    ("/value", value_one, {"home": HOME}),
    ("/value_batch", value_many, {"homes": [HOME, HOME | {"energy": None}, HOME | {"rooms": 0}]}),
    ("/compare", compare, {"from": {"home": HOME, "as_of": "2021-06-01"}, "to": {"home": HOME}}),
    ("/compare", compare, {"from": {"home": HOME}, "change": {"home": {"rooms": 5}}}),
]


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD, "e" * 64)


@pytest.fixture(scope="module")
def document(champion: Champion) -> dict[str, Any]:
    return openapi(champion)


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Asserts that the value is of the schema."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


@pytest.mark.parametrize(("path", "answer", "body"), QUESTIONS)
def test_every_question_and_answer_is_as_described(
    champion: Champion,
    document: dict[str, Any],
    path: str,
    answer: Callable[[Champion, bytes], dict[str, Any]],
    body: dict[str, Any],
):
    operation = document["paths"][path]["post"]
    asked = operation["requestBody"]["content"]["application/json"]
    told = operation["responses"]["200"]["content"]["application/json"]
    for question in (body, asked["example"]):
        if path != "/value_batch":  # one of its homes breaks the schema, as is meant
            check(question, asked["schema"], document)
        check(answer(champion, json.dumps(question).encode()), told["schema"], document)
    check(told["example"], told["schema"], document)
    with pytest.raises(Problem) as refused:
        answer(champion, b"{}")
    problem = document["components"]["responses"]["Problem422"]["content"]["application/problem+json"]
    check(json.loads(refused.value.to_json("r1")), problem["schema"], document)


def test_the_examples_are_real_answers(champion: Champion, document: dict[str, Any]):
    for path, answer, _ in QUESTIONS[:3]:
        operation = document["paths"][path]["post"]
        example = operation["requestBody"]["content"]["application/json"]["example"]
        told = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert answer(champion, json.dumps(example).encode()) == told


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_one_part_is_as_described(champion: Champion, document: dict[str, Any], name: str):
    parts = asked_parts(f"fields={name}".encode(), ALL)
    told = value_one(champion, json.dumps({"home": HOME}).encode(), None, parts)
    assert set(told) == {"id", "currency", "as_of", name}
    check(told, {"$ref": "#/components/schemas/Valuation"}, document)


def test_it_is_a_sound_document_of_every_path(document: dict[str, Any]):
    assert set(document["paths"]) == set(ROUTES)
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in _references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for inner in value.values() for r in _references(inner)]
    return [r for inner in value for r in _references(inner)] if isinstance(value, list) else []
