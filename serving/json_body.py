"""A request's bytes to plain values, more strictly than `json` does by itself.

A duplicate key is refused, not overwritten. NaN, Infinity and 1e999 come through as floats that
are not finite, so that the check of the field can name it.
"""

from __future__ import annotations

import json
from typing import Any

from serving.problems import Problem

#: No figure about a home needs more; longer ones cost quadratic time to read.
LONGEST_NUMBER = 40


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        Problem: 400 for what is not JSON in UTF-8, has a key twice, a number of more than
            `LONGEST_NUMBER` characters or too deep a nesting; 422 for JSON that is not an object.
    """
    try:
        read = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_int=_integer, parse_float=_number)
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8: byte {error.start} can't be read") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise _malformed("the body is nested too deeply; a request needs three levels") from error
    if not isinstance(read, dict):
        raise Problem(422, "invalid-request", 'the body must be a JSON object, such as {"home": {…}}')
    return read


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _malformed(f"the key {json.dumps(twice[:100])} is given twice in one object; give it once")
    return read


def _integer(text: str) -> int:
    return int(_short(text))


def _number(text: str) -> float:
    return float(_short(text))


def _short(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise _malformed(f"a number of {len(text)} characters; at most {LONGEST_NUMBER} are read")
    return text


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed-json", detail)
