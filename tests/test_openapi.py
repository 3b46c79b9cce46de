"""The interface as it is described to machines: every answer is of the schema that it is promised to have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from serving.batch import value_many
from serving.champion import Champion
from serving.comparing import compare
from serving.openapi import openapi
from serving.problems import Problem
from serving.valuing import value_one
from tests.served import HOME, train

CARD = {"name": "valuation-harbour", "version": "7", "digest": "a" * 64, "run": None, "data": "d", "commit": "c"}


@pytest.fixture(scope="module")
def champion() -> Champion:
    return Champion(train(), CARD, "e" * 64)


@pytest.mark.parametrize(
    ("path", "answer", "body"),
    [
        ("/value", value_one, {"home": HOME}),
        ("/value_batch", value_many, {"homes": [HOME, HOME | {"energy": None}]}),
        ("/compare", compare, {"from": {"home": HOME, "as_of": "2021-06-01"}, "to": {"home": HOME}}),
    ],
)
def test_every_question_and_answer_is_as_described(
    champion: Champion, path: str, answer: Callable[[Champion, bytes], dict[str, Any]], body: dict[str, Any]
):
    document = openapi(champion)
    schemas = document["components"]["schemas"]
    operation = document["paths"][path]["post"]
    asked = operation["requestBody"]["content"]["application/json"]
    described = operation["responses"]["200"]["content"]["application/json"]["schema"]
    for question in (body, asked["example"]):
        fits(question, asked["schema"], schemas)
        fits(answer(champion, json.dumps(question).encode()), described, schemas)
    with pytest.raises(Problem) as refused:
        answer(champion, b"{}")
    fits(json.loads(refused.value.to_json("r1")), schemas["Problem"], schemas)


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Asserts that the value is of the schema: its keys, its types and its constants."""
    if "$ref" in schema:
        fits(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
        return
    assert value == schema.get("const", value)
    kinds: dict[str, type | tuple[type, ...]] = {
        **{"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)},
        **{"number": (int, float), "integer": int},
    }
    told = schema.get("type", [])
    wanted = [kinds[kind] for kind in (told if isinstance(told, list) else [told])]
    assert not wanted or any(isinstance(value, kind) for kind in wanted)
    for key in value if isinstance(value, dict) and "properties" in schema else ():
        assert key in schema["properties"] or schema["additionalProperties"]
        fits(value[key], schema["properties"].get(key, {}), schemas)
    assert value is None or set(schema.get("required", [])) <= set(value if isinstance(value, dict) else [])
    for item in value if "items" in schema else ():
        fits(item, schema["items"], schemas)
