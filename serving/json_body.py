"""A request's bytes to plain values, more strictly than `json` does by itself.

A duplicate key is refused, not overwritten. NaN, Infinity and 1e999 come through as floats that
are not finite, so that the check of the field can name it.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from serving.problems import Problem

#: No figure about a home needs more; longer ones cost quadratic time to read.
LONGEST_NUMBER = 40
#: Numbers that orjson reads otherwise than Python does have so many digits in a row.
_MOST_DIGITS = b"0" * 19
#: All digits become 0.
DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
#: What else is in a number becomes a digit too.
_IN_NUMBERS = bytes.maketrans(b"-+.eE123456789", b"0" * 14)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        Problem: 400 for what is not JSON in UTF-8, has a key twice, a number of more than
            `LONGEST_NUMBER` characters or too deep a nesting; 422 for JSON that is not an object.
    """
    read = _quickly(body)
    if read is None:
        read = _strictly(body)
    if not isinstance(read, dict):
        raise Problem(422, "invalid-request", 'the body must be a JSON object, such as {"home": {…}}')
    return read


def _quickly(body: bytes) -> Any:
    """What orjson reads, where it is sure to be what `_strictly` would read; else None.

    Every key has a colon behind it. With as many colons as keys that were kept, none was overwritten.
    """
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return read if body.count(b":") == _keys(read) and not _is_unusual(body) else None


def _is_unusual(body: bytes) -> bool:
    """Whether a number is one that orjson reads otherwise than Python does, or may be longer than is read here."""
    if _MOST_DIGITS in body.translate(DIGITS):
        return True
    return b"0" * (LONGEST_NUMBER + 1) in body.translate(_IN_NUMBERS)


def _keys(read: Any) -> int:
    """How many keys all the objects in it have."""
    inner: Any
    if isinstance(read, dict):
        inner, count = read.values(), len(read)
    elif isinstance(read, list):
        inner, count = read, 0
    else:
        return 0
    return count + sum(_keys(value) for value in inner if isinstance(value, dict | list))


def _strictly(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_int=_integer, parse_float=_number)
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8: byte {error.start} can't be read") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise _malformed("the body is nested too deeply; a request needs three levels") from error


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
